"""DOVER's quality of a clip. Its weights are for non-commercial use: no preset turns this stage on.

Source: Wu et al. 2023 (arXiv:2211.04894); used for curation by Hummingbird (arXiv:2503.18559), which sorts
clips by it and drops the tail, with no published threshold.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

from rufous.checkpoints.weights import find_weights
from rufous.core.console import logger
from rufous.core.devices import pick_device
from rufous.core.randomness import generator_from
from rufous.data.clip import Clip
from rufous.data.media import ClipMedia
from rufous.data.published_models import DOVER_FILE, load_dover, missing_files
from rufous.data.stage import Gives
from rufous.perception import dover
from rufous.video.read import stream_frames

_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Dover:
    """Scores ``dover``, ``dover_technical`` and ``dover_aesthetic`` in [0, 1]; higher is better.

    It reads raw pixels of up to 128 frames, so the file is decoded once more. What it samples depends on
    ``seed`` and the clip alone; the published code's samples change from run to run.
    """

    name: ClassVar[str] = "dover"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = True
    gives: ClassVar[Gives] = Gives(numbers=("dover", "dover_technical", "dover_aesthetic"))
    licence: ClassVar[str] = dover.LICENCE

    weights: str | None = None
    """``DOVER.pth``; None: where it is kept (docs/curation_learned.md)."""
    seed: int = 0
    device: str = "auto"
    """``auto`` takes the best there is."""

    def missing(self) -> str | None:
        """What is missing and how to get it; None if nothing is."""
        return missing_files(lambda: find_weights(DOVER_FILE, self.weights))

    def weight_files(self) -> Sequence[Path]:
        """What its scores come from; ``CheckpointError`` where a file is missing."""
        return (find_weights(DOVER_FILE, self.weights),)

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with its scores.

        Raises:
            ValueError: It cannot be read, or its frame size changes.
            CheckpointError: The weights are missing or damaged.
        """
        network = _network(self)
        device = next(network.parameters()).device
        identity = clip.content_id or f"{clip.source} at {clip.start_s}"
        mosaics, frames = samples(clip.frames(), generator_from(self.seed, "dover", identity))
        clips = rearrange(
            dover.normalised(mosaics), "c (clips f) h w -> clips c f h w", clips=dover.TECHNICAL_CLIPS
        )
        with torch.no_grad():
            technical = [network.technical(each[None].to(device)).item() for each in clips]
            aesthetic = network.aesthetic(dover.normalised(frames)[None].to(device)).item()
        quality = dover.fused(technical=sum(technical) / len(technical), aesthetic=aesthetic)
        return [
            clip.with_scores(
                dover=quality.overall,
                dover_technical=quality.technical,
                dover_aesthetic=quality.aesthetic,
            )
        ]


def samples(
    media: ClipMedia, generator: torch.Generator
) -> tuple[UInt8[Tensor, "96 3 224 224"], UInt8[Tensor, "32 3 224 224"]]:
    """What the two branches see: mosaics of raw crops, and whole frames made small.

    Raises:
        ValueError: The file is damaged, its frame size changes, or no frame lies in the clip.
    """
    numbers = media.frame_numbers
    if not numbers:
        raise ValueError(f"{media.path}: no frame between {media.start_s} s and {media.end_s} s")
    technical = [numbers[i] for i in dover.technical_frames(len(numbers), generator)]
    aesthetic = [numbers[i] for i in dover.aesthetic_frames(len(numbers), generator)]
    wanted = sorted({*technical, *aesthetic})
    corners, size = None, None
    mosaics = torch.empty(len(technical), 3, dover.SIZE, dover.SIZE, dtype=torch.uint8)
    frames = torch.empty(len(aesthetic), 3, dover.SIZE, dover.SIZE, dtype=torch.uint8)
    for streamed in stream_frames(media.timeline, wanted, short_side=16, full=wanted):
        if streamed.full is None:
            raise AssertionError("a full-size frame was asked for")
        frame = rearrange(torch.from_numpy(streamed.full), "h w c -> c h w")
        size = size or tuple(frame.shape)
        if tuple(frame.shape) != size:
            raise ValueError(f"{media.path}: the frame size changes")
        if corners is None:
            corners = dover.crop_corners(size[1], size[2], dover.TECHNICAL_CLIPS, generator)
        for place in (i for i, number in enumerate(technical) if number == streamed.index):
            mosaics[place] = dover.mosaic(frame, corners[place // dover.TECHNICAL_FRAMES])
        for place in (i for i, number in enumerate(aesthetic) if number == streamed.index):
            frames[place] = dover.whole_frame(frame)
    return mosaics, frames


@functools.lru_cache(maxsize=1)
def _network(stage: Dover) -> dover.DOVER:
    network = load_dover(stage.weights, device=pick_device(stage.device))
    _log.warning("%s", dover.LICENCE)
    return network
