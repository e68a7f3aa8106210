"""How well every second frame is guessed from its neighbours."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore, Label, at_least
from rufous.evaluation.dimensions.flow import pad_to_multiple
from rufous.evaluation.dimensions.temporal_flickering import mean_difference

Interpolator: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From frames [b 3 h w] in [0, 1] to those halfway between; sides are multiples of 16."""


@dataclass(frozen=True, kw_only=True)
class MotionSmoothness:
    """(255 - mean |odd frame - guess|) / 255, in [0, 1]; higher is smoother. Guesses are cut to bytes."""

    interpolator: Interpolator
    name: str = "motion_smoothness"
    label: Label = "parity-random"
    needs: ClassVar[str | None] = None

    @torch.no_grad()
    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score a clip of three frames or more; an odd frame without a right neighbour does not count."""
        at_least(clip, 3, self.name)
        evens = pad_to_multiple(clip.floats[::2] / 255.0, 16)
        pairs = zip(evens[:-1].split(1), evens[1:].split(1), strict=True)
        guesses = torch.cat([self.interpolator(*pair) for pair in pairs])
        height, width = clip.frames.shape[-2:]
        top, left = (evens.shape[-2] - height) // 2, (evens.shape[-1] - width) // 2
        guessed = guesses[..., top : top + height, left : left + width]
        as_bytes = (guessed.float() * 255.0).clamp(0.0, 255.0).to(torch.uint8)
        off = mean_difference(clip.frames[1::2][: len(as_bytes)], as_bytes.cpu())
        return ClipScore(value=(255.0 - off) / 255.0)
