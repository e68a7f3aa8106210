"""How much the pixels change from frame to frame: what can be told of any clip's motion without a network.

It counts flicker and cuts as motion and cannot tell a slow large thing from a fast small one; a measure of
optical flow is better where there is one.
"""

from jaxtyping import UInt8
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def mean_frame_change(frames: UInt8[Tensor, "f 3 h w"]) -> float:
    """Mean absolute difference of brightness between consecutive frames, from 0 (still) to 1.

    Raises:
        ValueError: Fewer than two frames.
    """
    if len(frames) < 2:
        raise ValueError(f"a clip of {len(frames)} frames changes nowhere: give two or more")
    weights = frames.new_tensor(_LUMA, dtype=frames.float().dtype)[:, None, None]
    brightness = (frames.float() * weights).sum(dim=1) / 255.0
    return float(brightness.diff(dim=0).abs().mean())
