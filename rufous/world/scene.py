"""What a clip shows: things, a background and a camera; how scenes are drawn, and which are held out.

Lengths are fractions of the frame's shorter side; the origin is the frame's centre, x points right, y down.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from rufous.world.motion import IN_PLACE_MOTIONS, MOTIONS, MotionParameters, sample_motion
from rufous.world.shapes import SHAPES, TURN_SYMMETRIC_SHAPES, extent

Level = Literal["core", "full"]
Split = Literal["train", "held_out", "any"]
Color = tuple[int, int, int]

COLORS: dict[str, Color] = {
    "red": (220, 40, 40),
    "orange": (245, 140, 30),
    "yellow": (250, 215, 40),
    "green": (40, 165, 70),
    "cyan": (50, 205, 215),
    "blue": (45, 85, 225),
    "purple": (140, 60, 190),
    "pink": (250, 130, 185),
    "white": (250, 250, 250),
    "black": (15, 15, 15),
}
"""Colours of things; RGB in [0, 255]."""

BACKGROUND_COLORS: dict[str, Color] = {
    "white": (245, 245, 245),
    "gray": (128, 128, 128),
    "black": (20, 20, 20),
    "beige": (232, 215, 185),
    "navy": (25, 35, 90),
    "brown": (110, 70, 45),
}
"""Colours of backgrounds; RGB in [0, 255]."""

SIZES: dict[str, float] = {"small": 0.10, "medium": 0.145, "large": 0.21}
"""Radius of the disc with the same area as the thing, as a fraction of the shorter side."""

RELATIONS = ("left of", "right of", "above", "below")
CAMERAS = ("static", "pan left", "pan right", "zoom in", "zoom out")
CORE_BACKGROUNDS = ("plain", "gradient")
PATTERNS = ("checker", "stripes")

SIZE_JITTER = 0.06
MIN_CONTRAST = 90.0
"""Smallest RGB distance between a thing and any colour behind it, and between two colours of a background."""
HELD_OUT_SHARE = 10
"""One of so many (shape, colour, motion) combinations is never trained on."""

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One coloured shape with its motion."""

    shape: str
    color: str
    size: str
    motion: str
    radius: float
    """Equal-area radius at scale 1, as a fraction of the shorter side."""
    parameters: MotionParameters


@dataclass(frozen=True, kw_only=True)
class Background:
    """A plain colour, a gradient from top to bottom, a checker or vertical stripes of two colours."""

    kind: str
    colors: tuple[str, ...]
    """One name for ``plain``, two for the others; a gradient runs from the first (top) to the second."""
    period: float = 0.25
    """Width of one checker field or stripe, as a fraction of the shorter side."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that decides a clip but its size, length and fps."""

    things: tuple[Thing, ...]
    background: Background
    camera: str = "static"
    camera_speed: float = 0.0
    """Pan in shorter sides per second, or zoom as the logarithm of the scale per second."""
    relation: str | None = None
    """Where the first of two things stands, seen from the second; one of ``RELATIONS``."""


