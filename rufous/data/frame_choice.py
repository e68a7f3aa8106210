"""Which of a clip's full-size frames a model sees."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from rufous.data.media import ClipMedia
from rufous.video.frames import uniform_indices


def frames_at(media: ClipMedia, points: Sequence[float]) -> UInt8[Tensor, "n 3 h w"]:
    """The full-size frames nearest to these points of the clip, 0 for its start and 1 for its end.

    With the default 8 full-size frames the nearest one is at most 1/16 of the clip away.

    Raises:
        ValueError: No point, or one outside [0, 1].
    """
    if not points or not all(0.0 <= point <= 1.0 for point in points):
        raise ValueError(f"points={tuple(points)}: use one or more numbers in [0, 1]")
    decoded = media.decoded
    first, last = decoded.small_times_s[0], decoded.small_times_s[-1]
    wanted = first + np.asarray(points) * (last - first)
    gaps = np.abs(decoded.full_times_s[None, :] - wanted[:, None]).round(6)  # so that ties go to the earlier
    return _as_tensor(media.full[gaps.argmin(axis=1)])


def spread_frames(media: ClipMedia, count: int) -> UInt8[Tensor, "n 3 h w"]:
    """So many full-size frames in their order, evenly spread; fewer if the clip has fewer."""
    full = media.full
    return _as_tensor(full[uniform_indices(len(full), min(count, len(full)))])


def _as_tensor(frames: np.ndarray) -> UInt8[Tensor, "n 3 h w"]:
    return torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))
