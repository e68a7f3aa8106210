"""How fast the picture moves: the length of optical flow, whatever the frame size and the frame rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from rufous.checkpoints.vbench import find_vbench_file
from rufous.checkpoints.weights import load_published
from rufous.core.devices import pick_device
from rufous.data.clip import Clip
from rufous.data.pair_flow import PairFlow, pair_flow, pair_starts
from rufous.data.published_models import missing_files
from rufous.data.stage import Gives
from rufous.perception.raft import RAFT, RAFT_THINGS, RAFTConfig, from_published_names

OPEN_SORA_SIZE, OPEN_SORA_GAP = (320, 576), 10
"""Frame size and number of frames between a pair's two, at which Open-Sora 1.2 counts pixels of flow."""
RAFT_LEAST = 121
"""Pixels a side that RAFT sees at least."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Scores ``flow`` and ``flow_open_sora`` by dense inverse search (DIS).

    ``flow`` is the mean length of the flow in shorter sides a second. ``flow_open_sora`` is the mean of
    |x| and |y| in pixels of a frame of 320x576 (portrait: 576x320) over ten frames of the file, as Open-Sora
    counts it; but the flow is DIS's between nearer frames, carried on, and not UniMatch's over ten, and pairs
    are from the whole clip and not its first 30 frames. Fast motion thus scores higher than there.
    """

    name: ClassVar[str] = "flow"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False
    gives: ClassVar[Gives] = Gives(numbers=("flow", "flow_open_sora"))

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with both scores.

        Raises:
            ValueError: The clip has one frame only, or its frames are too small.
        """
        media = clip.frames()
        flow = pair_flow(media)
        frames_apart = flow.gap * media.decoded.stride
        return [clip.with_scores(flow=speed_of(flow), flow_open_sora=open_sora_flow(flow, frames_apart))]


@dataclass(frozen=True, kw_only=True)
class RaftFlow:
    """Score ``flow_raft``: as ``flow``, by RAFT; it needs the weights that VBench uses.

    Unverified: the published weights were not at hand.
    """

    weights: str | None = None
    """``raft-things.pth``; None to look where VBench keeps it."""
    num_pairs: int = 4
    """Evenly spread over the clip."""
    device: str = "auto"
    """As ``rufous.core.devices.pick_device`` takes it."""
    config: RAFTConfig = RAFT_THINGS

    name: ClassVar[str] = "flow_raft"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = True
    gives: ClassVar[Gives] = Gives(numbers=("flow_raft",))

    @cached_property
    def network(self) -> RAFT:
        """RAFT, loaded at the first use.

        Raises:
            CheckpointError: The file is missing, or does not fit.
        """
        (path,) = self.weight_files()
        return load_published(
            lambda tensors: (RAFT(self.config), from_published_names(tensors)),
            path,
            device=pick_device(self.device),
        )

    def missing(self) -> str | None:
        """What is missing and how to get it; None if nothing is."""
        return missing_files(self.weight_files)

    def weight_files(self) -> Sequence[Path]:
        """What its scores come from; ``CheckpointError`` where a file is missing."""
        return (find_vbench_file("raft", self.weights),)

    @torch.inference_mode()
    def process(self, clip: Clip) -> list[Clip]:
        """The clip with the score; errors as ``Flow.process``, and ``CheckpointError`` of the weights."""
        media = clip.frames()
        first, gap = pair_starts(media, self.num_pairs)
        if min(media.small.shape[1:3]) < RAFT_LEAST:
            raise ValueError(f"{media.path}: RAFT needs frames of at least {RAFT_LEAST} pixels a side")
        flows, device = list[np.ndarray](), pick_device(self.device)
        for i in first:
            pair = torch.from_numpy(media.small[[i, i + gap]]).movedim(-1, 1).to(device, torch.float32)
            flows.append(self.network.flow(pair[:1], pair[1:])[0].movedim(0, -1).cpu().numpy())
        times = media.decoded.small_times_s
        found = PairFlow(
            first=first, gap=gap, seconds=times[first + gap] - times[first], flow=np.stack(flows)
        )
        return [clip.with_scores(flow_raft=speed_of(found))]


def speed_of(flow: PairFlow) -> float:
    """Mean length of the flow in shorter sides a second."""
    lengths = np.hypot(flow.flow[..., 0], flow.flow[..., 1]).mean(axis=(1, 2), dtype=np.float64)
    return float((lengths / flow.seconds).mean() / flow.short_side)


def open_sora_flow(flow: PairFlow, frames_apart: int) -> float:
    """Mean of |x| and |y| in Open-Sora's pixels.

    Args:
        flow: Of pairs of frames.
        frames_apart: Frames of the file from the first to the second of a pair.
    """
    height, width = flow.flow.shape[1:3]
    short, long = OPEN_SORA_SIZE
    target = (long / width, short / height) if width >= height else (short / width, long / height)
    x, y = np.abs(flow.flow).mean(axis=(0, 1, 2), dtype=np.float64)
    return float((x * target[0] + y * target[1]) / 2 * OPEN_SORA_GAP / frames_apart)
