"""Clips spoilt on purpose, to check that the yardstick refuses them: each breaks one attribute of a thing."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

from rufous.world.motion import pose
from rufous.world.render import render
from rufous.world.scene import COLORS, MIN_CONTRAST, Scene, Thing, has_contrast, pick
from rufous.world.shapes import SHAPES


@dataclass(frozen=True)
class _Size:
    num_frames: int
    height: int
    width: int
    fps: float


Spoiler = Callable[[Scene, np.random.Generator, _Size], "Tensor | None"]


def spoil(
    kind: str,
    scene: Scene,
    rng: np.random.Generator,
    *,
    num_frames: int = 16,
    height: int = 64,
    width: int = 64,
    fps: float = 8.0,
) -> UInt8[Tensor, "f 3 h w"] | None:
    """Render a scene and break the attribute named in ``SPOILT_ATTRIBUTE`` for its first thing.

    Args:
        kind: One of ``SPOILERS``.
        scene: What the clip would show.
        rng: Chooses where and how.
        num_frames: Frames of the clip.
        height: Pixels.
        width: Pixels.
        fps: Frames per second.

    Returns:
        The frames, or None where this scene cannot be spoilt so (a still thing has no motion to break).

    Raises:
        ValueError: An unknown kind.
    """
    if kind not in SPOILERS:
        raise ValueError(f"kind={kind!r} is unknown: use one of {', '.join(SPOILERS)}")
    return SPOILERS[kind](scene, rng, _Size(num_frames, height, width, fps))


def _render(scene: Scene, size: _Size) -> Tensor:
    return render(
        scene,
        num_frames=size.num_frames,
        height=size.height,
        width=size.width,
        fps=size.fps,
    )


def _with_first(scene: Scene, thing: Thing) -> Scene:
    return replace(scene, things=(thing, *scene.things[1:]))


def _without_first(scene: Scene, size: _Size) -> Tensor:
    return _render(replace(scene, things=scene.things[1:]), size)


def _blend(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """First where ``share`` is 1, second where it is 0."""
    return (first * share + second * (1 - share)).round().to(torch.uint8)


def _half(scene: Scene, size: _Size, rng: np.random.Generator) -> Tensor | None:
    """1 on one side of the first thing's centre, 0 on the other [f 1 h w]; None if the camera moves."""
    if scene.camera != "static":
        return None
    thing, side = scene.things[0], min(size.height, size.width)
    times_s = np.arange(size.num_frames) / size.fps
    path = pose(thing.motion, thing.parameters, times_s, max(times_s[-1], 1e-9))
    sign = 1.0 if rng.uniform() < 0.5 else -1.0
    if rng.uniform() < 0.5:
        x = (torch.arange(size.width) + 0.5 - size.width / 2) / side
        share = ((x - torch.from_numpy(path.x)[:, None]) * sign > 0).float()
        return rearrange(share, "f w -> f 1 1 w")
    y = (torch.arange(size.height) + 0.5 - size.height / 2) / side
    share = ((y - torch.from_numpy(path.y)[:, None]) * sign > 0).float()
    return rearrange(share, "f h -> f 1 h 1")


def _half_faded(scene: Scene, rng: np.random.Generator, size: _Size) -> Tensor | None:
    """One half of the thing is half transparent."""
    share = _half(scene, size, rng)
    if share is None:
        return None
    return _blend(_render(scene, size), _without_first(scene, size), 0.5 + 0.5 * share)


def _fading(scene: Scene, rng: np.random.Generator, size: _Size) -> Tensor | None:
    """The thing fades to half transparent over the second half of the clip."""
    share = (1.5 - torch.linspace(0, 1, size.num_frames)).clamp(max=1)
    return _blend(_render(scene, size), _without_first(scene, size), rearrange(share, "f -> f 1 1 1"))


