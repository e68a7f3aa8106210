"""Clips of one grey a frame, and stand-ins for the networks that read two frames."""

import torch
from torch import Tensor

from rufous.evaluation.dimensions.decoded_clip import DecodedClip


def clip_of(frames: Tensor, fps: float = 8.0) -> DecodedClip:
    return DecodedClip(frames=frames, fps=fps)


def levels(*values: int, size: int = 16) -> DecodedClip:
    """Frames of one grey each."""
    return clip_of(torch.tensor(values, dtype=torch.uint8)[:, None, None, None].repeat(1, 3, size, size))


def constant(x: float):
    """A flow of one displacement everywhere."""
    return lambda first, second: (
        torch.zeros(len(first), 2, *first.shape[-2:]) + torch.tensor([x, 0.0]).reshape(2, 1, 1)
    )


def by_level(first: Tensor, second: Tensor) -> Tensor:
    """A flow as large as the first frame's grey."""
    return torch.cat([first[:, :1], torch.zeros_like(first[:, :1])], dim=1)


def halfway(first: Tensor, second: Tensor) -> Tensor:
    return (first + second) / 2
