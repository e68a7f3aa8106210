"""Which clips stand still enough for temporal_flickering."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore, Label, at_least, too_small
from rufous.evaluation.dimensions.flow import Flow, fastest_pixels


@dataclass(frozen=True, kw_only=True)
class StaticFilter:
    """1 if few pairs of frames move and the clip's ends lie near each other, else 0; more is not better.

    A pair's motion is the mean of its fastest 2 % of pixels; every frame counts, whatever the fps. VBench
    asks for 25 clips of each prompt of temporal_flickering, and takes the first 5 that stand still.
    """

    flow: Flow
    min_side_px: int = 1
    """Smaller frames are not measured: ``flow`` cannot read them."""
    name: str = "static_filter"
    label: Label = "parity-random"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    def measure(self, clip: DecodedClip) -> ClipScore:
        """Whether a clip of two frames or more stands still."""
        at_least(clip, 2, self.name)
        if (refused := too_small(clip, self.min_side_px)) is not None:
            return refused
        frames = clip.frames
        ends = torch.stack([frames[0], frames[-1]])
        motions = fastest_pixels(self.flow, frames[:-1], frames[1:], share=0.02)
        first_to_last = fastest_pixels(self.flow, ends, ends.flip(0), share=0.02)
        threshold = 3.0 * min(frames.shape[-2:]) / 256.0
        count = round(2 * len(frames) / 16)
        too_many = sum(motion > threshold for motion in motions) > count
        is_static = not too_many and all(motion <= threshold * count * 2 for motion in first_to_last)
        return ClipScore(value=float(is_static))