def _stops_halfway(scene: Scene, rng: np.random.Generator, size: _Size) -> Tensor | None:
    """The first half is right, then everything stands."""
    if scene.things[0].motion == "still":
        return None
    frames = _render(scene, size)
    return frames[torch.arange(len(frames)).clamp(max=len(frames) // 2)]


def _turns_back(scene: Scene, rng: np.random.Generator, size: _Size) -> Tensor | None:
    """The second half runs backwards."""
    if scene.things[0].motion in ("still", "bouncing"):  # a bounce backwards is a bounce
        return None
    frames = _render(scene, size)
    index = torch.arange(len(frames))
    return frames[torch.minimum(index, len(frames) - 1 - index)]


def _other_color(scene: Scene, rng: np.random.Generator) -> Thing:
    first = scene.things[0]
    far = [
        name
        for name, rgb in COLORS.items()
        if np.linalg.norm(np.subtract(rgb, COLORS[first.color])) > MIN_CONTRAST
        and has_contrast(name, scene.background)
        and name not in [thing.color for thing in scene.things]
    ]
    return replace(first, color=pick(rng, far))


def _two_colors(scene: Scene, rng: np.random.Generator, size: _Size) -> Tensor | None:
    """One half of the thing has another colour."""
    share = _half(scene, size, rng)
    if share is None:
        return None
    other = _with_first(scene, _other_color(scene, rng))
    return _blend(_render(scene, size), _render(other, size), share)


def _alternating_colors(scene: Scene, rng: np.random.Generator, size: _Size) -> Tensor | None:
    """Every other frame has another colour."""
    frames = _render(scene, size).clone()
    frames[1::2] = _render(_with_first(scene, _other_color(scene, rng)), size)[1::2]
    return frames


def _recolored_halfway(scene: Scene, rng: np.random.Generator, size: _Size) -> Tensor | None:
    """The second half has another colour."""
    frames = _render(scene, size).clone()
    half = len(frames) // 2
    frames[half:] = _render(_with_first(scene, _other_color(scene, rng)), size)[half:]
    return frames


def _morphing(scene: Scene, rng: np.random.Generator, size: _Size) -> Tensor | None:
    """The second half has another shape."""
    frames = _render(scene, size).clone()
    half = len(frames) // 2
    shape = pick(rng, [name for name in SHAPES if name != scene.things[0].shape])
    frames[half:] = _render(_with_first(scene, replace(scene.things[0], shape=shape)), size)[half:]
    return frames


def _vanishing(scene: Scene, rng: np.random.Generator, size: _Size) -> Tensor | None:
    """The thing is gone for a quarter of the clip."""
    frames = _render(scene, size).clone()
    gone = max(len(frames) // 4, 1)
    start = int(rng.integers(1, len(frames) - gone))
    frames[start : start + gone] = _without_first(scene, size)[start : start + gone]
    return frames


def _frozen(scene: Scene, rng: np.random.Generator, size: _Size) -> Tensor | None:
    """One frame for the whole clip."""
    if scene.things[0].motion == "still":
        return None
    frames = _render(scene, size)
    return frames[len(frames) // 3].expand_as(frames).contiguous()


def _shuffled(scene: Scene, rng: np.random.Generator, size: _Size) -> Tensor | None:
    """The frames in random order."""
    if scene.things[0].motion == "still":
        return None
    frames = _render(scene, size)
    return frames[torch.from_numpy(rng.permutation(len(frames)))]


def _teleporting(scene: Scene, rng: np.random.Generator, size: _Size) -> Tensor | None:
    """From the middle on, the whole thing is elsewhere."""
    frames, half = _render(scene, size).clone(), size.num_frames // 2
    first = scene.things[0]
    x, y = first.parameters.center
    moved = replace(first.parameters, center=(x - 0.2 if x > 0 else x + 0.2, y))
    frames[half:] = _render(_with_first(scene, replace(first, parameters=moved)), size)[half:]
    return frames


SPOILERS: dict[str, Spoiler] = {
    "half faded": _half_faded,
    "fading": _fading,
    "stops halfway": _stops_halfway,
    "turns back": _turns_back,
    "two colors": _two_colors,
    "alternating colors": _alternating_colors,
    "recolored halfway": _recolored_halfway,
    "morphing": _morphing,
    "vanishing": _vanishing,
    "frozen": _frozen,
    "shuffled": _shuffled,
    "teleporting": _teleporting,
}

SPOILT_ATTRIBUTE = {
    "half faded": "color",
    "fading": "color",
    "stops halfway": "motion",
    "turns back": "motion",
    "two colors": "color",
    "alternating colors": "color",
    "recolored halfway": "color",
    "morphing": "shape",
    "vanishing": "motion",
    "frozen": "motion",
    "shuffled": "motion",
    "teleporting": "motion",
}
"""The attribute of which ``judge`` must not say "right"."""
