"""Clips to files: whole or absent, at the exact frame rate, with the colours tagged.

The suffix chooses the format. Bytes go in; ``frames.to_uint8`` makes them from [-1, 1].
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

from rufous.core.files import atomic_path, write_text
from rufous.video import images

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


@dataclass(frozen=True)
class Encoder:
    """How one suffix is encoded."""

    codec: str
    pixel_format: str
    options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)


_ISO_MEDIA = {"movflags": "+faststart+use_metadata_tags"}  # header first; any metadata key, not Apple's few
_VP9_OPTIONS = {"b:v": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
ENCODERS: dict[str, Encoder] = {
    ".mp4": Encoder("libx264", "yuv420p", container_options=_ISO_MEDIA),
    ".mov": Encoder("libx264", "yuv420p", container_options=_ISO_MEDIA),
    ".mkv": Encoder("libx264", "yuv420p"),
    ".webm": Encoder("libvpx-vp9", "yuv420p", _VP9_OPTIONS),
}
LOSSLESS_ENCODERS: dict[str, Encoder] = {".mkv": Encoder("ffv1", "bgr0", {"level": "3"})}
SUFFIXES = (*ENCODERS, ".gif", ".webp", ".png")
"""What ``write_video`` writes; a path without suffix is a folder of PNG frames."""

_GIF_MAX_FPS = 50  # browsers show delays under 2 centiseconds as 10
_CENTISECOND = Fraction(1, 100)
_HD_HEIGHT = 720
_BT709, _SMPTE170M, _LIMITED_RANGE = 1, 6, 1  # ITU-T H.273 code points; the range is FFmpeg's number
_SWSCALE_MATRIX = {_BT709: 1, _SMPTE170M: 5}  # swscale numbers the matrices differently


def write_video(
    path: Path | str,
    frames: UInt8[Tensor, "f 3 h w"],
    *,
    fps: Fraction | float | int,
    crf: int = 18,
    lossless: bool = False,
    metadata: Mapping[str, str | int | float] | None = None,
    manifest: Mapping[str, Any] | None = None,
) -> Path:
    """Write one clip, atomically: on any failure or interrupt, what stood at ``path`` is untouched.

    H.264 and VP9 store yuv420p in limited range, by the matrix of BT.601 under 720 lines and of BT.709 from
    there on, as players that ignore the tags assume; the tags say so. GIF times are rounded to centiseconds
    and WebP times to milliseconds, frame by frame from the exact time, so that no drift builds up.

    Args:
        path: Ends in one of ``SUFFIXES``; PNG frames take a folder or a pattern such as ``frame_%05d.png``.
        frames: RGB, values in [0, 255], any device.
        fps: Frames per second; 23.976 and the like mean 24000/1001 (see ``exact_fps``).
        crf: Constant rate factor of H.264 and VP9, 0 (best) to 51; other formats ignore it.
        lossless: Keep every pixel: .mkv (FFV1), .webp and .png can.
        metadata: Stored in the file under lower-case keys: prompt, seed, manifest_id.
        manifest: Written as JSON to ``manifest_path(path)``, after the clip.

    Returns:
        ``path``.

    Raises:
        ValueError: Unknown suffix, frames that are not uint8 RGB, an odd size for yuv420p, or an option that
            the format cannot honour.
        OSError: The folder cannot be written, or the disk is full.
    """
    path = Path(path)
    suffix = path.suffix.lower() or ".png"
    rate = exact_fps(fps)
    _check_request(path, suffix, frames, lossless=lossless, crf=crf)
    tags = _metadata_text(metadata or {})
    manifest_json = None if manifest is None else json.dumps(manifest, indent=2) + "\n"
    pixels = np.ascontiguousarray(rearrange(frames, "f c h w -> f h w c").cpu().numpy())

    timed_tags = {**tags, "fps": str(rate)}  # image formats have no field for the rate
    if suffix == ".png":
        images.write_png_frames(path, pixels, metadata=timed_tags)
    elif suffix == ".webp":
        images.write_webp(path, pixels, fps=rate, lossless=lossless, metadata=timed_tags)
    elif suffix == ".gif":
        _write_gif(path, pixels, rate, timed_tags)
    else:
        encoder = (LOSSLESS_ENCODERS if lossless else ENCODERS)[suffix]
        _write_encoded(path, pixels, rate, encoder, crf, tags)
    if manifest_json is not None:
        write_text(manifest_path(path), manifest_json)
    return path


def manifest_path(path: Path | str) -> Path:
    """Where the manifest of a clip lies: ``clip.json`` beside ``clip.mp4``, and beside a folder of frames."""
    path = Path(path)
    stem = re.sub(r"[-_.]?%0?\d*d", "", path.stem) or "frames"
    return path.with_name(f"{stem}.json")


def exact_fps(fps: Fraction | float | int) -> Fraction:
    """A frame rate as a fraction: 23.976 and 29.97 become 24000/1001 and 30000/1001, 12.5 becomes 25/2.

    Floats within 0.005 of n * 1000/1001, n at least 12, mean that rate; every other float is its nearest
    fraction with a denominator of at most 1001.

    Raises:
        ValueError: Not positive, not finite, or faster than 1000.
    """
    if not (math.isfinite(fps) and 0 < fps <= 1000):
        raise ValueError(f"fps={fps} must lie in (0, 1000]")
    if isinstance(fps, Fraction | int):
        return Fraction(fps)
    nearest = round(fps)
    ntsc = Fraction(nearest * 1000, 1001)
    if nearest >= 12 and fps != nearest and abs(fps - ntsc) < 0.005:
        return ntsc
    rate = Fraction(fps).limit_denominator(1001)
    if rate == 0:
        raise ValueError(f"fps={fps} is slower than 1/1001: pass a Fraction")
    return rate


def _check_request(path: Path, suffix: str, frames: Tensor, *, lossless: bool, crf: int) -> None:
    if suffix not in SUFFIXES:
        raise ValueError(
            f"{path}: unknown suffix {suffix!r}: use {', '.join(SUFFIXES)}, or a folder for PNG frames"
        )
    if frames.ndim != 4 or frames.shape[1] != 3 or str(frames.dtype) != "torch.uint8" or 0 in frames.shape:
        raise ValueError(
            f"frames are {frames.dtype} {list(frames.shape)}, expected uint8 [f, 3, h, w] with at least one "
            "frame: convert with rufous.video.to_uint8"
        )
    if not 0 <= crf <= 51:
        raise ValueError(f"crf={crf} must lie in [0, 51]")
    if lossless and suffix not in (*LOSSLESS_ENCODERS, ".webp", ".png"):
        raise ValueError(f"{path}: {suffix} cannot be lossless in RGB: use .mkv, .webp or PNG frames")
    height, width = frames.shape[-2:]
    if suffix in ENCODERS and not lossless and (height % 2 or width % 2):
        even_width, even_height = max(2, width // 2 * 2), max(2, height // 2 * 2)
        raise ValueError(
            f"{path}: {width}x{height} (width x height) is odd, and yuv420p needs even sides: crop or resize "
            f"to {even_width}x{even_height}, or write .gif, .webp or PNG frames"
        )


def _metadata_text(metadata: Mapping[str, str | int | float]) -> dict[str, str]:
    """Values as text; keys that would not come back as they went in are refused."""
    for key in metadata:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
            raise ValueError(f"metadata key {key!r} must be lower-case letters, digits and underscores")
    return {key: str(value) for key, value in metadata.items()}


def _write_encoded(
    path: Path, pixels: np.ndarray, rate: Fraction, encoder: Encoder, crf: int, tags: dict[str, str]
) -> None:
    import av

    options = encoder.options if encoder.codec == "ffv1" else {**encoder.options, "crf": str(crf)}
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", container_options=encoder.container_options) as container,
    ):
        container.metadata.update(tags)
        stream = container.add_stream(encoder.codec, rate=rate, options=options)
        stream = cast("VideoStream", stream)
        stream.height, stream.width = pixels.shape[1:3]
        stream.pix_fmt = encoder.pixel_format
        stream.codec_context.time_base = 1 / rate
        _tag_colours(stream)
        for i, frame in enumerate(pixels):
            container.mux(stream.encode(_picture(frame, stream, pts=i, time_base=1 / rate)))
        container.mux(stream.encode())


def _tag_colours(stream: "VideoStream") -> None:
    """Say in the file how ``_picture`` makes its yuv420p."""
    if stream.pix_fmt == "yuv420p":
        stream.codec_context.colorspace = _matrix(stream.height)
        stream.codec_context.color_range = _LIMITED_RANGE
        stream.codec_context.color_primaries = _BT709  # sRGB's own, and close to its curve
        stream.codec_context.color_trc = _BT709


def _matrix(height: int) -> int:
    return _SMPTE170M if height < _HD_HEIGHT else _BT709


def _picture(frame: np.ndarray, stream: "VideoStream", *, pts: int, time_base: Fraction) -> "VideoFrame":
    """An ``h w 3`` array as the encoder of ``stream`` takes it."""
    import av

    image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    if stream.pix_fmt == "yuv420p":
        matrix = _SWSCALE_MATRIX[_matrix(stream.height)]
        image = image.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=_LIMITED_RANGE)
    image.pts, image.time_base = pts, time_base
    return image


def write_stream(
    path: Path | str,
    frames: Iterable[np.ndarray],
    *,
    pts: Sequence[int],
    time_base: Fraction,
    rate: Fraction,
    crf: int = 18,
    keyframe_every: int | None = None,
) -> Path:
    """Write frames as they come, each at its own time, atomically; memory does not grow with the clip.

    Args:
        path: Ends in .mp4, .mov or .mkv; H.264 in yuv420p, tagged as by ``write_video``.
        frames: RGB, uint8, ``h w 3``; an odd last row or column is left out.
        pts: When each is shown, ascending, in units of ``time_base`` seconds.
        time_base: Seconds.
        rate: Frames per second that the file states.
        crf: As of ``write_video``.
        keyframe_every: Frames from one key frame to the next at most; x264 decides (250) when None.

    Raises:
        ValueError: Another suffix, a frame under 2x2, or other than ``len(pts)`` frames.
        OSError: The folder cannot be written, or the disk is full.
    """
    import av

    path = Path(path)
    encoder = ENCODERS.get(path.suffix.lower())
    if encoder is None or encoder.codec != "libx264":
        raise ValueError(f"{path}: unknown suffix {path.suffix!r}: use .mp4, .mov or .mkv")
    options = {"crf": str(crf)} | ({} if keyframe_every is None else {"g": str(max(1, keyframe_every))})
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", container_options=encoder.container_options) as container,
    ):
        stream = cast("VideoStream", container.add_stream(encoder.codec, rate=rate, options=options))
        stream.pix_fmt, stream.codec_context.time_base = encoder.pixel_format, time_base
        for i, (frame, time) in enumerate(zip(frames, pts, strict=True)):
            even = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
            if 0 in even.shape:
                raise ValueError(
                    f"{path}: frames of {frame.shape[1]}x{frame.shape[0]} are too small to encode"
                )
            if i == 0:
                stream.height, stream.width = even.shape[:2]
                _tag_colours(stream)
            container.mux(stream.encode(_picture(even, stream, pts=time, time_base=time_base)))
        container.mux(stream.encode())
    return path


def _write_gif(path: Path, pixels: np.ndarray, rate: Fraction, tags: dict[str, str]) -> None:
    import av

    if rate > _GIF_MAX_FPS:
        raise ValueError(
            f"fps={rate} is too fast for .gif: players show at most {_GIF_MAX_FPS}; use .webp or .mp4"
        )
    starts = [round(i * 100 / rate) for i in range(len(pixels) + 1)]  # centiseconds
    with atomic_path(path) as temporary:
        options = {"loop": "0", "final_delay": str(starts[-1] - starts[-2])}
        with av.open(str(temporary), "w", container_options=options) as container:
            stream = cast("VideoStream", container.add_stream("gif", rate=100))
            stream.height, stream.width = pixels.shape[1:3]
            stream.pix_fmt = "pal8"
            stream.codec_context.time_base = _CENTISECOND
            for image in _with_one_palette(pixels, starts):
                container.mux(stream.encode(image))
            container.mux(stream.encode())
        temporary.write_bytes(_with_gif_comment(temporary.read_bytes(), json.dumps(tags)))


def _with_one_palette(pixels: np.ndarray, starts: list[int]) -> Iterator["VideoFrame"]:
    """Frames in the 256 colours that suit the whole clip; up to 256 colours keep within one level."""
    import av
    import av.filter

    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=pixels.shape[2], height=pixels.shape[1], format=av.VideoFormat("rgb24"), time_base=_CENTISECOND
    )
    split, sink = graph.add("split"), graph.add("buffersink")
    palette = graph.add("palettegen", "reserve_transparent=0")
    dither = graph.add("paletteuse", "dither=sierra2_4a")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(dither, 1, 0)
    palette.link_to(dither, 0, 1)
    dither.link_to(sink)
    graph.configure()
    for frame, start in zip(pixels, starts, strict=False):
        image = av.VideoFrame.from_ndarray(frame, format="rgb24")
        image.pts, image.time_base = start, _CENTISECOND
        source.push(image)
    source.push(None)  # only now is the palette known
    for _ in pixels:
        image = cast("VideoFrame", sink.pull())
        image.pict_type = 0
        yield image


def _with_gif_comment(data: bytes, comment: str) -> bytes:
    """Insert a comment extension before the first frame, which FFmpeg's muxer cannot write.

    Source: GIF89a specification, sections 18 (screen descriptor), 19 (global colours) and 24 (comment).
    """
    flags = data[10]
    start = 13 + (3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0)
    text = comment.encode("ascii")
    blocks = b"".join(bytes([len(text[i : i + 255])]) + text[i : i + 255] for i in range(0, len(text), 255))
    return data[:start] + b"\x21\xfe" + blocks + b"\x00" + data[start:]
