"""Clips of the world whose camera is known, also those that the world itself cannot draw."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from rufous.data.media import ClipMedia, Decoded
from rufous.world.dataset import WorldClips
from rufous.world.render import render
from rufous.world.scene import Background, Scene

HEIGHT, WIDTH, FPS, NUM_FRAMES = 120, 192, 12.0, 24
DURATION_S = (NUM_FRAMES - 1) / FPS
PATTERNED = ("checker", "stripes")


@dataclass(frozen=True)
class CameraClip:
    """A clip, what its camera does, and of what kind it is."""

    tag: str
    kind: str
    frames: np.ndarray
    """RGB, uint8, ``f h w 3``."""
    fps: float = FPS


def media_of(frames: np.ndarray, fps: float = FPS) -> ClipMedia:
    """Media that hold these frames without a file."""
    media = ClipMedia(Path("drawn.mp4"))
    times = np.arange(len(frames)) / fps
    media.__dict__["decoded"] = Decoded(
        small=frames, small_times_s=times, full=frames[:8], full_times_s=times[:8], stride=1
    )
    return media


def drawn(
    scene: Scene,
    *,
    height: int = HEIGHT,
    width: int = WIDTH,
    num_frames: int = NUM_FRAMES,
    fps: float = FPS,
) -> np.ndarray:
    """Frames of a scene, ``f h w 3``."""
    frames = render(scene, num_frames=num_frames, height=height, width=width, fps=fps).numpy()
    return np.ascontiguousarray(frames.transpose(0, 2, 3, 1))


def world_scene(index: int, *, kinds: tuple[str, ...] = PATTERNED, moving: bool | None = None) -> Scene:
    """The first scene from ``index * 100`` on with such a background, and with a moving thing if asked."""
    clips = WorldClips(seed=5, level="full", num_frames=NUM_FRAMES, height=HEIGHT, width=WIDTH, fps=FPS)
    for number in range(100 * index, 100 * index + 100):
        scene = clips.scene(number)[0]
        moves = any(thing.motion != "still" for thing in scene.things)
        if scene.background.kind in kinds and moving in (None, moves):
            return replace(scene, camera="static", camera_speed=0.0)
    raise AssertionError(f"no scene with {kinds} among a hundred")


def world_camera(index: int, camera: str, *, moving: bool) -> CameraClip:
    """A clip whose camera the world moves, over a thing that rests or moves by itself."""
    rng = np.random.default_rng([1, index])
    scene = world_scene(index, moving=moving)
    speed = rng.uniform(0.10, 0.16) if camera.startswith("pan") else rng.uniform(0.18, 0.30)
    if camera.startswith("zoom") and any(t.motion in ("growing", "shrinking") for t in scene.things):
        scene = replace(
            scene, things=world_scene(index, moving=False).things
        )  # else it may look like a dolly zoom
    scene = replace(scene, camera=camera, camera_speed=0.0 if camera == "static" else float(speed))
    kind = f"{scene.background.kind}, thing {'moves' if moving else 'rests'}"
    return CameraClip(camera.replace(" ", "_"), kind, drawn(scene))


def warped_camera(index: int, tag: str) -> CameraClip:
    """A large picture of world things on a pattern, seen through a window that moves as ``tag`` says."""
    rng = np.random.default_rng([2, index])
    canvas = textured_canvas(rng, index)
    speed = {part: float(rng.uniform(0.10, 0.16)) for part in ("pan", "tilt")}
    speed |= {"zoom": float(rng.uniform(0.18, 0.30)), "roll": float(np.radians(rng.uniform(6, 20)))}
    turn = float(rng.choice([-1, 1]))
    frames = np.stack([_view(canvas, tag, speed, turn, i / FPS - DURATION_S / 2) for i in range(NUM_FRAMES)])
    return CameraClip(tag, "warped", frames)


def dolly_zoom(index: int) -> CameraClip:
    """A thing that keeps its size while what is behind it grows or shrinks."""
    rng = np.random.default_rng([3, index])
    canvas = textured_canvas(rng, index)
    things = world_scene(index, moving=False).things[:1]
    radius = float(rng.uniform(0.16, 0.3))
    middle = tuple(rng.uniform(-0.08, 0.08, size=2))
    parameters = replace(things[0].parameters, center=middle)
    thing = replace(things[0], radius=radius, parameters=parameters)
    on = [
        drawn(Scene(things=(thing,), background=Background(kind="plain", colors=(color,))), num_frames=1)[0]
        for color in ("black", "white")
    ]
    black, white = (picture.astype(np.float32) for picture in on)
    see_through = np.clip((white - black) / (245 - 20), 0, 1)  # the greys of the two backgrounds
    thing_only = black - see_through * 20
    tag, speed = str(rng.choice(["zoom_in", "zoom_out"])), {"zoom": float(rng.uniform(0.18, 0.30))}
    behind = np.stack([_view(canvas, tag, speed, 1, i / FPS - DURATION_S / 2) for i in range(NUM_FRAMES)])
    frames = np.clip(np.rint(behind * see_through + thing_only), 0, 255).astype(np.uint8)
    return CameraClip("dolly_zoom", "warped, thing keeps its size", frames)


def textured_canvas(rng: np.random.Generator, index: int) -> np.ndarray:
    """A picture three times as high and wide as a frame: a pattern of the world under soft blotches."""
    scene = world_scene(index, kinds=("checker",) if index % 2 else PATTERNED)
    pattern = replace(scene.background, period=0.25 / 3)
    height, width = 3 * HEIGHT, 3 * WIDTH
    canvas = drawn(Scene(things=(), background=pattern), height=height, width=width, num_frames=1)[0]
    blotches = cv2.GaussianBlur(rng.normal(size=(height, width, 3)).astype(np.float32), (0, 0), 6)
    return np.clip(canvas + 14 * blotches / blotches.std(), 0, 255).astype(np.uint8)


def _view(canvas: np.ndarray, tag: str, speed: dict[str, float], turn: float, time_s: float) -> np.ndarray:
    """What the window shows at a moment; the picture's content goes against the camera."""
    parts = tag.split("+")
    right = {"pan_left": 1, "pan_right": -1}
    down = {"tilt_up": 1, "tilt_down": -1}
    growth = {"zoom_in": 1, "zoom_out": -1}
    shift_x = sum(right.get(part, 0) for part in parts) * speed.get("pan", 0) * time_s * HEIGHT
    shift_y = sum(down.get(part, 0) for part in parts) * speed.get("tilt", 0) * time_s * HEIGHT
    scale = float(np.exp(sum(growth.get(part, 0) for part in parts) * speed.get("zoom", 0) * time_s))
    angle = turn * speed.get("roll", 0) * time_s if "roll" in parts else 0.0
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    middle, target = (3 * WIDTH / 2, 3 * HEIGHT / 2), (WIDTH / 2 + shift_x, HEIGHT / 2 + shift_y)
    matrix = np.array(
        [
            [cos, -sin, target[0] - cos * middle[0] + sin * middle[1]],
            [sin, cos, target[1] - sin * middle[0] - cos * middle[1]],
        ]
    )
    return cv2.warpAffine(
        canvas, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )


WORLD_CAMERAS = ("static", "pan left", "pan right", "zoom in", "zoom out")
WARPED = ("tilt_up", "tilt_down", "roll", "pan_left+zoom_in", "tilt_up+zoom_out", "pan_right+tilt_down")


def known_cameras(rounds: int, *, first: int = 300) -> Iterator[CameraClip]:
    """In each round 20 clips: 10 of the world's own cameras, 3 single and 3 mixed ones, and 4 dolly zooms.

    Rounds below 300 were looked at while the stage was made.
    """
    for index in range(first, first + rounds):
        for moving in (False, True):
            yield from (world_camera(index, camera, moving=moving) for camera in WORLD_CAMERAS)
        yield from (warped_camera(index, tag) for tag in WARPED)
        yield from (dolly_zoom(4 * index + i) for i in range(4))


def without_background(index: int) -> CameraClip:
    """A still camera over a background that shows no motion whatever the camera does."""
    scene = world_scene(index, kinds=("plain", "gradient"))
    moves = any(thing.motion != "still" for thing in scene.things)
    kind = f"{scene.background.kind}, thing {'moves' if moves else 'rests'}"
    return CameraClip("static", kind, drawn(scene))
