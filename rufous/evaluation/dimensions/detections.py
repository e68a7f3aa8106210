"""What a detector or a captioner, which the caller gives, sees in the frames of a clip."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from jaxtyping import UInt8
from torch import Tensor

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore
from rufous.evaluation.dimensions.resizing import resize_plain
from rufous.perception.detector import Detection

NUM_FRAMES = 16
_LARGE_PX, _SHRUNK_PX = 768, 720.0


Detector: TypeAlias = Callable[[Tensor], Sequence[Sequence[Detection]]]
"""From frames [n 3 h w], uint8 RGB, to what is in each of them, surest first."""
Captioner: TypeAlias = Callable[[Sequence[Tensor] | Tensor], Sequence[str]]
"""From frames [n 3 h w], or several of different sizes, uint8 RGB, to a sentence for each."""


def sampled_frames(clip: DecodedClip) -> UInt8[Tensor, "16 3 h w"]:
    """The frames that detectors see: 16, and with a shorter side over 768 shrunk to 720."""
    frames = clip.middle(NUM_FRAMES)
    height, width = frames.shape[-2:]
    if min(height, width) <= _LARGE_PX:
        return frames
    scale = _SHRUNK_PX / min(height, width)
    return resize_plain(frames, int(scale * height), int(scale * width), "bilinear")


def seen_names(detector: Detector, clip: DecodedClip) -> list[set[str]]:
    """Classes that are seen, frame by frame."""
    with torch.no_grad():
        return [{detection.name for detection in found} for found in detector(sampled_frames(clip))]


def share_of_frames(passes: Sequence[bool]) -> ClipScore:
    """The share of frames that pass; the clip weighs as much as it has frames."""
    details = {"success_frame_count": sum(passes), "frame_count": len(passes)}
    return ClipScore(value=sum(passes) / len(passes), weight=len(passes), details=details)
