"""A clip decoded once for all dimensions. It is held as bytes; each dimension makes of a few frames at a time
what its network reads.

Decoders differ by a grey level or two: the published benchmark decodes with OpenCV or decord, this one with
PyAV.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from rufous.video.read import read_frames, stated_size, timeline_of
from rufous.world.truth import Measurement, measure

MAX_BYTES = 2 << 30
"""Of decoded frames: about 45 s of 720p at 16 fps."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedClip:
    """Frames of one clip, and what it was asked to show; nothing tells how it was made."""

    frames: UInt8[Tensor, "f 3 h w"]
    """RGB in [0, 255]."""
    fps: float
    prompt: str = ""
    auxiliary: Mapping[str, Any] | None = None
    """What each dimension looks for, by dimension, as a suite says it."""
    name: str = ""
    """File name; human_action reads its label there."""

    @cached_property
    def in_world(self) -> Measurement:
        """What the yardstick of the procedural world measures.

        Raises:
            ValueError: Too few frames or pixels.
        """
        return measure(self.frames, self.fps)

    def middle(self, count: int) -> UInt8[Tensor, "{count} 3 h w"]:
        """As many frames as a dimension samples."""
        return self.frames[middle_indices(len(self.frames), count)]


def read_clip(path: Path | str, **told: Any) -> DecodedClip:
    """Decode a file; ``told`` is what is known of it beside its pixels.

    Raises:
        ValueError: It is missing, empty, damaged or too large to be held.
    """
    path = Path(path)
    timeline = timeline_of(path, num_threads=1)
    count = len(timeline.index.pts)
    fps = float(timeline.frame_rate()[0]) if count > 1 else 0.0
    check_size(path, count)
    frames = read_frames(timeline, range(count), num_threads=1)[0]
    return DecodedClip(frames=frames, fps=fps, name=path.name, **told)


def check_size(path: Path, num_frames: int) -> int:
    """Bytes that so many frames of a file take, by its header, before one is decoded.

    Raises:
        ValueError: They are too large to be held, or the header cannot be read.
    """
    stated = stated_size(path)
    num_bytes = num_frames * 3 * stated.width * stated.height
    if num_bytes > MAX_BYTES:
        raise ValueError(
            f"{path.name}: {num_frames} frames of {stated.width}x{stated.height} take {num_bytes:,} bytes: "
            f"cut it to at most {MAX_BYTES:,}"
        )
    return num_bytes


def middle_indices(num_frames: int, count: int) -> list[int]:
    """The middle frame of each of ``count`` equal stretches; of a shorter clip all, and the last one again.

    Raises:
        ValueError: There is no frame, or none is asked for.
    """
    if num_frames < 1 or count < 1:
        raise ValueError(f"cannot choose {count} of {num_frames} frames: both must be at least 1")
    edges = np.linspace(0, num_frames, min(count, num_frames) + 1).astype(int)
    chosen = [int(low + high - 1) // 2 for low, high in pairwise(edges)]
    return chosen + chosen[-1:] * (count - len(chosen))
