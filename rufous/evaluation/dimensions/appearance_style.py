"""How well single frames show the style that the prompt asks for."""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F

from rufous.evaluation.dimensions.consistency import Embed, EmbedText, embedded
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore, Label, needed
from rufous.evaluation.dimensions.resizing import clip_picture_pixels


@dataclass(frozen=True, kw_only=True)
class AppearanceStyle:
    """Mean cosine of CLIP ViT-B/32 between frames and the words of the style alone, about 0 to 0.29.

    The published code divides the scaled cosine by 100, where the scale is that only to a few digits.
    """

    embed: Embed
    embed_text: EmbedText
    name: str = "appearance_style"
    label: Label = "parity-random"
    needs: ClassVar[str | None] = "appearance_style"
    version: ClassVar[int] = 1

    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score a clip; it weighs as much as it has frames."""
        style = needed(clip, "appearance_style", "appearance_style")
        images = F.normalize(embedded(self.embed, clip.frames, clip_picture_pixels), dim=-1)
        cosines = [float(value) for value in (images @ self.embed_text([style])[0]).tolist()]
        return ClipScore(
            value=sum(cosines) / len(cosines),
            weight=len(cosines),
            details={"frame_results": cosines, "cur_sim": cosines[-1]},
        )
