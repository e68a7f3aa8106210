"""Any video file to exact frames: what it holds, and the frames that were asked for.

Frames are numbered in display order. ``probe`` and ``read_video`` take the same index of the file, so a frame
that one counts the other can deliver, and a sampled read gives the same bytes as decoding everything. Whoever
chooses frames by their times takes the index once, by ``timeline_of``, and hands it to ``read_frames``.
"""

import contextlib
import math
import struct
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from rufous.video import images
from rufous.video.frames import uniform_indices
from rufous.video.quantizer import ask_for_quantizers, quantizer_step
from rufous.video.seek import FrameIndex, decode_at, frame_rate, index_by_decoding, index_by_packets

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a file holds, as it is shown: after rotation, without frames that an edit list hides."""

    num_frames: int
    fps: Fraction
    """Frames per second; the mean rate if it varies."""
    is_variable_fps: bool
    duration_s: float
    width: int
    height: int
    rotation: int
    """Degrees clockwise by which the stored frames are turned to be shown: 0, 90, 180 or 270."""
    codec: str
    pixel_format: str
    has_audio: bool
    metadata: dict[str, str]
    """Text the file carries, under lower-case keys."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """When each frame of a file is shown, in display order, and what it takes to find them in it."""

    path: Path
    index: FrameIndex
    image_clip: images.ImageClip | None = None
    """The images, if the file is none that FFmpeg reads."""

    @cached_property
    def times_s(self) -> list[float]:
        """Seconds after the first frame, ascending."""
        return [self._seconds(pts) for pts in self.index.pts]

    @property
    def duration_s(self) -> float:
        """Until the last frame stops being shown."""
        return self._seconds(self.index.end)

    def frame_rate(self) -> tuple[Fraction, bool]:
        """Frames per second, the mean if it varies, and whether it varies.

        Raises:
            ValueError: An animation says no times.
        """
        if len(self.index.pts) > 1 and self.index.pts[-1] == self.index.pts[0]:
            raise ValueError(f"{self.path}: all of its {len(self.index.pts)} frames are shown at time 0")
        return frame_rate(self.index)

    def seconds_at(self, indices: Sequence[int]) -> list[float]:
        """``times_s`` of some frames."""
        return [self._seconds(self.index.pts[i]) for i in indices]

    def _seconds(self, pts: int) -> float:
        return float((pts - self.index.pts[0]) * self.index.time_base)


def probe(path: Path | str) -> VideoInfo:
    """Describe a video file, a GIF, an animated WebP or a folder of PNG frames.

    Reads every packet to count frames exactly, and decodes the first frame; it decodes all of them where the
    packets of a codec do not tell.

    Raises:
        ValueError: The file is missing, empty, truncated, damaged, or holds no video.
    """
    return describe(timeline_of(path))


def describe(timeline: Timeline) -> VideoInfo:
    """What ``probe`` tells, of a file whose frames were found before; decodes the first one.

    Raises:
        ValueError: The file is damaged.
    """
    if timeline.image_clip is not None:
        return _describe_images(timeline, timeline.image_clip)
    fps, is_variable = timeline.frame_rate()
    with _opened(timeline.path, num_threads=1) as (container, stream):
        first = next(container.decode(stream))
        turn = _Turn.of(timeline.path, first)
        width, height = (first.height, first.width) if turn.is_transposed else (first.width, first.height)
        return VideoInfo(
            num_frames=len(timeline.index.pts),
            fps=fps,
            is_variable_fps=is_variable,
            duration_s=timeline.duration_s,
            width=width,
            height=height,
            rotation=turn.rotation,
            codec=stream.codec_context.name,
            pixel_format=first.format.name,
            has_audio=bool(container.streams.audio),
            metadata=_metadata(container),
        )


@dataclass(frozen=True, kw_only=True)
class StatedSize:
    """What the header of a file claims, before any of it is believed."""

    width: int
    height: int
    num_frames: int
    """0 where the header does not say."""


def stated_size(path: Path | str) -> StatedSize:
    """Read the header alone: no packet is counted and no frame is decoded.

    Raises:
        ValueError: The file is missing, empty, damaged, or holds no video.
    """
    path = Path(path)
    _check_exists(path)
    if images.is_image_clip(path):
        width, height, num_frames = images.stated_frames(path)
        return StatedSize(width=width, height=height, num_frames=num_frames)
    with _opened(path, num_threads=1) as (_, stream):
        context = stream.codec_context
        return StatedSize(width=context.width, height=context.height, num_frames=stream.frames)


def read_video(
    path: Path | str,
    *,
    indices: Sequence[int] | None = None,
    num_frames: int | None = None,
    num_threads: int = 0,
) -> tuple[UInt8[Tensor, "f 3 h w"], Float[Tensor, " f"]]:
    """Decode a clip, or exactly the frames asked for, upright and in RGB.

    Ten-bit video is reduced to 8 bits, alpha is dropped, interlaced fields stay woven, pixels stay as stored
    where they are not square, and colours follow the file's tags (BT.601 where it has none, as in ffmpeg).

    Args:
        path: A video file, a GIF, an animated WebP, a folder of PNG frames or their pattern.
        indices: Frame numbers in display order, in any order, repeats allowed.
        num_frames: This many frames, evenly spread from first to last. At most one of both may be given.
        num_threads: Decoder threads; 0 takes one per core. Give 1 where many workers decode at once.

    Returns:
        Frames, values in [0, 255], and their times in seconds after the first frame of the clip (float64).

    Raises:
        ValueError: The file is missing, empty, truncated, damaged or holds no video, or a frame that is asked
            for does not exist.
    """
    if indices is not None and num_frames is not None:
        raise ValueError("give indices or num_frames, not both")
    timeline = timeline_of(path, num_threads=num_threads)
    chosen = _choose(timeline.path, len(timeline.index.pts), indices, num_frames)
    return read_frames(timeline, chosen, num_threads=num_threads)


def timeline_of(path: Path | str, *, num_threads: int = 0) -> Timeline:
    """When the frames of ``path`` are shown: every packet is read, and none decoded where packets tell.

    Raises:
        ValueError: The file is missing, empty, truncated, damaged, or holds no video.
    """
    path = Path(path)
    _check_exists(path)
    if not images.is_image_clip(path):
        return Timeline(path=path, index=_index(path, num_threads))
    clip = images.open_image_clip(path)
    stated = images.stated_fps(clip.metadata)
    rates = () if stated is None else (stated,)
    index = FrameIndex.of_times(clip.timestamps_s, clip.duration_s, stated_rates=rates)
    return Timeline(path=path, index=index, image_clip=clip)


def read_frames(
    timeline: Timeline, indices: Sequence[int], *, num_threads: int = 0
) -> tuple[UInt8[Tensor, "f 3 h w"], Float[Tensor, " f"]]:
    """What ``read_video`` gives for ``indices``, without looking for the frames of the file again.

    Raises:
        ValueError: The file is damaged, or a frame that is asked for does not exist.
    """
    path, index, clip = timeline.path, timeline.index, timeline.image_clip
    chosen = _choose(path, len(index.pts), indices, None)
    wanted = sorted(set(chosen))
    pictures = _decoded(path, index, wanted, num_threads) if clip is None else clip.read(wanted)
    frames = _gather(path, chosen, pictures)
    return frames, torch.tensor(timeline.seconds_at(chosen), dtype=torch.float64)


@dataclass(frozen=True, kw_only=True)
class StreamedFrame:
    """One frame of ``stream_frames``."""

    index: int
    small: np.ndarray
    """RGB, uint8, ``h w 3``."""
    full: np.ndarray | None = None
    """The same at the file's size, where it was asked for."""
    is_damaged: bool = False
    """Whether the decoder had to guess at it, or at one that it may refer to."""
    quantizer: float | None = None
    """Luma levels, as of ``quantizer_step``; None where the decoder does not tell."""


