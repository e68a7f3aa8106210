"""Flashes: swings of brightness back and forth over a large part of the picture."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rufous.core.optional import require
from rufous.data.clip import Clip
from rufous.data.stage import Gives

_CELLS = (8, 8)
"""Columns and rows of the picture, each of which may flash."""
_DISPLAY_GAMMA = 2.2
_ROUNDING_S = 0.002
"""Two times that Matroska rounds to milliseconds."""


@dataclass(frozen=True, kw_only=True)
class Flashing:
    """How often a clip flashes in its worst second.

    Score ``flashing``: flashes in the worst second, 0 or more; above 3 is unsafe to look at by the rule that
    the definition is taken from. A flash is a rise and a fall, each by at least ``min_swing``, of a quarter
    of the picture at once. Clips of which only every second frame or fewer is looked at may hide some.

    Source:
        WCAG 2.2, "general flash threshold" (success criterion 2.3.1), after ITU-R BT.1702. Differs: the area
        is a quarter of the frame, not of the 10-degree field of view; red flashes are not told apart.
    """

    name: ClassVar[str] = "flashing"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 2
    needs_gpu: ClassVar[bool] = False
    gives: ClassVar[Gives] = Gives(numbers=("flashing",))

    min_swing: float = 0.1
    """Of relative luminance, whose range is [0, 1]."""
    max_dark: float = 0.8
    """A swing counts where its darker end is below this."""

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with its score."""
        cv2 = require("cv2", extra="curate")
        media = clip.frames()
        means = [cv2.resize(frame, _CELLS, interpolation=cv2.INTER_AREA).reshape(-1) for frame in media.gray]
        luminance = (np.stack(means) / 255.0) ** _DISPLAY_GAMMA
        swings = self._swings(luminance).cumsum(axis=0)
        times = media.decoded.small_times_s
        first = np.searchsorted(times, times - 1.0 + _ROUNDING_S, "right")  # of the second that ends here
        before = np.concatenate([np.zeros((1, swings.shape[1])), swings])[first]
        quarter = np.sort(swings - before, axis=1)[:, -swings.shape[1] // 4]
        return [clip.with_scores(flashing=float(quarter.max()) / 2)]

    def _swings(self, luminance: np.ndarray) -> np.ndarray:
        """Frames by cells: 1 where a swing is complete that goes against the one before."""
        lowest, highest = luminance[0].copy(), luminance[0].copy()
        direction = np.zeros(luminance.shape[1])
        swings = np.zeros(luminance.shape)
        for i, level in enumerate(luminance):
            lowest, highest = np.minimum(lowest, level), np.maximum(highest, level)
            rises = (level - lowest >= self.min_swing) & (lowest < self.max_dark) & (direction <= 0)
            falls = (highest - level >= self.min_swing) & (level < self.max_dark) & (direction >= 0)
            swings[i] = rises | falls
            direction = np.where(rises, 1.0, np.where(falls, -1.0, direction))
            lowest = np.where(rises | falls, level, lowest)
            highest = np.where(rises | falls, level, highest)
        return swings
