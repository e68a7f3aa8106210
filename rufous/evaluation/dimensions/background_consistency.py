"""Whether the background stays the same: CLIP's features of every frame."""

from dataclasses import dataclass, replace
from typing import ClassVar

from rufous.evaluation.dimensions.consistency import Embed, consistency, embedded
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore, Label, at_least
from rufous.evaluation.dimensions.resizing import clip_pixels


@dataclass(frozen=True, kw_only=True)
class BackgroundConsistency:
    """Consistency of CLIP ViT-B/32's image embedding, in [0, 1]."""

    embed: Embed
    name: str = "background_consistency"
    label: Label = "parity-random"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score a clip of two frames or more."""
        at_least(clip, 2, self.name)
        score = consistency(embedded(self.embed, clip.frames, lambda frames: clip_pixels(frames.float())))
        sums = {"video_sim": (score.value or 0.0) * score.weight, "cnt_per_video": int(score.weight)}
        return replace(score, details=sums)
