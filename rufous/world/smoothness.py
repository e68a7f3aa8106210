"""How free a clip is of jumps and flicker.

A jump is how far a thing lies off a smooth path, flicker how far a brightness lies off its neighbours in
time: that of the fitted background, that of each thing, and that of most pixels. The last one needs no fit,
so that a clip whose background or things are lost from sight does not seem smooth for it.

Shapes: f frames, h w pixels.
"""

from collections.abc import Sequence

import numpy as np

JUMP_UNIT = 0.03
"""In shorter sides."""
FLICKER_UNIT = 10.0
"""In grey levels: 4 % of the range."""


def smoothness_of(
    off: np.ndarray, lights: Sequence[np.ndarray], video: np.ndarray, *, is_background_known: bool
) -> float:
    """Mean over frames of 1 / (1 + jump^2 + flicker^2), each in its unit.

    Args:
        off: How far the roughest thing lies off its path [f], in shorter sides.
        lights: Brightnesses [f] of background and things, in [0, 255]; NaN where a thing is absent.
        video: Frames [f h w 3], RGB in [0, 255].
        is_background_known: Whether a background explains the clip. If not, changes of single pixels are no
            noise on something that is known, and count as flicker.
    """
    flicker = np.zeros(len(off))
    for light in lights:
        change = np.abs(_off_neighbours(light))
        flicker[1:-1] = np.maximum(flicker[1:-1], np.where(np.isnan(change), 0, change))
    flicker[1:-1] = np.maximum(flicker[1:-1], _usual_change(video, is_signed=is_background_known))
    return float(np.mean(1 / (1 + (off / JUMP_UNIT) ** 2 + (flicker / FLICKER_UNIT) ** 2)))


def _usual_change(video: np.ndarray, *, is_signed: bool) -> np.ndarray:
    """Median over pixels [f - 2] of how far their brightness lies off its neighbours in time.

    With the sign, noise and things that move cancel out; what is left changes most of the picture at once.
    """
    some = video[:, ::2, ::2].reshape(
        len(video), -1, 3
    )  # a quarter of the pixels tells the median well enough
    change = _off_neighbours((some[..., 0] + some[..., 1] + some[..., 2]) / 3)
    return np.abs(np.median(change if is_signed else np.abs(change), axis=1))


def _off_neighbours(values: np.ndarray) -> np.ndarray:
    """Difference of each inner frame [f - 2 ...] to the mean of the two beside it."""
    return values[1:-1] - (values[:-2] + values[2:]) / 2
