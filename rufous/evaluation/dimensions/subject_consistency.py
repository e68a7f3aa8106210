"""Whether the subject stays the same: DINO's features of every frame."""

from dataclasses import dataclass
from typing import ClassVar

from rufous.evaluation.dimensions.consistency import Embed, consistency, embedded
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore, Label, at_least
from rufous.evaluation.dimensions.resizing import dino_pixels


@dataclass(frozen=True, kw_only=True)
class SubjectConsistency:
    """Consistency of DINO ViT-B/16's class token, in [0, 1]; frames are not cropped."""

    embed: Embed
    name: str = "subject_consistency"
    label: Label = "parity-random"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score a clip of two frames or more."""
        at_least(clip, 2, self.name)
        return consistency(embedded(self.embed, clip.frames, lambda frames: dino_pixels(frames.float())))
