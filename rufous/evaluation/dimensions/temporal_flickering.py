"""How little consecutive frames differ. Of use on clips that should stand still: see ``static_filter``."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import UInt8
from torch import Tensor

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore, Label, at_least


@dataclass(frozen=True, kw_only=True)
class TemporalFlickering:
    """(255 - mean over pairs of the mean absolute difference) / 255, in [0, 1]; higher is steadier."""

    name: str = "temporal_flickering"
    label: Label = "exact"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score a clip of two frames or more."""
        at_least(clip, 2, self.name)
        return ClipScore(value=(255.0 - mean_difference(clip.frames[:-1], clip.frames[1:])) / 255.0)


def mean_difference(first: UInt8[Tensor, "n c h w"], second: UInt8[Tensor, "n c h w"]) -> float:
    """Mean over pairs of the mean absolute difference of their bytes, summed in whole numbers."""
    total = 0
    for one, other in zip(first, second, strict=True):
        total += int((torch.maximum(one, other) - torch.minimum(one, other)).sum(dtype=torch.int64))
    return total / first.numel()
