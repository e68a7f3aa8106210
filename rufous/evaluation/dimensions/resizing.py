"""Resizing and cropping as VBench's transforms do it, without the package that they come from.

Tensors are resized without antialiasing, pictures (PIL) with it. Floats keep what the bicubic filter
overshoots; bytes are clamped and rounded. The longer side is cut to a whole number, and crops begin at
``round`` of half the surplus, which rounds halves to even. The arithmetic is float32.

Source: VBench (arXiv:2311.17982), vbench/utils.py of its release; torchvision's documentation.

Shapes: n frames, h w pixels, s side.
"""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Shaped, UInt8
from PIL import Image
from torch import Tensor

from rufous.perception.preprocessing import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD

Mode = Literal["bicubic", "bilinear"]


def shorter_side_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width after the shorter side became ``side``; the longer one is cut, not rounded."""
    if height <= width:
        return side, int(side * width / height)
    return int(side * height / width), side


def resize_plain(
    frames: Shaped[Tensor, "n c h w"], height: int, width: int, mode: Mode
) -> Shaped[Tensor, "n c {height} {width}"]:
    """Frames resized without antialiasing; the dtype is kept."""
    if frames.shape[-2:] == (height, width):
        return frames
    resized = F.interpolate(frames.float(), (height, width), mode=mode, align_corners=False)
    if frames.dtype == torch.uint8:
        return resized.clamp(0, 255).round().to(torch.uint8)
    return resized


def crop_center(frames: Shaped[Tensor, "n c h w"], side: int) -> Shaped[Tensor, "n c {side} {side}"]:
    """The middle square; both sides are at least ``side``."""
    height, width = frames.shape[-2:]
    top, left = round((height - side) / 2.0), round((width - side) / 2.0)
    return frames[..., top : top + side, left : left + side]


def clip_pixels(frames: Shaped[Tensor, "n 3 h w"], side: int = 224) -> Float[Tensor, "n 3 {side} {side}"]:
    """Frames in [0, 255], bytes or floats, as CLIP and ViCLIP read them here."""
    size = shorter_side_size(frames.shape[-2], frames.shape[-1], side)
    return _normalized(crop_center(resize_plain(frames, *size, "bicubic"), side), CLIP_MEAN, CLIP_STD)


def clip_picture_pixels(
    frames: UInt8[Tensor, "n 3 h w"], side: int = 224
) -> Float[Tensor, "n 3 {side} {side}"]:
    """Frames by way of pictures, whose resizing antialiases; only appearance_style takes this way."""
    height, width = shorter_side_size(frames.shape[-2], frames.shape[-1], side)
    pictures = (Image.fromarray(rearrange(frame, "c h w -> h w c").contiguous().numpy()) for frame in frames)
    resized = [np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC)) for picture in pictures]
    stacked = rearrange(torch.from_numpy(np.stack(resized)), "n h w c -> n c h w")
    return _normalized(crop_center(stacked, side), CLIP_MEAN, CLIP_STD)


def dino_pixels(frames: Shaped[Tensor, "n 3 h w"], side: int = 224) -> Float[Tensor, "n 3 h2 w2"]:
    """Frames in [0, 255] with the shorter side ``side``, not cropped."""
    size = shorter_side_size(frames.shape[-2], frames.shape[-1], side)
    return _normalized(resize_plain(frames, *size, "bilinear"), IMAGENET_MEAN, IMAGENET_STD)


def action_pixels(frames: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 224 224"]:
    """Bytes with the shorter side 256, cropped to 224. The published code resizes by OpenCV, in fixed point:
    one grey level may differ."""
    size = shorter_side_size(frames.shape[-2], frames.shape[-1], 256)
    return _normalized(crop_center(resize_plain(frames, *size, "bilinear"), 224), IMAGENET_MEAN, IMAGENET_STD)


def quality_pixels(frames: Float[Tensor, "n 3 h w"], longest: int = 512) -> Float[Tensor, "n 3 h2 w2"]:
    """Frames in [0, 255] as [0, 1], shrunk to a longer side of ``longest`` if it is more."""
    height, width = frames.shape[-2:]
    if max(height, width) > longest:
        scale = longest / max(height, width)
        frames = resize_plain(frames, int(scale * height), int(scale * width), "bilinear")
    return frames / 255.0


def _normalized(
    frames: Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Float[Tensor, "n 3 h w"]:
    pixels = frames.float() / 255.0
    return (pixels - pixels.new_tensor(mean).reshape(3, 1, 1)) / pixels.new_tensor(std).reshape(3, 1, 1)
