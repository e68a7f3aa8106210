"""Pixels of a scene at any size, length and fps; the same scene always gives the same bytes.

Edges are antialiased by the signed distance in pixels, so that motion is smooth below a pixel.
"""

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from rufous.world.motion import Pose, pose
from rufous.world.scene import COLORS, Background, Scene, Thing, background_rgb
from rufous.world.shapes import FIELD_HALF_WIDTH, sample_field


def render(
    scene: Scene, *, num_frames: int = 16, height: int = 64, width: int = 64, fps: float = 8.0
) -> UInt8[Tensor, "f 3 h w"]:
    """Draw a clip of ``num_frames / fps`` seconds.

    Returns:
        RGB frames in [0, 255].

    Raises:
        ValueError: A size below 8 pixels, no frames, or an fps that is not positive.
    """
    if height < 8 or width < 8 or num_frames < 1 or not fps > 0:
        raise ValueError(
            f"cannot render {num_frames} frames of {width}x{height} at {fps} fps: "
            "use at least 8x8 pixels, 1 frame and a positive fps"
        )
    times_s = np.arange(num_frames) / fps
    duration_s = max((num_frames - 1) / fps, 1e-9)
    poses = [pose(thing.motion, thing.parameters, times_s, duration_s) for thing in scene.things]
    side = min(height, width)
    x, y = _pixel_grid(height, width)
    video = np.empty((num_frames, height, width, 3), dtype=np.float32)
    still = scene.camera == "static"
    canvas = _paint_background(scene.background, x, y, side, 1.0) if still else None
    for frame, time_s in enumerate(times_s):
        wx, wy, zoom = _camera(scene, x, y, float(time_s), duration_s)
        behind = canvas if canvas is not None else _paint_background(scene.background, wx, wy, side, zoom)
        video[frame] = behind
        for thing, path in zip(scene.things, poses, strict=True):
            _paint_thing(video[frame], thing, path, frame, wx, wy, side * zoom)
    pixels = np.clip(np.rint(video), 0, 255).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def _pixel_grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Centre of each pixel in units of the shorter side, origin in the middle of the frame."""
    side = min(height, width)
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / side
    y = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / side
    return np.meshgrid(x, y)  # type: ignore[return-value]


def _camera(
    scene: Scene, x: np.ndarray, y: np.ndarray, time_s: float, duration_s: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """World coordinates seen at each pixel, and the zoom; the middle of the clip is unmoved.

    A camera that pans right sees things move left.
    """
    moved = scene.camera_speed * (time_s - duration_s / 2)
    if scene.camera == "pan right":
        return x + moved, y, 1.0
    if scene.camera == "pan left":
        return x - moved, y, 1.0
    if scene.camera in ("zoom in", "zoom out"):
        zoom = float(np.exp(moved if scene.camera == "zoom in" else -moved))
        return x / zoom, y / zoom, zoom
    return x, y, 1.0


def _paint_background(
    background: Background, x: np.ndarray, y: np.ndarray, side: int, zoom: float
) -> np.ndarray:
    ends = background_rgb(background).astype(np.float32)
    if background.kind == "plain":
        return np.broadcast_to(ends[0], (*x.shape, 3))
    if background.kind == "gradient":
        low, high = float(y.min()), float(y.max())
        mix = (y - low) / max(high - low, 1e-9)
    else:
        # a triangle wave whose slope is one pixel wide at each border gives antialiased fields
        pixels = side * zoom * background.period
        waves = [_square_wave(x / background.period, pixels)]
        if background.kind == "checker":
            waves.append(_square_wave(y / background.period, pixels))
        mix = 0.5 + 0.5 * np.prod(waves, axis=0)
    return ends[0] * (1 - mix[..., None]) + ends[1] * mix[..., None]


def _square_wave(position: np.ndarray, pixels_per_field: float) -> np.ndarray:
    """+1 and -1 in turn, one field a unit, with borders one pixel soft."""
    offset = np.abs((position % 2.0) - 1.0) - 0.5  # triangle wave in [-0.5, 0.5], zero at the borders
    return np.clip(2 * offset * pixels_per_field, -1, 1)


def _paint_thing(
    canvas: np.ndarray,
    thing: Thing,
    path: Pose,
    frame: int,
    x: np.ndarray,
    y: np.ndarray,
    pixels_per_unit: float,
) -> None:
    radius = thing.radius * path.scale[frame]
    dx, dy = (x - path.x[frame]) / radius, (y - path.y[frame]) / radius
    rows = np.flatnonzero(np.abs(dy[:, 0]) < FIELD_HALF_WIDTH - 0.1)
    columns = np.flatnonzero(np.abs(dx[0]) < FIELD_HALF_WIDTH - 0.1)
    if not len(rows) or not len(columns):
        return
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    cos, sin = np.cos(path.angle[frame]), np.sin(path.angle[frame])
    bx, by = dx[box], dy[box]
    distance = sample_field(thing.shape, cos * bx + sin * by, cos * by - sin * bx)
    cover = np.clip(0.5 - distance * radius * pixels_per_unit, 0, 1)[..., None]
    color = np.array(COLORS[thing.color], dtype=np.float32)
    canvas[box] = canvas[box] * (1 - cover) + color * cover
