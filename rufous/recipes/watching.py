"""What a recipe of few steps watches while it trains: its rewards, and figures of its validation clips."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import torch

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.release import load_component
from rufous.core.errors import ConfigError
from rufous.networks.tiny_decoder import TinyDecoder
from rufous.networks.vae2d import AutoencoderKL
from rufous.pipelines.text_to_video import TextToVideoPipeline
from rufous.rewards.decoding import SlicedDecoder, sliced_decoder
from rufous.rewards.feedback import RewardFeedback

Figures: TypeAlias = Mapping[str, Sequence[float]]
"""Numbers of each clip, by name."""


@runtime_checkable
class Watching(Protocol):
    """Rewards and measurements of a recipe, always of the same clips."""

    def feedback(self, autoencoder: AutoencoderKL) -> RewardFeedback | None:
        """The loss term; None for a distillation without rewards."""
        ...

    def measure(self, pipe: TextToVideoPipeline) -> Figures:
        """What validation logs the means of and the guard watches, from clips that ``pipe`` generates."""
        ...

    def baseline(self, teacher: Figures, student: Figures) -> Figures:
        """What the guard compares with, of both before the first step."""
        ...

    def parents(self) -> Mapping[str, Path]:
        """Releases and published files that shape the student besides teacher and critic, by role."""
        ...


def pixel_decoder(
    autoencoder: AutoencoderKL, tiny_decoder: str | None, *, slice_frames: int
) -> SlicedDecoder:
    """What makes pixels inside the loss: the full decoder, or the tiny one of a release.

    Raises:
        CheckpointError: There is no such release, or it has no ``tiny_decoder``.
        ConfigError: The tiny decoder is of other latents than this autoencoder's.
    """
    if tiny_decoder is None:
        return sliced_decoder(autoencoder, slice_frames=slice_frames)
    device = next(autoencoder.parameters()).device
    network: TinyDecoder = load_component(
        find_release(tiny_decoder), "tiny_decoder", dtype=torch.float32, device=device
    )
    network.config.check_fits(autoencoder.config)
    return sliced_decoder(network, slice_frames=slice_frames)


def clips_of_each_length(num_clips: int, lengths: Iterable[int]) -> dict[int, int]:
    """How many of ``num_clips`` validation clips have which number of frames: equal shares, in order.

    Raises:
        ConfigError: There are more lengths than clips.
    """
    distinct = tuple(dict.fromkeys(lengths))
    if num_clips < len(distinct):
        raise ConfigError(
            f"{num_clips} validation clips cannot show clips of {' and '.join(map(str, distinct))} frames, "
            f"which are trained on: use num_validation_clips={len(distinct)} or more"
        )
    ends = [num_clips * place // len(distinct) for place in range(len(distinct) + 1)]
    return {length: ends[place + 1] - ends[place] for place, length in enumerate(distinct)}
