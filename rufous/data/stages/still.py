"""Frames that repeat the one before: slides, frozen streams, films padded to a higher rate."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rufous.core.optional import require
from rufous.data.clip import Clip
from rufous.data.stage import Gives


@dataclass(frozen=True, kw_only=True)
class Still:
    """How much of a clip stands still.

    Score ``still``: share of the frames that repeat the one before, in [0, 1]; 1 for a single frame. Score
    ``still_longest_s``: seconds of the longest such run. Lower is better for both. A slow but steady change
    is no repetition.
    """

    name: ClassVar[str] = "still"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 2
    needs_gpu: ClassVar[bool] = False
    gives: ClassVar[Gives] = Gives(numbers=("still", "still_longest_s"))

    max_step: int = 6
    """Luma steps of 255 up to which a pixel may differ, as compression makes it."""
    max_changed: float = 0.0004
    """Share of pixels that may differ by more; 20 pixels of 288x180."""
    max_mean: float = 0.3
    """Mean step over all pixels: larger ones are a slow fade or zoom."""

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with both scores."""
        cv2 = require("cv2", extra="curate")
        media = clip.frames()
        gray = media.gray
        repeats = np.zeros(len(gray), dtype=bool)
        for i in range(1, len(gray)):
            step = cv2.absdiff(gray[i], gray[i - 1])
            num_changed = cv2.countNonZero(cv2.compare(step, self.max_step, cv2.CMP_GT))
            repeats[i] = num_changed <= self.max_changed * step.size and cv2.mean(step)[0] <= self.max_mean
        share = float(repeats[1:].mean()) if len(repeats) > 1 else 1.0
        edges = np.flatnonzero(np.diff(np.concatenate([[False], repeats, [False]]).astype(np.int8)))
        times = media.decoded.small_times_s  # a run lasts from the frame that it repeats to its last one
        longest = float((times[edges[1::2] - 1] - times[edges[::2] - 1]).max(initial=0.0))
        return [clip.with_scores(still=share, still_longest_s=longest)]
