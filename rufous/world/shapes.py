"""Outlines of the shapes and their signed distance fields, all with the area of the unit disc.

A field is sampled once on a grid and interpolated afterwards: turning, moving and scaling keep distances, so
one field serves every size and angle.
"""

from functools import cache

import numpy as np

SHAPES = ("circle", "ring", "square", "rectangle", "triangle", "star", "cross", "heart")
TURN_SYMMETRIC_SHAPES = ("circle", "ring")

FIELD_HALF_WIDTH = 2.5
"""The field covers [-2.5, 2.5] in both axes, in units of the equal-area radius; no outline reaches 2."""
FIELD_SIZE = 321
RING_HOLE = 0.55
"""Inner radius of the ring over its outer radius."""


def outline(shape: str) -> np.ndarray:
    """Vertices of a shape as an array [n 2], y down, centroid at the origin, area pi.

    Circle and ring are given by their outer circle.

    Raises:
        ValueError: An unknown shape.
    """
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    up = -np.pi / 2
    if shape in ("circle", "ring"):
        points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    elif shape == "square":
        points = np.array([[-1.0, -1.0], [1, -1], [1, 1], [-1, 1]])
    elif shape == "rectangle":
        points = np.array([[-2.0, -0.8], [2, -0.8], [2, 0.8], [-2, 0.8]])
    elif shape == "triangle":
        corner = up + np.arange(3) * 2 * np.pi / 3
        points = np.stack([np.cos(corner), np.sin(corner)], axis=1)
    elif shape == "star":
        corner = up + np.arange(10) * np.pi / 5
        radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
        points = np.stack([radius * np.cos(corner), radius * np.sin(corner)], axis=1)
    elif shape == "cross":
        a, b = 0.36, 1.0
        points = np.array(
            [
                [-a, -b],
                [a, -b],
                [a, -a],
                [b, -a],
                [b, a],
                [a, a],
                [a, b],
                [-a, b],
                [-a, a],
                [-b, a],
                [-b, -a],
                [-a, -a],
            ]
        )
    elif shape == "heart":
        x = 16 * np.sin(angles) ** 3
        y = -(13 * np.cos(angles) - 5 * np.cos(2 * angles) - 2 * np.cos(3 * angles) - np.cos(4 * angles))
        points = np.stack([x, y], axis=1)
    else:
        raise ValueError(f"shape={shape!r} is unknown: use one of {', '.join(SHAPES)}")
    area, centroid = _area_and_centroid(points)
    if shape == "ring":
        area *= 1 - RING_HOLE**2
    return (points - centroid) * np.sqrt(np.pi / abs(area))


def extent(shape: str) -> float:
    """Largest distance of the outline from the centroid, in units of the equal-area radius."""
    return float(np.linalg.norm(outline(shape), axis=1).max())


@cache
def distance_field(shape: str) -> np.ndarray:
    """Signed distance to the outline, negative inside: [FIELD_SIZE FIELD_SIZE], row y, column x."""
    axis = np.linspace(-FIELD_HALF_WIDTH, FIELD_HALF_WIDTH, FIELD_SIZE)
    x, y = np.meshgrid(axis, axis)
    if shape in ("circle", "ring"):
        outer = float(np.linalg.norm(outline(shape)[0]))
        radius = np.hypot(x, y)
        field = (
            radius - outer if shape == "circle" else np.maximum(radius - outer, RING_HOLE * outer - radius)
        )
    else:
        field = _polygon_distance(outline(shape), x, y)
    field = field.astype(np.float32)
    field.setflags(write=False)
    return field


def sample_field(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distance at points in units of the equal-area radius, by bilinear interpolation.

    Points beyond the field get its border value, which is positive: they are outside.
    """
    field = distance_field(shape)
    to_index = (FIELD_SIZE - 1) / (2 * FIELD_HALF_WIDTH)
    column = np.clip((x + FIELD_HALF_WIDTH) * to_index, 0, FIELD_SIZE - 1.001)
    row = np.clip((y + FIELD_HALF_WIDTH) * to_index, 0, FIELD_SIZE - 1.001)
    c0, r0 = column.astype(np.int32), row.astype(np.int32)
    fc, fr = column - c0, row - r0
    top = field[r0, c0] * (1 - fc) + field[r0, c0 + 1] * fc
    bottom = field[r0 + 1, c0] * (1 - fc) + field[r0 + 1, c0 + 1] * fc
    return top * (1 - fr) + bottom * fr


def _area_and_centroid(points: np.ndarray) -> tuple[float, np.ndarray]:
    """Shoelace formula."""
    following = np.roll(points, -1, axis=0)
    cross = points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]
    area = cross.sum() / 2
    return float(area), ((points + following) * cross[:, None]).sum(axis=0) / (6 * area)


def _polygon_distance(points: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance to the nearest edge, negative where an upward ray crosses an odd number of edges."""
    distance = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0), strict=True):
        ex, ey, px, py = bx - ax, by - ay, x - ax, y - ay
        along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0, 1)
        distance = np.minimum(distance, np.hypot(px - along * ex, py - along * ey))
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return np.where(inside, -distance, distance)
