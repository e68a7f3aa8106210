"""How beautiful frames are, by a linear head on CLIP's features."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from rufous.evaluation.dimensions.consistency import Embed, embedded
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore, Label
from rufous.evaluation.dimensions.resizing import clip_pixels


@dataclass(frozen=True, kw_only=True)
class AestheticQuality:
    """Mean over frames of LAION's first linear head on CLIP ViT-L/14's unit embedding, by 10; not clipped."""

    embed: Embed
    head: Callable[[Tensor], Tensor]
    """From unit embeddings [n 768] to scores [n] of about 1 to 10."""
    name: str = "aesthetic_quality"
    label: Label = "parity-random"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    @torch.no_grad()
    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score a clip."""
        features = embedded(self.embed, clip.frames, lambda frames: clip_pixels(frames.float()))
        units = F.normalize(features, dim=-1)
        return ClipScore(value=float((self.head(units) / 10.0).mean()))
