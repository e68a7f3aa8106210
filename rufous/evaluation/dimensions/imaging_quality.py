"""How free of blur, noise and bad exposure frames are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore, Label
from rufous.evaluation.dimensions.resizing import quality_pixels

FrameScorer: TypeAlias = Callable[[Tensor], Tensor]
"""From one frame [1 3 h w] in [0, 1] to its quality [1], 0 to 100."""


@dataclass(frozen=True, kw_only=True)
class ImagingQuality:
    """Mean over frames of MUSIQ (SPAQ) by 100; frames are shrunk to a longer side of 512.

    The published file keeps the clips' values between 0 and 100.
    """

    scorer: FrameScorer
    name: str = "imaging_quality"
    label: Label = "parity-random"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    @torch.no_grad()
    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score a clip."""
        scores = torch.cat([self.scorer(quality_pixels(frame.float())) for frame in clip.frames.split(1)])
        mean = float(scores.double().mean())
        return ClipScore(value=mean / 100.0, details={"video_results": mean})
