"""How well every second frame is guessed from its neighbours."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, TypeAlias

import torch
from jaxtyping import UInt8
from torch import Tensor

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore, Label, at_least, too_small
from rufous.evaluation.dimensions.flow import pad_to_multiple
from rufous.evaluation.dimensions.temporal_flickering import mean_difference

Interpolator: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From frames [b 3 h w] in [0, 1] to those halfway between; sides are multiples of 16."""


@dataclass(frozen=True, kw_only=True)
class MotionSmoothness:
    """(255 - mean |odd frame - guess|) / 255, in [0, 1]; higher is smoother. Guesses are cut to bytes."""

    interpolator: Interpolator
    min_side_px: int = 1
    """Smaller frames are not measured: ``interpolator`` cannot read them."""
    name: str = "motion_smoothness"
    label: Label = "parity-random"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    @torch.no_grad()
    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score a clip of three frames or more; an odd frame without a right neighbour does not count."""
        at_least(clip, 3, self.name)
        if (refused := too_small(clip, self.min_side_px)) is not None:
            return refused
        guessed = torch.cat([self._between(*pair) for pair in pairwise(clip.frames[::2].split(1))])
        off = mean_difference(clip.frames[1::2][: len(guessed)], guessed)
        return ClipScore(value=(255.0 - off) / 255.0)

    def _between(self, first: UInt8[Tensor, "1 3 h w"], second: UInt8[Tensor, "1 3 h w"]) -> Tensor:
        """The bytes of the frame between two others."""
        before, after = (pad_to_multiple(frame.float() / 255.0, 16) for frame in (first, second))
        (height, width), padded = first.shape[-2:], self.interpolator(before, after)
        top, left = (before.shape[-2] - height) // 2, (before.shape[-1] - width) // 2
        guessed = padded[..., top : top + height, left : left + width]
        return (guessed.float() * 255.0).clamp(0.0, 255.0).to(torch.uint8).cpu()
