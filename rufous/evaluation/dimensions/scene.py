"""Whether a captioner names the scene."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.detections import NUM_FRAMES, Captioner, share_of_frames
from rufous.evaluation.dimensions.dimension import ClipScore, Label, needed


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Share of frames whose caption holds every word of the scene. VBench's own captioner is Tag2Text."""

    captioner: Captioner
    name: str = "proxy_scene"
    label: Label = "proxy"
    needs: ClassVar[str | None] = "scene"
    version: ClassVar[int] = 1

    @torch.no_grad()
    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score a clip whose suite says what to look for."""
        words = needed(clip, "scene", "scene", "scene").split(" ")
        captions = self.captioner(clip.middle(NUM_FRAMES))
        return share_of_frames([all(word in caption for word in words) for caption in captions])
