"""Pixels in memory: the one place that converts uint8 and [-1, 1], and what picks, resizes and tiles frames.

Shapes: b batch, c channels, f frames, h w height and width.
"""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import torch
import torch.nn.functional as F
from einops import pack, rearrange, unpack
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

_TIME_ROUNDING_S = 0.0006  # Matroska and WebP round times to milliseconds


def to_uint8(values: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Pixels in [-1, 1] as bytes: round(127.5 * (x + 1)).

    Values beyond [-1, 1] saturate, since every decoder overshoots a little at strong edges. The inverse of
    ``from_uint8``: bytes survive the round trip exactly.

    Args:
        values: Any shape, any float dtype; the arithmetic is float32.

    Raises:
        ValueError: A value is NaN or infinite.
    """
    values = values.float()
    if not values.isfinite().all():
        raise ValueError(
            "pixels hold NaN or infinite values: the network or decoder that made them overflowed"
        )
    return values.add(1.0).mul(127.5).round().clamp(0.0, 255.0).to(torch.uint8)


def from_uint8(
    values: UInt8[Tensor, "*shape"], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*shape"]:
    """Bytes as pixels in [-1, 1]: x / 127.5 - 1."""
    return (values.float() / 127.5 - 1.0).to(dtype)


def frames_from_video(video: Float[Tensor, "b c f h w"]) -> UInt8[Tensor, "b f c h w"]:
    """Videos in [-1, 1] as stacks of uint8 frames, ready for ``write_video`` one by one.

    Raises:
        ValueError: A value is NaN or infinite.
    """
    return rearrange(to_uint8(video), "b c f h w -> b f c h w")


def video_from_frames(
    frames: UInt8[Tensor, "f c h w"], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "1 c f h w"]:
    """Frames as read from a file, as a batch of one video in [-1, 1]."""
    return rearrange(from_uint8(frames, dtype), "f c h w -> 1 c f h w")


def resize(
    frames: Shaped[Tensor, "*batch h w"],
    *,
    height: int,
    width: int,
    mode: Literal["bicubic", "bilinear"] = "bicubic",
    antialias: bool = True,
) -> Shaped[Tensor, "*batch {height} {width}"]:
    """Scale every plane to ``height`` x ``width``; the dtype is kept.

    Bytes are rounded and saturate at 0 and 255; floats are left as they are, and bicubic overshoots edges by
    a few percent. The aspect ratio is not kept: see ``resize_and_crop``.

    Args:
        frames: uint8 or floating point, any leading axes; the arithmetic is float32.
        height: Pixels.
        width: Pixels.
        mode: Filter.
        antialias: Widen the filter where frames shrink. Without it pixels are skipped, as some published
            measures do.

    Raises:
        ValueError: A side is not positive.
    """
    if height < 1 or width < 1:
        raise ValueError(f"cannot resize to {width}x{height}: both sides must be at least 1 pixel")
    if frames.shape[-2:] == (height, width):
        return frames
    planes, batch = pack([frames], "* h w")
    resized = F.interpolate(
        rearrange(planes, "n h w -> n 1 h w").float(), (height, width), mode=mode, antialias=antialias
    )
    if frames.dtype == torch.uint8:
        resized = resized.round().clamp(0.0, 255.0)
    return unpack(rearrange(resized, "n 1 h w -> n h w").to(frames.dtype), batch, "* h w")[0]


def center_crop(
    frames: Shaped[Tensor, "*batch h w"], *, height: int, width: int
) -> Shaped[Tensor, "*batch {height} {width}"]:
    """The middle ``height`` x ``width`` pixels; an odd surplus leaves one more pixel at the bottom and right.

    Raises:
        ValueError: The crop is empty or larger than the frames.
    """
    from_height, from_width = frames.shape[-2:]
    if not (0 < height <= from_height and 0 < width <= from_width):
        raise ValueError(
            f"cannot crop {width}x{height} out of {from_width}x{from_height} (width x height): resize first"
        )
    top, left = (from_height - height) // 2, (from_width - width) // 2
    return frames[..., top : top + height, left : left + width]


def resize_and_crop(
    frames: Shaped[Tensor, "*batch h w"],
    *,
    height: int,
    width: int,
    mode: Literal["bicubic", "bilinear"] = "bicubic",
) -> Shaped[Tensor, "*batch {height} {width}"]:
    """Scale, keeping the aspect ratio, until the frames just cover ``height`` x ``width``; crop the middle.

    Raises:
        ValueError: A side is not positive.
    """
    from_height, from_width = frames.shape[-2:]
    scale = max(height / from_height, width / from_width)
    covering = resize(
        frames,
        height=max(height, round(from_height * scale)),
        width=max(width, round(from_width * scale)),
        mode=mode,
    )
    return center_crop(covering, height=height, width=width)


def uniform_indices(num_frames: int, num_samples: int) -> list[int]:
    """``num_samples`` of ``num_frames`` indices, evenly spread from the first to the last frame.

    A single sample is the middle frame. No index repeats.

    Raises:
        ValueError: There are fewer frames than samples, or no sample is asked for.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples={num_samples} must be at least 1")
    if num_samples > num_frames:
        raise ValueError(f"num_samples={num_samples} is more than the {num_frames} frames there are")
    if num_samples == 1:
        return [(num_frames - 1) // 2]
    gaps = num_samples - 1
    return [(2 * i * (num_frames - 1) + gaps) // (2 * gaps) for i in range(num_samples)]  # rounds half up


def strided_indices(num_frames: int, num_samples: int, *, stride: int, start: int = 0) -> list[int]:
    """``start``, ``start + stride``, ...: ``num_samples`` indices.

    Raises:
        ValueError: The last index would lie beyond the last frame, or an argument is out of range.
    """
    if num_samples < 1 or stride < 1 or start < 0:
        raise ValueError(
            f"num_samples={num_samples}, stride={stride}, start={start} must be >= 1, >= 1, >= 0"
        )
    last = start + (num_samples - 1) * stride
    if last >= num_frames:
        raise ValueError(
            f"{num_samples} frames at stride {stride} from frame {start} need {last + 1} frames; "
            f"there are {num_frames}"
        )
    return list(range(start, last + 1, stride))


def indices_at_fps(timestamps_s: Sequence[float], fps: Fraction | float | int) -> list[int]:
    """For each tick of a clock at ``fps``, the index of the frame nearest in time; ties go to the earlier.

    The clock starts at the first frame and stops at the last one. Where frames are further apart than the
    ticks (slow or paused parts of a variable-rate clip), indices repeat, which keeps the motion's speed.

    Args:
        timestamps_s: Seconds, ascending; the times ``read_video`` returns.
        fps: Wanted rate, frames per second.

    Raises:
        ValueError: No timestamps, timestamps that do not ascend, or ``fps`` not positive and finite.
    """
    times = list(timestamps_s)
    if not times or any(later <= earlier for earlier, later in itertools.pairwise(times)):
        raise ValueError("timestamps_s must hold at least one time and ascend")
    if not (fps > 0 and math.isfinite(fps)):
        raise ValueError(f"fps={fps} must be positive and finite")
    duration_s = times[-1] - times[0] + _TIME_ROUNDING_S
    num_ticks = math.floor(duration_s * float(fps)) + 1
    indices, index = [], 0
    for tick in range(num_ticks):
        time = times[0] + tick / float(fps)
        while index + 1 < len(times) and times[index + 1] - time < time - times[index] - 1e-9:
            index += 1
        indices.append(index)
    return indices


def contact_sheet(
    frames: UInt8[Tensor, "f c h w"],
    *,
    num_columns: int | None = None,
    gap_px: int = 0,
    background: int = 255,
) -> UInt8[Tensor, "c sheet_height sheet_width"]:
    """Tile frames row by row into one image; unused cells and gaps show ``background``.

    Args:
        frames: uint8.
        num_columns: Frames in a row; by default the sheet is as square in frames as it gets.
        gap_px: Pixels between neighbours (none at the border).
        background: Grey level in [0, 255].

    Raises:
        ValueError: No frames, or an argument out of range.
    """
    num_frames = len(frames)
    if num_frames == 0:
        raise ValueError("a contact sheet needs at least one frame")
    num_columns = num_columns or math.ceil(math.sqrt(num_frames))
    if num_columns < 1 or gap_px < 0 or not 0 <= background <= 255:
        raise ValueError(
            f"num_columns={num_columns}, gap_px={gap_px}, background={background} "
            "must be >= 1, >= 0 and in [0, 255]"
        )
    num_rows = math.ceil(num_frames / num_columns)
    cells = F.pad(
        frames, (0, gap_px, 0, gap_px, 0, 0, 0, num_rows * num_columns - num_frames), value=background
    )
    sheet = rearrange(cells, "(rows columns) c h w -> c (rows h) (columns w)", rows=num_rows)
    return sheet[:, : sheet.shape[1] - gap_px, : sheet.shape[2] - gap_px]
