"""Small stages for the world: how steep edges are, and how brightness jumps."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rufous.data.clip import Clip


@dataclass(frozen=True, kw_only=True)
class Edges:
    """The steepest edge of the mean frame, and how much brightness jumps from frame to frame."""

    name: ClassVar[str] = "edges"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False

    def process(self, clip: Clip) -> list[Clip]:
        """Two scores."""
        gray = clip.frames().gray.astype(np.float64)
        steepest = np.abs(np.diff(gray, axis=2)).max(axis=(1, 2)).mean()
        jumps = np.abs(np.diff(gray.mean(axis=(1, 2)))).max() if len(gray) > 1 else 0.0
        return [clip.with_scores(edges_steepest=float(steepest), edges_jump=float(jumps))]


@dataclass(frozen=True, kw_only=True)
class Rank:
    """Where a clip's steepest edge stands among all."""

    name: ClassVar[str] = "rank"
    after: ClassVar[tuple[str, ...]] = ("edges",)
    version: ClassVar[int] = 1

    def process_all(self, clips):
        """One score each."""
        values = np.array([clip.scores["edges_steepest"] for clip in clips])
        return [
            clip.with_scores(rank=float((values < value).mean()))
            for clip, value in zip(clips, values, strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """Fails if anything of a clip's damage is told."""

    name: ClassVar[str] = "unseen"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False

    def process(self, clip: Clip) -> list[Clip]:
        """The clip as it is."""
        if clip.tags:
            raise ValueError(f"tags are told: {dict(clip.tags)}")
        return [clip]
