"""Whether two things stand beside or above each other.

As in the published code, neither the direction nor which thing is which is looked at: left is right, and two
cars satisfy "a bicycle on the left of a car".
"""

from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.detections import Detector, sampled_frames
from rufous.evaluation.dimensions.dimension import ClipScore, Label, needed

Box = tuple[float, float, float, float]
MAX_OVERLAP = 0.1
HORIZONTAL = ("on the left of", "on the right of")
VERTICAL = ("on the top of", "on the bottom of")


@dataclass(frozen=True, kw_only=True)
class SpatialRelationship:
    """Mean over frames of the best pair's score. VBench's own detector is GRiT."""

    detector: Detector
    name: str = "proxy_spatial_relationship"
    label: Label = "proxy"
    needs: ClassVar[str | None] = "spatial_relationship"
    version: ClassVar[int] = 1

    @torch.no_grad()
    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score a clip whose suite says what to look for."""
        place = ("spatial_relationship", "spatial_relationship")
        names = [needed(clip, *place, key) for key in ("object_a", "object_b")]
        relation = needed(clip, *place, "relationship")
        scores: list[float] = []
        for found in self.detector(sampled_frames(clip)):
            boxes = [detection.box for detection in found if detection.name in names]
            pairs = combinations(boxes, 2)
            scores.append(max((position_score(relation, *pair) for pair in pairs), default=0.0))
        mean = sum(scores) / len(scores)
        return ClipScore(value=mean, weight=len(scores), details={"frame_results": scores})


def position_score(relation: str, first: Box, second: Box) -> float:
    """1 for boxes that stand as told and hardly overlap, less if they overlap, 0 if they stand otherwise.

    Raises:
        ValueError: An unknown relation.
    """
    if relation not in (*HORIZONTAL, *VERTICAL):
        raise ValueError(f"relation {relation!r} is unknown: use {', '.join((*HORIZONTAL, *VERTICAL))}")
    across = abs(first[0] + first[2] - second[0] - second[2])
    along = abs(first[1] + first[3] - second[1] - second[3])
    if not (across > along if relation in HORIZONTAL else along > across):
        return 0.0
    overlap = intersection_over_union(first, second)
    return 1.0 if overlap < MAX_OVERLAP else MAX_OVERLAP / overlap


def intersection_over_union(first: Box, second: Box) -> float:
    """Area that two boxes share, by the area that they cover; 0 for boxes without area."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(0.0, width) * max(0.0, height)
    covered = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)) - shared
    return shared / covered if covered > 0 else 0.0
