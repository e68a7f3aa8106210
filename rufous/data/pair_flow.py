"""Optical flow between small frames two apart, computed once for all stages that read it.

Source: Kroeger et al. 2016 (arXiv:1603.03590), dense inverse search (DIS), as OpenCV has it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rufous.core.optional import require
from rufous.data.media import ClipMedia

MAX_PAIRS = 48
"""More frames than twice as many give pairs that are spread over the clip, so that the cost is bounded."""
GAP = 2
"""Small frames from the first to the second of a pair; the one between them is what smoothness guesses."""
MIN_SIDE = 16


@dataclass(frozen=True, eq=False)
class PairFlow:
    """Flow of pairs of small frames."""

    first: np.ndarray
    """Number of each pair's first frame among the small ones [p]."""
    gap: int
    """Small frames from the first to the second."""
    seconds: np.ndarray
    """From the first to the second of each pair [p]."""
    flow: np.ndarray
    """Where each pixel of the first frame goes, (x, y) in pixels; float32, ``p h w 2``."""

    @property
    def short_side(self) -> int:
        """In pixels."""
        return min(self.flow.shape[1:3])


def pair_flow(media: ClipMedia) -> PairFlow:
    """Flow of a clip; its stages share one computation, which is forgotten with the decoded frames.

    Raises:
        ValueError: The clip has one frame only, or a side of it is too small.
    """
    return media.shared("pair_flow", _computed)


def pair_starts(media: ClipMedia, max_pairs: int = MAX_PAIRS) -> tuple[np.ndarray, int]:
    """Numbers of the small frames that begin a pair [p], and how many frames later it ends.

    Pairs follow each other without a gap, or are spread over the clip if that makes more than ``max_pairs``.

    Raises:
        ValueError: The clip has one frame only, or a side of it is too small.
    """
    num_frames, height, width = media.small.shape[:3]
    if num_frames < 2:
        raise ValueError(f"{media.path}: one frame shows no motion")
    if min(height, width) < MIN_SIDE:
        raise ValueError(
            f"{media.path}: frames of {width}x{height} are too small: flow needs {MIN_SIDE} a side"
        )
    gap = min(GAP, num_frames - 1)
    starts = num_frames - gap
    num_pairs = min(max_pairs, -(-starts // gap))
    return np.unique(np.linspace(0, starts - 1, num_pairs).round().astype(int)), gap


def _computed(media: ClipMedia) -> PairFlow:
    first, gap = pair_starts(media)
    return flow_between(media.gray, media.decoded.small_times_s, first, gap)


def flow_between(frames: np.ndarray, times_s: np.ndarray, first: np.ndarray, gap: int) -> PairFlow:
    """Flow of the pairs that begin at ``first`` and end ``gap`` frames later.

    Args:
        frames: Luma, uint8, ``f h w``.
        times_s: Of the frames.
        first: Numbers of frames [p].
        gap: At least 1.
    """
    matcher = _matcher()
    flow = np.stack([matcher.calc(frames[i], frames[i + gap], None) for i in first])
    return PairFlow(first=first, gap=gap, seconds=times_s[first + gap] - times_s[first], flow=flow)


def _matcher() -> Any:
    """DIS without its variational refinement, down to half of the resolution."""
    cv2 = require("cv2", extra="curate")
    matcher = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    matcher.setFinestScale(1)
    return matcher