def is_held_out(shape: str, color: str, motion: str) -> bool:
    """Whether the combination belongs to the deterministic tenth that is never trained on."""
    digest = hashlib.blake2b(f"{shape}/{color}/{motion}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % HELD_OUT_SHARE == 0


def is_observable(shape: str, motion: str) -> bool:
    """Whether the motion of this shape can be seen at all: a turning circle or ring looks still."""
    return not (motion == "rotating" and shape in TURN_SYMMETRIC_SHAPES)


def sample_scene(
    rng: np.random.Generator, *, level: Level = "core", split: Split = "train", duration_s: float = 2.0
) -> Scene:
    """Draw a scene.

    Args:
        rng: Source of randomness; equal states give equal scenes.
        level: ``core`` is one thing on a plain or gradient background. ``full`` draws from core too, and adds
            patterns, a moving camera over a still thing, and two things with a relation.
        split: ``train`` never holds a held-out combination, ``held_out`` holds nothing else.
        duration_s: Length of the clip; motion is kept inside the frame for so long.

    Raises:
        ValueError: An unknown level or split.
    """
    if level not in ("core", "full") or split not in ("train", "held_out", "any"):
        raise ValueError(f"level={level!r}, split={split!r}: use core or full, and train, held_out or any")
    kind = "thing" if level == "core" else pick(rng, ("thing", "pattern", "camera", "pair"))
    if kind == "pair":
        return _sample_pair(rng, split)
    background = _sample_background(rng, CORE_BACKGROUNDS if kind == "thing" else PATTERNS)
    motions = ("still",) if kind == "camera" else MOTIONS
    thing = _sample_thing(rng, background, motions, split=split, duration_s=duration_s)
    if kind != "camera":
        return Scene(things=(thing,), background=background)
    camera = pick(rng, CAMERAS[1:])
    speed = rng.uniform(0.10, 0.16) if camera.startswith("pan") else rng.uniform(0.18, 0.30)
    return Scene(things=(thing,), background=background, camera=camera, camera_speed=float(speed))


def pick(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    """One item, each equally likely."""
    return items[int(rng.integers(len(items)))]


def background_rgb(background: Background) -> np.ndarray:
    """The colours of a background as an array [n 3], RGB in [0, 255]."""
    return np.array([BACKGROUND_COLORS[name] for name in background.colors], dtype=np.float64)


def has_contrast(color: str, background: Background) -> bool:
    """Whether a thing of this colour stands out everywhere on the background."""
    ends = background_rgb(background)
    steps = np.linspace(0, 1, 9)[:, None] if background.kind == "gradient" else np.array([[0.0], [1.0]])
    behind = ends[:1] * (1 - steps) + ends[-1:] * steps
    return bool(np.linalg.norm(behind - np.array(COLORS[color]), axis=1).min() >= MIN_CONTRAST)


def _sample_background(rng: np.random.Generator, kinds: Sequence[str]) -> Background:
    kind = pick(rng, kinds)
    count = 1 if kind == "plain" else 2
    while True:
        names = rng.choice(list(BACKGROUND_COLORS), size=count, replace=False)
        background = Background(kind=kind, colors=tuple(str(name) for name in names))
        ends = background_rgb(background)
        if count == 1 or np.linalg.norm(ends[0] - ends[1]) >= MIN_CONTRAST:
            return background


def _sample_thing(
    rng: np.random.Generator,
    background: Background,
    motions: Sequence[str],
    *,
    split: Split,
    duration_s: float,
    center: tuple[float, float] | None = None,
    sizes: Sequence[str] = tuple(SIZES),
    without_color: str | None = None,
) -> Thing:
    """A thing that stands out and belongs to the split; ``center`` fixes its place, else it is drawn."""
    while True:
        shape, color, motion = pick(rng, SHAPES), pick(rng, list(COLORS)), pick(rng, motions)
        if not is_observable(shape, motion) or not has_contrast(color, background) or color == without_color:
            continue
        if split == "any" or is_held_out(shape, color, motion) == (split == "held_out"):
            break
    size = pick(rng, sizes)
    radius = SIZES[size] * float(rng.uniform(1 - SIZE_JITTER, 1 + SIZE_JITTER))
    parameters = sample_motion(
        rng, motion, reach=radius * extent(shape), duration_s=duration_s, center=center
    )
    return Thing(shape=shape, color=color, size=size, motion=motion, radius=radius, parameters=parameters)


def _sample_pair(rng: np.random.Generator, split: Split) -> Scene:
    """Two things of different colours side by side or one above the other, each moving in place."""
    background = _sample_background(rng, (*CORE_BACKGROUNDS, *PATTERNS))
    relation = pick(rng, RELATIONS)
    gap, drift = float(rng.uniform(0.24, 0.28)), float(rng.uniform(-0.06, 0.06))
    sign = -1.0 if relation in ("left of", "above") else 1.0
    horizontal = relation in ("left of", "right of")
    first = (sign * gap, drift) if horizontal else (drift, sign * gap)
    things: list[Thing] = []
    for center in (first, (-first[0], -first[1])):
        things.append(
            _sample_thing(
                rng,
                background,
                IN_PLACE_MOTIONS,
                split=split,
                duration_s=2.0,
                center=center,
                sizes=("small", "medium"),
                without_color=things[0].color if things else None,
            )
        )
    return Scene(things=tuple(things), background=background, relation=relation)
