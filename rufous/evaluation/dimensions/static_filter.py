"""Which clips stand still enough for temporal_flickering."""

from dataclasses import dataclass

import torch

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.flow import Flow, fastest_pixels


@dataclass(frozen=True, kw_only=True)
class StaticFilter:
    """Keeps a clip if few pairs of frames move, and its ends lie near each other.

    A pair's motion is the mean of its fastest 2 % of pixels; every frame counts, whatever the fps. VBench
    asks for 25 clips of each prompt of temporal_flickering, and takes the first 5 that stand still.
    """

    flow: Flow

    def is_static(self, clip: DecodedClip) -> bool:
        """Whether the clip stands still."""
        frames = clip.floats
        ends = torch.stack([frames[0], frames[-1]])
        motions = fastest_pixels(self.flow, frames[:-1], frames[1:], share=0.02)
        first_to_last = fastest_pixels(self.flow, ends, ends.flip(0), share=0.02)
        threshold = 3.0 * min(frames.shape[-2:]) / 256.0
        count = round(2 * len(frames) / 16)
        too_many = sum(motion > threshold for motion in motions) > count
        return not too_many and all(motion <= threshold * count * 2 for motion in first_to_last)
