"""Clips of noise, and a reward whose score can be told by hand."""

import torch
from torch import Tensor

PROMPTS = ["a red circle moving left", "a blue square"]


def noise(num_frames: int = 6, size: int = 16, count: int = 2, seed: int = 0) -> Tensor:
    """Clips [b 3 f h w] in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, num_frames, size, size, generator=generator) * 2 - 1


class Brightness:
    """Mean of all pixels; remembers the clips it was given."""

    def __init__(self, name: str = "brightness") -> None:
        self.name = name
        self.seen: list[Tensor] = []

    def score(self, video, prompts):
        self.seen.append(video)
        return video.mean(dim=(1, 2, 3, 4))


def counting(num_frames: int) -> Tensor:
    """One clip whose frame ``i`` has the value ``i / 100`` everywhere."""
    return (torch.arange(num_frames) / 100).reshape(1, 1, -1, 1, 1).expand(1, 3, -1, 2, 2).clone()
