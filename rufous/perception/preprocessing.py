"""From frames in [-1, 1] to what an image model reads: fitted, normalised, and differentiable all the way.

The published paths go through PIL and bytes, which cut gradients. This one agrees with them up to the
rounding to bytes.

Shapes: n frames, h w pixels.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from rufous.video.frames import center_crop, resize

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP's release, as is the next
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What one image model does to its pixels; they are in [0, 1] before ``mean`` and ``std``."""

    size: int = 224
    """Side of the square that the model reads, in pixels."""
    fit: Literal["crop", "pad"] = "crop"
    """``crop``: the shorter side becomes ``size``, the middle is kept. ``pad``: the longer side becomes
    ``size``, and black fills the square."""
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    def __post_init__(self) -> None:
        if self.size < 1 or min(self.std) <= 0:
            raise ValueError(f"size={self.size} and std={self.std} must be positive")


def preprocess(frames: Float[Tensor, "n 3 h w"], config: Preprocessing) -> Float[Tensor, "n 3 s s"]:
    """Frames in [-1, 1] as an image model reads them; at least float32.

    Values beyond [-1, 1], and what the bicubic filter overshoots, saturate: their gradient is zero.

    Source:
        open_clip and transformers. Differs from them: no rounding to bytes after resizing.
    """
    pixels = frames.to(torch.promote_types(frames.dtype, torch.float32))
    pixels = (0.5 * pixels + 0.5).clamp(0.0, 1.0)
    height, width = _fitted_size(pixels.shape[-2], pixels.shape[-1], config)
    pixels = resize(pixels, height=height, width=width).clamp(0.0, 1.0)
    if config.fit == "crop":
        pixels = center_crop(pixels, height=config.size, width=config.size)
    else:
        pixels = _pad_to_square(pixels, config.size)
    mean, std = (pixels.new_tensor(values).reshape(3, 1, 1) for values in (config.mean, config.std))
    return (pixels - mean) / std


def _fitted_size(height: int, width: int, config: Preprocessing) -> tuple[int, int]:
    """Height and width before cropping or padding; lengths are cut or rounded as the published code does."""
    if config.fit == "crop":
        shorter = min(height, width)
        return int(config.size * height / shorter), int(config.size * width / shorter)
    scale = config.size / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _pad_to_square(pixels: Tensor, size: int) -> Tensor:
    height, width = pixels.shape[-2:]
    top, left = (size - height) // 2, (size - width) // 2
    return F.pad(pixels, (left, size - width - left, top, size - height - top))
