"""Whether a thing has the colour that the prompt gives it, as a dense captioner tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.detections import Detection, Detector, sampled_frames
from rufous.evaluation.dimensions.dimension import ClipScore, Label, needed

COLORS = (
    *(
        "white",
        "red",
        "pink",
        "blue",
        "silver",
        "purple",
        "orange",
        "green",
        "gray",
        "yellow",
        "black",
        "grey",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Color:
    """Of the frames in which the thing is seen with any colour, the share in which it has the wanted one.

    Clips in which it is never seen do not count. VBench's own captioner is GRiT, and the published code gives
    every detection of a frame the first one's class; here each keeps its own.
    """

    detector: Detector
    name: str = "proxy_color"
    label: Label = "proxy"
    needs: ClassVar[str | None] = "color"
    version: ClassVar[int] = 1

    @torch.no_grad()
    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score a clip whose suite says what to look for."""
        wanted = needed(clip, "color", "color")
        noun = object_of(clip.prompt, wanted)
        seen = right = 0
        for found in self.detector(sampled_frames(clip)):
            captions = [detection.caption for detection in of_class(found, noun)]
            seen += any(color in caption for caption in captions for color in COLORS)
            right += any(wanted in caption for caption in captions)
        if not seen:
            return ClipScore(value=None, details={"cur_success_frame_rate": None})
        return ClipScore(value=right / seen, details={"cur_success_frame_rate": right / seen})


def of_class(found: Sequence[Detection], noun: str) -> list[Detection]:
    """Detections of one class."""
    return [detection for detection in found if detection.name == noun]


def object_of(prompt: str, color: str) -> str:
    """The noun of ``a red bicycle``: the prompt without its articles and its colour, as published."""
    return prompt.replace("a ", "").replace("an ", "").replace(color, "").strip()
