"""Black bars above, below and beside the picture."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rufous.core.optional import require
from rufous.data.clip import Clip
from rufous.data.stage import Gives

_EDGE_ROWS = 3
"""A bar's edge is lit within so many rows or columns."""


@dataclass(frozen=True, kw_only=True)
class Borders:
    """How much of the frame black bars take, looked for in the clip's few frames of full size.

    Score ``borders``: share of the frame's area, in [0, 1]. Tag ``borders``: ``none``, ``letterbox``,
    ``pillarbox``, ``windowbox`` or, where nothing is lit in any frame, ``black``. Info ``content_x``,
    ``content_y``, ``content_width`` and ``content_height``: the picture between the bars, in pixels.
    """

    name: ClassVar[str] = "borders"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False
    gives: ClassVar[Gives] = Gives(
        numbers=("borders", "content_x", "content_y", "content_width", "content_height"),
        tags={"borders": ("none", "letterbox", "pillarbox", "windowbox", "black")},
    )

    max_level: int = 28
    """Luma of 255 up to which a pixel is black; compression lifts bars a little above 0."""
    max_lit: float = 0.02
    """Share of a bar's row that may be brighter: noise, the rim of a subtitle."""
    min_edge: float = 0.5
    """Share of the picture's outermost rows that is lit in some frame; a dark sky has no such edge."""
    min_bar: float = 0.01
    """Thinner bars, as a share of the side, do not count."""

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with the score, the tag and the rectangle."""
        cv2 = require("cv2", extra="curate")
        full = clip.frames().full
        lit = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in full]) > self.max_level
        height, width = lit.shape[1:]
        if not lit.any():
            return [_measured(clip, 1.0, "black", (0, 0, width, height))]
        top, bottom = self._ends(lit)
        left, right = self._ends(lit[:, top:bottom].swapaxes(1, 2))
        top, bottom = self._sharp(lit[:, :, left:right], top, bottom)
        left, right = self._sharp(lit[:, top:bottom].swapaxes(1, 2), left, right)
        share = 1.0 - (bottom - top) * (right - left) / (height * width)
        is_tall, is_wide = bottom - top < height, right - left < width
        tag = {(0, 0): "none", (1, 0): "letterbox", (0, 1): "pillarbox", (1, 1): "windowbox"}[
            is_tall, is_wide
        ]
        return [_measured(clip, share, tag, (left, top, right - left, bottom - top))]

    def _ends(self, lit: np.ndarray) -> tuple[int, int]:
        """First row of the picture, and the one after its last."""
        rows = np.flatnonzero(lit.mean(axis=2).max(axis=0) > self.max_lit)
        if not len(rows):
            return 0, lit.shape[1]
        return int(rows[0]), int(rows[-1]) + 1

    def _sharp(self, lit: np.ndarray, first: int, last: int) -> tuple[int, int]:
        """The same, where the picture's edge is lit; else the frame's."""
        size, rows = lit.shape[1], lit.mean(axis=2).max(axis=0)
        has_first = first >= self.min_bar * size and rows[first : first + _EDGE_ROWS].max() >= self.min_edge
        has_last = (
            size - last >= self.min_bar * size
            and rows[max(0, last - _EDGE_ROWS) : last].max() >= self.min_edge
        )
        return (first if has_first else 0), (last if has_last else size)


def _measured(clip: Clip, share: float, tag: str, box: tuple[int, int, int, int]) -> Clip:
    x, y, width, height = box
    clip = clip.with_scores(borders=share).with_tags(borders=tag)
    return clip.with_info(content_x=x, content_y=y, content_width=width, content_height=height)