def stream_frames(
    timeline: Timeline,
    indices: Sequence[int],
    *,
    short_side: int,
    full: Container[int] = (),
    num_threads: int = 1,
    takes_damaged: bool = False,
) -> Iterator[StreamedFrame]:
    """Frames one by one, made small while they are decoded: memory does not grow with the file.

    Args:
        timeline: Of the file.
        indices: Ascending frame numbers.
        short_side: Pixels of the shorter side; smaller frames keep their size.
        full: Which of them are also given at their own size.
        num_threads: Decoder threads; 0 takes one per core.
        takes_damaged: Whether damaged frames are given, and marked, where there is something to show.

    Raises:
        ValueError: The file is damaged, or a frame does not exist.
    """
    path, index, clip = timeline.path, timeline.index, timeline.image_clip
    wanted = _choose(path, len(index.pts), indices, None)
    if clip is not None:
        for number, picture in zip(wanted, clip.read(wanted), strict=True):
            small = _shrunk(picture, short_side)
            yield StreamedFrame(index=number, small=small, full=picture if number in full else None)
        return
    whole, reduced = _reformatter(), _reformatter()
    for number, frame, turn, is_damaged in _decoded_frames(path, index, wanted, num_threads):
        if is_damaged and not takes_damaged:
            raise _damage(path, index, number)
        scale = min(1.0, short_side / min(frame.width, frame.height))
        width, height = max(1, round(scale * frame.width)), max(1, round(scale * frame.height))
        small = reduced.reformat(frame, width=width, height=height, format="rgb24", interpolation="AREA")
        large = whole.reformat(frame, format="rgb24") if number in full else None
        yield StreamedFrame(
            index=number,
            small=np.ascontiguousarray(turn.apply(small.to_ndarray())),
            full=None if large is None else np.ascontiguousarray(turn.apply(large.to_ndarray())),
            is_damaged=is_damaged,
            quantizer=quantizer_step(frame),
        )


