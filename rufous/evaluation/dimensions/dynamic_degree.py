"""Whether a clip moves at all."""

from dataclasses import dataclass
from typing import ClassVar

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore, Label, too_small
from rufous.evaluation.dimensions.flow import Flow, fastest_pixels


@dataclass(frozen=True, kw_only=True)
class DynamicDegree:
    """1 if enough pairs of frames at about 8 fps move further than a threshold, else 0.

    A pair's motion is the mean of its fastest 5 % of pixels. The published code counts a clip of two frames
    as moving whatever it shows, since the number of pairs that must move rounds to 0; so does this one.
    """

    flow: Flow
    min_side_px: int = 1
    """Smaller frames are not measured: ``flow`` cannot read them."""
    name: str = "dynamic_degree"
    label: Label = "parity-random"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    def measure(self, clip: DecodedClip) -> ClipScore:
        """Whether the clip moves, and how far its pairs do, in pixels."""
        if (refused := too_small(clip, self.min_side_px)) is not None:
            return refused
        frames = clip.frames[:: frame_stride(clip.fps)]
        motions = fastest_pixels(self.flow, frames[:-1], frames[1:], share=0.05)
        threshold = 6.0 * min(frames.shape[-2:]) / 256.0
        is_moving = moves(motions, threshold=threshold, num_pairs=round(4 * len(frames) / 16))
        return ClipScore(value=float(is_moving), details={"video_results": is_moving, "motions_px": motions})


def frame_stride(fps: float) -> int:
    """Every so-manieth frame, for about 8 a second; halves round to even."""
    return max(1, round(fps / 8))


def moves(motions: list[float], *, threshold: float, num_pairs: int) -> bool:
    """Whether ``num_pairs`` motions lie above the threshold; False without any pair."""
    return bool(motions) and sum(motion > threshold for motion in motions) >= num_pairs
