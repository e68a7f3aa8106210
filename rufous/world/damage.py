"""Clips of the world damaged as raw footage is, to see whether curation finds them and what it is worth.

Other than in ``spoiling``, whose clips break what their captions say, the picture is bad throughout, or it is
fine and the caption is another clip's.
"""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

from rufous.world.render import render
from rufous.world.scene import BACKGROUND_COLORS, Background, Scene, has_contrast, pick

DAMAGES = ("blur", "flashing", "dolly_zoom", "wrong_caption")
"""What can be wrong; ``wrong_caption`` leaves the pixels as they are."""


def damaged(
    kind: str, scene: Scene, rng: np.random.Generator, *, num_frames: int, size: int, fps: float
) -> UInt8[Tensor, "f 3 h w"]:
    """Render a scene with one damage.

    * ``blur``: a Gaussian of 3 to 6 % of the side.
    * ``flashing``: every second frame 30 to 60 % towards white.
    * ``dolly_zoom``: the thing keeps its size while a checker behind it grows by half or more.

    Args:
        kind: One of ``DAMAGES``.
        scene: What the clip would show.
        rng: How strong.
        num_frames: Frames of the clip.
        size: Pixels of each side.
        fps: Frames per second.

    Raises:
        ValueError: An unknown kind.
    """
    if kind not in DAMAGES:
        raise ValueError(f"kind={kind!r} is unknown: use one of {', '.join(DAMAGES)}")

    def drawn(scene: Scene) -> Tensor:
        return render(scene, num_frames=num_frames, height=size, width=size, fps=fps)

    if kind == "blur":
        return _blurred(drawn(scene), size * float(rng.uniform(0.03, 0.06)))
    if kind == "flashing":
        return _flashing(drawn(scene), float(rng.uniform(0.3, 0.6)))
    if kind == "dolly_zoom":
        growth_per_s = float(rng.uniform(0.4, 0.7)) * fps / max(num_frames - 1, 1)
        behind = replace(
            scene, things=(), background=_checker(scene, rng), camera="zoom in", camera_speed=growth_per_s
        )
        whole, empty = drawn(scene), drawn(replace(scene, things=()))
        is_thing = (whole != empty).any(dim=1, keepdim=True)
        return torch.where(is_thing, whole, drawn(behind))
    return drawn(scene)


def _blurred(frames: Tensor, sigma_px: float) -> Tensor:
    reach = max(1, round(3 * sigma_px))
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32)
    weights = torch.exp(-0.5 * (offsets / sigma_px) ** 2)
    weights /= weights.sum()
    planes = rearrange(frames.float(), "f c h w -> (f c) 1 h w")
    planes = F.pad(planes, (reach, reach, reach, reach), mode="replicate")
    planes = F.conv2d(F.conv2d(planes, weights[None, None, None]), weights[None, None, :, None])
    return rearrange(planes, "(f c) 1 h w -> f c h w", c=3).round().clamp(0, 255).to(torch.uint8)


def _flashing(frames: Tensor, share: float) -> Tensor:
    flashed = frames.float()
    flashed[1::2] += share * (255 - flashed[1::2])
    return flashed.round().to(torch.uint8)


def _checker(scene: Scene, rng: np.random.Generator) -> Background:
    """A checker that things of the scene stand out from, if two colours of backgrounds allow it."""
    names = list(BACKGROUND_COLORS)
    for _ in range(100):
        first = pick(rng, names)
        second = pick(rng, [name for name in names if name != first])
        found = Background(kind="checker", colors=(first, second), period=0.25)
        if all(has_contrast(thing.color, found) for thing in scene.things):
            break
    return found
