"""What stands still in a corner while the picture moves: a logo, a watermark, a channel's name.

Edges of what moves cancel in the mean gradient over time; those of an overlay stay, transparent ones too.

Source: Dekel et al. 2017 (On the effectiveness of visible watermarks) for the gradient over many pictures.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rufous.core.optional import require
from rufous.data.clip import Clip
from rufous.data.stage import Gives


@dataclass(frozen=True, kw_only=True)
class Watermark:
    """Score ``watermark``: the share of the frame that standing edges cover in the corner with most of them.

    It is 0 where most edges outside the corners stand too: then nothing tells an overlay from the scene.
    """

    num_frames: int = 24
    """Of the small ones, evenly spread."""
    corner: float = 0.3
    """Width and height of a corner, as shares of the frame's."""
    min_edge: float = 3.0
    """Levels a pixel of a gradient that counts."""
    min_standing: float = 0.8
    """A gradient stands if its mean over time is at least this share of its mean length."""
    max_still: float = 0.25
    """With a larger share of standing edges outside the corners, the picture as a whole stands."""

    name: ClassVar[str] = "watermark"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False
    gives: ClassVar[Gives] = Gives(numbers=("watermark",))

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with the score, in [0, 1]; 0 for a single frame."""
        return [clip.with_scores(watermark=self.share(clip.frames().gray))]

    def share(self, frames: np.ndarray) -> float:
        """Share of the frame of luma ``f h w``, uint8."""
        kept, length = edges(frames, self.num_frames)
        stands = self.stands(kept, length)
        height, width = frames.shape[1:]
        rows, columns = max(1, round(self.corner * height)), max(1, round(self.corner * width))
        corners = [
            (down, across)
            for down in (slice(None, rows), slice(height - rows, None))
            for across in (slice(None, columns), slice(width - columns, None))
        ]
        outside = np.ones((height, width), dtype=bool)
        for corner in corners:
            outside[corner] = False
        is_edge = (length >= self.min_edge) & outside
        if not is_edge.any() or (stands & outside).sum() > self.max_still * is_edge.sum():
            return 0.0
        covered = _covered(stands)
        return max(float(covered[corner].sum()) for corner in corners) / covered.size

    def stands(self, kept: np.ndarray, length: np.ndarray) -> np.ndarray:
        """Which edges do not move [h w]; see ``edges``."""
        return (kept >= self.min_edge) & (kept >= self.min_standing * length)


def edges(frames: np.ndarray, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Length of the mean gradient over time, and mean length of the gradient [h w], in levels a pixel."""
    cv2 = require("cv2", extra="curate")
    chosen = np.unique(np.linspace(0, len(frames) - 1, num_frames).round().astype(int))
    mean = np.zeros((2, *frames.shape[1:]), dtype=np.float32)
    length = np.zeros_like(mean[0])
    for frame in frames[chosen]:
        x = cv2.Sobel(frame, cv2.CV_32F, 1, 0, scale=1 / 8)
        y = cv2.Sobel(frame, cv2.CV_32F, 0, 1, scale=1 / 8)
        mean[0] += x
        mean[1] += y
        length += cv2.magnitude(x, y)
    return cv2.magnitude(mean[0], mean[1]) / len(chosen), length / len(chosen)


def standing(frames: np.ndarray, stage: Watermark) -> np.ndarray:
    """Which pixels [h w] of luma ``f h w`` show an edge that does not move."""
    return stage.stands(*edges(frames, stage.num_frames))


def _covered(stands: np.ndarray) -> np.ndarray:
    """Standing edges with the gaps between them filled, and single lines and specks taken away."""
    cv2 = require("cv2", extra="curate")
    filled = cv2.morphologyEx(stands.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    return cv2.morphologyEx(filled, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
