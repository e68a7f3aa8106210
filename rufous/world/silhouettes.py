"""Which shape a soft mask shows, and how it is turned: correlation with templates of all shapes and angles.

A mask is first brought to its own centroid and equal-area radius, so that only the angle is left to search.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from rufous.world.shapes import SHAPES, sample_field

GRID = 28
HALF_WIDTH = 1.85
"""The template covers [-1.85, 1.85] equal-area radii; no outline reaches 1.7."""
TURN_PERIODS_DEG = {"square": 90, "rectangle": 180, "triangle": 120, "star": 72, "cross": 90, "heart": 360}
ANGLE_STEP_DEG = 5.0
RADII = (3.5, 5.0, 7.0, 10.0, 15.0)
"""Radii in pixels for which templates of matching softness are kept."""
MIN_CORRELATION = 0.86
MIN_MARGIN = 0.012
MIN_SHARE = 0.6
"""Share of the frames in which the shape must be the best match."""


@dataclass(frozen=True)
class Silhouette:
    """The pose of a mask in each frame [f] and the shape it shows."""

    shape: str | None
    doubt: str | None
    margin: float
    """Mean correlation of the best shape less that of the next."""
    correlation: float
    x: np.ndarray
    """Centroid in shorter sides from the frame's middle; NaN where the thing is absent."""
    y: np.ndarray
    radius: np.ndarray
    """Equal-area radius in shorter sides."""
    angle: np.ndarray
    """Unwrapped angle in radians, zeros for shapes that look the same however turned."""
    present: np.ndarray
    whole: np.ndarray
    """Present and not cut by the frame's border."""


def measure_silhouette(alpha: np.ndarray, mask: np.ndarray) -> Silhouette:
    """Centroid, radius, shape and angle of a thing over time.

    Args:
        alpha: Opacity [f h w].
        mask: Pixels of the thing [f h w], bool.
    """
    height, width = alpha.shape[1:]
    side = min(height, width)
    present = np.asarray(mask.any(axis=(1, 2)))
    border = mask[:, [0, -1]].any(axis=(1, 2)) | mask[:, :, [0, -1]].any(axis=(1, 2))
    whole = np.asarray(present & ~border)
    area = np.maximum(alpha.sum(axis=(1, 2), dtype=np.float64), 1e-6)
    px = (alpha.sum(axis=1) @ (np.arange(width) + 0.5)) / area
    py = (alpha.sum(axis=2) @ (np.arange(height) + 0.5)) / area
    radius = np.sqrt(area / np.pi)
    seen = np.flatnonzero(present)
    aligned = _aligned(alpha[seen], px[seen], py[seen], radius[seen])
    scores = _scores(aligned, float(np.median(radius[seen])))
    voting = whole[seen] if whole.any() else present[seen]
    shape, doubt, margin, correlation = _vote({name: found[voting] for name, found in scores.items()})
    best = shape or max(scores, key=lambda name: float(scores[name].max(axis=1).mean()))
    angle = np.zeros(len(alpha))
    if best in TURN_PERIODS_DEG:
        angle[seen] = _angles(scores[best], TURN_PERIODS_DEG[best])
    absent = np.where(present, 1.0, np.nan)
    return Silhouette(
        shape=shape,
        doubt=doubt,
        margin=margin,
        correlation=correlation,
        x=(px - width / 2) / side * absent,
        y=(py - height / 2) / side * absent,
        radius=radius / side * absent,
        angle=angle,
        present=present,
        whole=whole,
    )


def _aligned(alpha: np.ndarray, px: np.ndarray, py: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """The masks [f h w] sampled on the template's grid, by bilinear interpolation; zero outside the frame."""
    axis = np.linspace(-HALF_WIDTH, HALF_WIDTH, GRID) * radius[:, None]
    rows = _interpolation(py[:, None] + axis - 0.5, alpha.shape[1])
    columns = _interpolation(px[:, None] + axis - 0.5, alpha.shape[2])
    return rows @ alpha @ columns.transpose(0, 2, 1)


def _interpolation(position: np.ndarray, length: int) -> np.ndarray:
    """Matrices [f n length] of a triangle kernel at each position [f n]."""
    reach = np.abs(position[..., None] - np.arange(length))
    return np.maximum(1 - reach, 0).astype(np.float32)


@cache
def _templates(shape: str, radius: float) -> np.ndarray:
    """Zero-mean unit-norm templates [angle GRID*GRID], for masks of this radius in pixels."""
    axis = np.linspace(-HALF_WIDTH, HALF_WIDTH, GRID)
    x, y = np.meshgrid(axis, axis)
    period = TURN_PERIODS_DEG.get(shape, 0)
    angles = np.radians(np.arange(0, period, ANGLE_STEP_DEG)) if period else np.zeros(1)
    cos, sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    distance = sample_field(shape, cos * x + sin * y, cos * y - sin * x)
    # 1.6 pixels: antialiasing of one pixel and the softness added by interpolation
    cover = np.clip(0.5 - distance * radius / 1.6, 0, 1).reshape(len(angles), -1)
    cover = cover - cover.mean(axis=1, keepdims=True)
    cover = (cover / np.linalg.norm(cover, axis=1, keepdims=True)).astype(np.float32)
    cover.setflags(write=False)
    return cover


def _scores(aligned: np.ndarray, radius: float) -> dict[str, np.ndarray]:
    """Correlation [f angle] of each mask with each template of each shape."""
    nearest = min(RADII, key=lambda known: abs(np.log(known / radius)))
    flat = aligned.reshape(len(aligned), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return {shape: flat @ _templates(shape, nearest).T for shape in SHAPES}


def _vote(scores: dict[str, np.ndarray]) -> tuple[str | None, str | None, float, float]:
    """The shape of the clip: the best on average, and the best in a clear majority of every third of it."""
    best = np.stack([scores[shape].max(axis=1) for shape in SHAPES], axis=1)
    mean = best.mean(axis=0)
    order = np.argsort(-mean)
    name, margin, correlation = (
        SHAPES[order[0]],
        float(mean[order[0]] - mean[order[1]]),
        float(mean[order[0]]),
    )
    if correlation < MIN_CORRELATION:
        return None, f"no shape fits: {name} correlates {correlation:.2f}", margin, correlation
    if margin < MIN_MARGIN:
        return None, f"between {name} and {SHAPES[order[1]]}", margin, correlation
    wins = best.argmax(axis=1) == order[0]
    thirds = np.array_split(wins, min(3, len(wins)))
    if wins.mean() < MIN_SHARE or min(part.mean() for part in thirds) < 0.5:
        return None, f"{name} in only {wins.mean():.0%} of the frames", margin, correlation
    return name, None, margin, correlation


def _angles(scores: np.ndarray, period_deg: int) -> np.ndarray:
    """Angle of the best template in each frame, refined by a parabola and unwrapped over the symmetry."""
    best = scores.argmax(axis=1)
    frames, count = np.arange(len(best)), scores.shape[1]
    left, middle, right = scores[frames, best - 1], scores[frames, best], scores[frames, (best + 1) % count]
    bend = np.minimum(left + right - 2 * middle, -1e-9)
    offset = np.clip((left - right) / (2 * bend), -0.5, 0.5)
    period = np.radians(period_deg)
    return np.unwrap((best + offset) * np.radians(ANGLE_STEP_DEG), period=period)
