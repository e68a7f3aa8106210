"""Whether both things that the prompt names are there at once."""

from dataclasses import dataclass
from typing import ClassVar

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.detections import Detector, seen_names, share_of_frames
from rufous.evaluation.dimensions.dimension import ClipScore, Label, needed


@dataclass(frozen=True, kw_only=True)
class MultipleObjects:
    """Share of frames with detections of both classes of ``A and B``. VBench's own detector is GRiT."""

    detector: Detector
    name: str = "proxy_multiple_objects"
    label: Label = "proxy"
    needs: ClassVar[str | None] = "multiple_objects"
    version: ClassVar[int] = 1

    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score a clip whose suite says what to look for."""
        wanted = {part.strip() for part in needed(clip, "multiple_objects", "object").split(" and ")}
        return share_of_frames([wanted <= names for names in seen_names(self.detector, clip)])
