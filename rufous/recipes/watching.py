"""What a recipe of few steps watches while it trains: its rewards, and figures of its validation clips."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from rufous.core.errors import ConfigError
from rufous.networks.vae2d import AutoencoderKL
from rufous.pipelines.text_to_video import TextToVideoPipeline
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
