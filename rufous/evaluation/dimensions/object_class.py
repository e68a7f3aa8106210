"""Whether the thing that the prompt names is there."""

from dataclasses import dataclass
from typing import ClassVar

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.detections import Detector, seen_names, share_of_frames
from rufous.evaluation.dimensions.dimension import ClipScore, Label, needed


@dataclass(frozen=True, kw_only=True)
class ObjectClass:
    """Share of frames in which a detection has the wanted class. VBench's own detector is GRiT."""

    detector: Detector
    name: str = "proxy_object_class"
    label: Label = "proxy"
    needs: ClassVar[str | None] = "object_class"
    version: ClassVar[int] = 1

    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score a clip whose suite says what to look for."""
        wanted = needed(clip, "object_class", "object")
        return share_of_frames([wanted in names for names in seen_names(self.detector, clip)])