@dataclass(frozen=True)
class _Turn:
    """A display matrix as: transpose if ``is_transposed``, then flip; all eight orientations fit."""

    is_transposed: bool
    flips_columns: bool
    flips_rows: bool
    rotation: int

    @staticmethod
    def of(path: Path, frame: "VideoFrame") -> "_Turn":
        """Read the matrix that maps stored (x, y) to shown (a x + c y, b x + d y); absent means upright.

        Source: ISO/IEC 14496-12, track header; libavutil/display.h for the layout.
        """
        side_data = frame.side_data.get("DISPLAYMATRIX")
        if side_data is None:
            return _Turn(False, False, False, 0)
        a, b, _, c, d = struct.unpack_from("=5i", bytes(side_data))
        is_transposed = abs(b) > abs(a)
        x_scale, y_scale = (c, b) if is_transposed else (a, d)
        off_axis = max(abs(a), abs(d)) if is_transposed else max(abs(b), abs(c))
        if off_axis > min(abs(x_scale), abs(y_scale)) / 100:
            angle = math.degrees(math.atan2(b, a))
            raise ValueError(f"{path}: shown turned by {angle:.0f} degrees; only quarter turns can be read")
        is_mirrored = a * d - b * c < 0
        rotation = round(math.degrees(math.atan2(-b, -a) if is_mirrored else math.atan2(b, a))) % 360
        return _Turn(is_transposed, x_scale < 0, y_scale < 0, rotation)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Turn an ``h w 3`` array upright."""
        image = image.transpose(1, 0, 2) if self.is_transposed else image
        image = image[:, ::-1] if self.flips_columns else image
        return image[::-1] if self.flips_rows else image


def _check_exists(path: Path) -> None:
    if images.is_image_clip(path) and path.suffix.lower() != ".webp":
        return  # a pattern is no file; its frames are looked for later
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: empty file")


@contextlib.contextmanager
def _opened(path: Path, num_threads: int) -> Iterator[tuple["InputContainer", "VideoStream"]]:
    """The file and its video stream; whatever FFmpeg finds wrong with it becomes one ``ValueError``."""
    import av
    import av.error

    try:
        # "file:" because FFmpeg would take a name like "a:b.mp4" for a protocol
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            stream = _video_stream(path, container)
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = num_threads
            ask_for_quantizers(stream)
            yield container, stream
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{path}: damaged, truncated or not a video ({reason})") from error


def _video_stream(path: Path, container: "InputContainer") -> "VideoStream":
    from av.stream import Disposition

    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if container.format.name == "tty":  # FFmpeg draws any text file as a terminal
        raise ValueError(f"{path}: a text file, not a video")
    if len(container.streams) == 0:
        raise ValueError(f"{path}: damaged, truncated or not a video (no streams)")
    if not moving:
        kinds = sorted({stream.type for stream in container.streams})
        raise ValueError(f"{path}: no video stream, only {', '.join(kinds)}")
    best = container.streams.best("video")
    stream = next((stream for stream in moving if stream is best), moving[0])
    if stream.codec_context is None:
        raise ValueError(f"{path}: this FFmpeg has no decoder for its video stream")
    return stream


def _index(path: Path, num_threads: int) -> FrameIndex:
    """Index by packets, or by decoding everything where packets do not tell."""
    with _opened(path, num_threads) as (container, stream):
        index = index_by_packets(path, container, stream)
    if index is None:
        with _opened(path, num_threads) as (container, stream):
            index = index_by_decoding(container, stream)
    if index is None:
        raise ValueError(f"{path}: no video frames")
    return index


def _decoded(path: Path, index: FrameIndex, wanted: list[int], num_threads: int) -> Iterator[np.ndarray]:
    """Upright RGB arrays of the ascending frame numbers ``wanted``."""
    reformatter = _reformatter()
    for number, frame, turn, is_damaged in _decoded_frames(path, index, wanted, num_threads):
        if is_damaged:
            raise _damage(path, index, number)
        rgb = reformatter.reformat(frame, format="rgb24", threads=num_threads or 1)
        yield turn.apply(rgb.to_ndarray())


def _reformatter() -> "VideoReformatter":
    """One for all frames of a kind: setting it up costs more than a small frame."""
    from av.video.reformatter import VideoReformatter

    return VideoReformatter()


def _decoded_frames(
    path: Path, index: FrameIndex, wanted: Sequence[int], num_threads: int
) -> "Iterator[tuple[int, VideoFrame, _Turn, bool]]":
    """Frames by their ascending numbers as they are stored, how each is turned, and whether it is damaged."""
    position = 0
    for can_seek in (True, False):
        # errors after a seek may be its fault: they count when decoding from the start has them too
        with contextlib.suppress(*([ValueError] if can_seek else [])), _opened(path, num_threads) as opened:
            for frame, is_damaged in decode_at(*opened, index, wanted[position:], can_seek=can_seek):
                if is_damaged and can_seek:
                    break
                yield wanted[position], frame, _Turn.of(path, frame), is_damaged
                position += 1
        if position == len(wanted):
            return
    raise ValueError(f"{path}: damaged: frame {wanted[position]} of {len(index.pts)} cannot be decoded")


def _damage(path: Path, index: FrameIndex, number: int) -> ValueError:
    return ValueError(f"{path}: damaged: frame {number} of {len(index.pts)} was decoded with errors")


def _shrunk(picture: np.ndarray, short_side: int) -> np.ndarray:
    """A picture of an animation, made small by averaging."""
    height, width = picture.shape[:2]
    scale = min(1.0, short_side / min(height, width))
    if scale == 1.0:
        return picture
    small = Image.fromarray(picture).resize(
        (max(1, round(scale * width)), max(1, round(scale * height))), Image.Resampling.BOX
    )
    return np.asarray(small)


def _choose(path: Path, available: int, indices: Sequence[int] | None, num_frames: int | None) -> list[int]:
    if available == 0:
        raise ValueError(f"{path}: no video frames")
    if num_frames is not None:
        try:
            return uniform_indices(available, num_frames)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    chosen = list(range(available)) if indices is None else [int(i) for i in indices]
    absent = [i for i in chosen if not 0 <= i < available]
    if absent:
        raise ValueError(f"{path}: no frame {absent[0]}: the file holds frames 0 to {available - 1}")
    if not chosen:
        raise ValueError(f"{path}: indices is empty: ask for at least one frame")
    return chosen


def _gather(path: Path, chosen: list[int], pictures: Iterable[np.ndarray]) -> Tensor:
    """Put decoded ``h w 3`` frames, which come in ascending order, where ``chosen`` wants them."""
    places: dict[int, list[int]] = {}
    for place, i in enumerate(chosen):
        places.setdefault(i, []).append(place)
    frames = np.empty(0, dtype=np.uint8)
    for i, picture in zip(sorted(places), pictures, strict=True):
        frame = rearrange(picture, "h w c -> c h w")
        if len(frames) == 0:
            frames = np.empty((len(chosen), *frame.shape), dtype=np.uint8)
        if frame.shape != frames.shape[1:]:
            raise ValueError(
                f"{path}: the frame size changes, to {picture.shape[1]}x{picture.shape[0]} at frame {i}"
            )
        for place in places[i]:
            frames[place] = frame
    return torch.from_numpy(frames)


def _metadata(container: "InputContainer") -> dict[str, str]:
    found = {key.lower(): value for key, value in container.metadata.items()}  # Matroska shouts its keys
    return found | images.metadata_from_json(found.get("comment", ""))  # GIF has one comment for all


def _describe_images(timeline: Timeline, clip: images.ImageClip) -> VideoInfo:
    fps, is_variable = timeline.frame_rate()
    return VideoInfo(
        num_frames=len(clip.timestamps_s),
        fps=fps,
        is_variable_fps=is_variable,
        duration_s=float(clip.duration_s),
        width=clip.width,
        height=clip.height,
        rotation=0,
        codec="webp" if clip.path.suffix.lower() == ".webp" else "png",
        pixel_format=clip.mode.lower(),
        has_audio=False,
        metadata=clip.metadata,
    )
