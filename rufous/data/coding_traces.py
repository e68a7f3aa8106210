"""What coding leaves in the calm parts of a picture: false steps, bands, and blocks that stand out.

At higher quantisation H.264 does not make plain pictures softer: it gathers a gentle slope into a few steps,
lays bands and patches beside it, and rings where all was flat. All that raises the gradient of a plain
picture, so that a score that rewards gradients alone prefers the worse copy. Edges are no traces: blocks with
steep slopes hardly count.
"""

from dataclasses import dataclass

import numpy as np

from rufous.core.optional import require

BLOCK = 16
"""Pixels of the side of the blocks that are judged as calm or not: H.264's macroblock."""
CALM = 8.0
"""Mean square of a calm block's slopes, in squared levels per pixel; with more it counts less and less."""
EVEN = 1.2
"""Mean square of slopes over the square of their mean, up to which they are even; noise has 1.57."""
SHRUNK = 4
"""Pixels that become one before bands are looked for: they are wider, and dither is not theirs."""
BAND_SPAN = 25
"""Shrunken pixels of the box with whose mean a band is compared."""
HIGHEST = 4.0
"""Levels to which bands and block steps are cut: what is higher is a thing in the picture."""


@dataclass(frozen=True, kw_only=True)
class CodingTraces:
    """Of one frame."""

    slope: float
    """RMS of the gradient without the false steps, luma levels per pixel."""
    steps: float
    """Gradient of the false steps, levels per pixel: what slopes of calm blocks have beyond even ones."""
    bands: float
    """Mean distance of calm blocks' pixels from their wide surroundings, levels."""
    unevenness: float
    """Mean second difference of neighbouring calm blocks' means, levels."""


def coding_traces(pixels: np.ndarray, smooth: np.ndarray, *, span: int) -> CodingTraces:
    """Traces of coding in luma ``h w``, float32; all 0 where it has no whole block.

    Args:
        pixels: As decoded.
        smooth: The same, averaged over boxes of ``span`` pixels.
        span: A step of one level has a mean slope of 1 / span within it, as rounding makes them: no trace.
    """
    height, width = (size // BLOCK * BLOCK for size in pixels.shape)
    if not height or not width:
        return CodingTraces(slope=0.0, steps=0.0, bands=0.0, unevenness=0.0)
    mean, square = _slopes(smooth[:height, :width])
    calm = 1 / (1 + (square / CALM) ** 2)
    false = np.maximum(0.0, square - EVEN * mean**2 - mean / span)
    return CodingTraces(
        slope=float(np.sqrt(2 * (square - calm * false).mean())),
        steps=float((calm * np.sqrt(false)).mean()),
        bands=float((calm * _bands(pixels[:height, :width])).mean()),
        unevenness=_unevenness(_by_block(pixels[:height, :width]), calm),
    )


def _slopes(smooth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and mean square of the slopes along rows and columns, by block."""
    cv2 = require("cv2", extra="curate")
    size = np.zeros_like(smooth), np.zeros_like(smooth)
    cv2.absdiff(smooth[:, 1:], smooth[:, :-1], dst=size[0][:, :-1])
    cv2.absdiff(smooth[1:], smooth[:-1], dst=size[1][:-1])
    mean = _by_block(size[0] + size[1]) / 2
    return mean, _by_block(size[0] ** 2 + size[1] ** 2) / 2


def _bands(pixels: np.ndarray) -> np.ndarray:
    cv2 = require("cv2", extra="curate")
    height, width = pixels.shape
    small = cv2.resize(pixels, (width // SHRUNK, height // SHRUNK), interpolation=cv2.INTER_AREA)
    apart = cv2.absdiff(small, cv2.blur(small, (BAND_SPAN, BAND_SPAN)))
    return _by_block(np.minimum(apart, HIGHEST), BLOCK // SHRUNK)


def _unevenness(means: np.ndarray, calm: np.ndarray) -> float:
    """Three blocks in a row count as far as all of them are calm."""
    total = 0.0
    for m, c in ((means, calm), (means.T, calm.T)):
        if len(m) >= 3:
            bend = np.minimum(np.abs(m[2:] - 2 * m[1:-1] + m[:-2]), HIGHEST)
            total += float((c[2:] * c[1:-1] * c[:-2] * bend).mean())
    return total


def _by_block(values: np.ndarray, side: int = BLOCK) -> np.ndarray:
    cv2 = require("cv2", extra="curate")
    size = values.shape[1] // side, values.shape[0] // side
    return cv2.resize(np.ascontiguousarray(values), size, interpolation=cv2.INTER_AREA)
