"""How well every second frame is guessed from its neighbours, the measure of VBench's motion smoothness.

Even frames are kept, the ones between are guessed, and the score is 1 less the mean difference to those that
were there, of 255 levels: higher is smoother. Hummingbird drops clips that score low, dolly zooms among them.

Source: VBench (Huang et al. 2024, arXiv:2311.17982), motion smoothness.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch.nn import functional as F

from rufous.checkpoints.vbench import find_vbench_file
from rufous.checkpoints.weights import load_published
from rufous.core.devices import pick_device
from rufous.core.optional import require
from rufous.data.clip import Clip
from rufous.data.media import ClipMedia
from rufous.data.pair_flow import GAP, MAX_PAIRS, PairFlow, pair_flow, pair_starts
from rufous.data.published_models import missing_files
from rufous.data.stage import Gives
from rufous.perception.amt import AMT, AMT_S, AMTConfig

AMT_LEAST = 128
"""Pixels a side that AMT sees at least."""


@dataclass(frozen=True, kw_only=True)
class Smoothness:
    """Score ``smoothness``: guesses without a network, both neighbours moved halfway along their DIS flow.

    On luma of small frames. It is no substitute of AMT's numbers: where flow fails, guesses are worse.
    """

    name: ClassVar[str] = "smoothness"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False
    gives: ClassVar[Gives] = Gives(numbers=("smoothness",))

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with the score.

        Raises:
            ValueError: The clip has fewer than three frames, or its frames are too small.
        """
        media = clip.frames()
        check_length(media)
        return [clip.with_scores(smoothness=1 - mean_miss(media.gray, pair_flow(media)) / 255)]


@dataclass(frozen=True, kw_only=True)
class AmtSmoothness:
    """Score ``smoothness_amt``: guesses by AMT-S as VBench has it, but on small frames and a sample of pairs.

    Unverified: the published weights were not at hand.
    """

    weights: str | None = None
    """``amt-s.pth``; None to look where VBench keeps it."""
    num_pairs: int = MAX_PAIRS
    """Evenly spread over the clip; with ``MediaSettings.short_side`` the cost."""
    device: str = "auto"
    """As ``rufous.core.devices.pick_device`` takes it."""
    config: AMTConfig = AMT_S

    name: ClassVar[str] = "smoothness_amt"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = True
    gives: ClassVar[Gives] = Gives(numbers=("smoothness_amt",))

    @cached_property
    def network(self) -> AMT:
        """AMT-S, loaded at the first use.

        Raises:
            CheckpointError: The file is missing, or does not fit.
        """
        (path,) = self.weight_files()
        return load_published(
            lambda tensors: (AMT(self.config), tensors), path, device=pick_device(self.device)
        )

    def missing(self) -> str | None:
        """What is missing and how to get it; None if nothing is."""
        return missing_files(self.weight_files)

    def weight_files(self) -> Sequence[Path]:
        """What its scores come from; ``CheckpointError`` where a file is missing."""
        return (find_vbench_file("amt_s", self.weights),)

    @torch.inference_mode()
    def process(self, clip: Clip) -> list[Clip]:
        """The clip with the score; errors as of ``Smoothness``, and ``CheckpointError`` of the weights."""
        media = clip.frames()
        check_length(media)
        if min(media.small.shape[1:3]) < AMT_LEAST:
            raise ValueError(f"{media.path}: AMT needs frames of at least {AMT_LEAST} pixels a side")
        first, _ = pair_starts(media, self.num_pairs)
        misses, device = list[float](), pick_device(self.device)
        for i in first:
            before, middle, after = (
                torch.from_numpy(media.small[i : i + 3].copy()).movedim(-1, 1).unsqueeze(1)
            )
            pair = [frame.to(device, torch.float32) / 255 for frame in (before, after)]
            guess = (self.network.interpolate(*pair) * 255).clamp(0, 255).to(torch.uint8).cpu()
            misses.append(float(F.l1_loss(guess.float(), middle.float())))
        return [clip.with_scores(smoothness_amt=1 - float(np.mean(misses)) / 255)]


def check_length(media: ClipMedia) -> None:
    """Refuse what has no frame between two others.

    Raises:
        ValueError: The clip has fewer than three frames.
    """
    if len(media.small) < GAP + 1:
        raise ValueError(f"{media.path}: {len(media.small)} frames: smoothness needs three or more")


def mean_miss(frames: np.ndarray, flow: PairFlow) -> float:
    """Mean difference of the frames between pairs to their guesses, in levels.

    Args:
        frames: Luma, uint8, ``f h w``.
        flow: Of pairs two frames apart.
    """
    cv2 = require("cv2", extra="curate")
    made = zip(flow.first, guesses(frames, flow), strict=True)
    return float(np.mean([cv2.norm(guess, frames[i + 1], cv2.NORM_L1) / guess.size for i, guess in made]))


def guesses(frames: np.ndarray, flow: PairFlow) -> Iterator[np.ndarray]:
    """Guesses of the frames between pairs: the mean of both neighbours, each moved half of the flow's way."""
    cv2 = require("cv2", extra="curate")
    height, width = frames.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    here = np.stack([x, y], axis=-1)
    for i, shift in zip(flow.first, flow.flow, strict=True):
        half = shift * 0.5
        before, after = (
            cv2.remap(frame, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for frame, place in ((frames[i], here - half), (frames[i + 2], here + half))
        )
        yield cv2.addWeighted(before, 0.5, after, 0.5, 0)
