"""Frame numbers to places in a file: an exact index, and decoding that seeks only as far back as it must.

Packets give each frame's time without decoding, for codecs whose packets are one frame each. Display order
is the order of those times. A wanted frame is decoded from the last key frame shown no later than it: frames
shown after a key frame never refer to what came before it, even in open groups of pictures. For other codecs
``rufous.video.landmarks`` says how.
"""

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rufous.video.images import metadata_from_json, stated_fps
from rufous.video.landmarks import Landmarks, Survey

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_ONE_PACKET_PER_FRAME = frozenset(
    {"h264", "hevc", "vp9", "av1", "ffv1", "mjpeg", "prores", "dnxhd", "rawvideo"}
)
"""Not so: MPEG-4 in AVI (packed B-frames), VP8 (hidden frames), GIF."""
_WORTH_A_SEEK = 8
"""Frames to skip for which a seek pays: fewer are cheaper to decode than to refill the decoder."""
_FALLBACK_RATE = Fraction(25)  # what FFmpeg takes for streams without times
_SAYS_DURATION = frozenset(
    {"matroska,webm", "flv"}
)  # demuxers whose duration is read, not guessed from the end


@dataclass(frozen=True, kw_only=True)
class FrameIndex:
    """When each frame is shown, in display order, in units of ``time_base`` seconds."""

    pts: list[int]
    end: int
    """When the last frame stops being shown."""
    time_base: Fraction
    stated_rates: tuple[Fraction, ...] = ()
    """Rates the file claims, most credible first."""
    keys: tuple[tuple[int, int], ...] = ()
    """(pts, dts) of the key frames, ascending; empty if packets do not tell."""
    landmarks: Landmarks | None = None
    """Of a file that was decoded for its index; None if its frames can only be decoded from the start."""

    @staticmethod
    def of_times(
        times_s: Sequence[Fraction], duration_s: Fraction, *, stated_rates: tuple[Fraction, ...] = ()
    ) -> "FrameIndex":
        """An index of images, which say their times in seconds."""
        unit = Fraction(1, math.lcm(1000, *(time.denominator for time in (*times_s, duration_s))))
        pts = [int(time / unit) for time in times_s]
        return FrameIndex(pts=pts, end=int(duration_s / unit), time_base=unit, stated_rates=stated_rates)


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """Where a packet or frame stands; the packet itself would hold its bytes in memory."""

    pts: int | None
    dts: int | None
    duration: int
    is_key: bool


def index_by_packets(path: Path, container: "InputContainer", stream: "VideoStream") -> FrameIndex | None:
    """Index a stream that was just opened, without decoding it.

    Returns:
        None if packets do not tell the frames of this stream.

    Raises:
        ValueError: Packets are missing or cut short.
    """
    marks = _packet_marks(path, container, stream)
    pts = {mark.pts for mark in marks}
    if (
        stream.codec_context.name not in _ONE_PACKET_PER_FRAME
        or None in pts
        or len(pts) < len(marks)
        or not marks
    ):
        return None
    if container.format.name == "avi" and not all(mark.is_key for mark in marks):
        return None  # it stores no times, and FFmpeg gives those of decoding for those of showing
    first_key = marks[0]
    if not first_key.is_key or min(mark.pts for mark in marks if mark.pts is not None) < (first_key.pts or 0):
        return None  # starts amid a group of pictures: only the decoder knows which frames are lost
    keys = sorted(
        (mark.pts, mark.dts)
        for mark in marks
        if mark.is_key and mark.pts is not None and mark.dts is not None
    )
    ordered = sorted(marks, key=lambda mark: mark.pts or 0)
    return _index_of(ordered, container, stream, tuple(keys))


def index_by_decoding(container: "InputContainer", stream: "VideoStream") -> FrameIndex | None:
    """Index a stream that was just opened by decoding all of it; None if there are no frames."""
    marks, survey = list[_Mark](), Survey()
    for packet in container.demux(stream):
        if packet.is_keyframe and packet.size:
            survey.see_key_packet(packet.dts)
        for frame in packet.decode():
            marks.append(_Mark(pts=frame.pts, dts=None, duration=frame.duration or 0, is_key=False))
            survey.see_frame(frame)
    if not marks:
        return None
    return replace(_index_of(marks, container, stream, ()), landmarks=survey.landmarks())


def frame_rate(index: FrameIndex) -> tuple[Fraction, bool]:
    """Frames per second, and whether the rate varies.

    A rate holds if no frame is more than one unit of time away from it, since files round times to their
    unit. The rates the file states are tried first, then whole and NTSC rates; a variable one gives its mean.
    """
    num_gaps = len(index.pts) - 1
    if num_gaps == 0:
        return next(iter(index.stated_rates), 1 / (max(index.end - index.pts[0], 1) * index.time_base)), False
    mean = num_gaps / ((index.pts[-1] - index.pts[0]) * index.time_base)
    whole = max(round(mean), 1)
    unit = float(index.time_base)
    times = (np.asarray(index.pts, dtype=np.int64) - index.pts[0]) * unit
    for rate in (*index.stated_rates, Fraction(whole), Fraction(whole * 1000, 1001)):
        if np.abs(times - np.arange(num_gaps + 1) / float(rate)).max() <= unit + 1e-6:
            return rate, False
    is_steady = np.abs(times - np.arange(num_gaps + 1) / float(mean)).max() <= unit + 1e-6
    return mean, not is_steady


def decode_at(
    container: "InputContainer",
    stream: "VideoStream",
    index: FrameIndex,
    wanted: Sequence[int],
    *,
    can_seek: bool,
) -> Iterator[tuple["VideoFrame", bool]]:
    """Decode the ascending frame numbers ``wanted`` of a stream that was just opened.

    With each frame it is told whether it is damaged: the decoder reports errors in it, or in one since the
    last key frame, which it may refer to.

    Ends early where a frame does not turn up: the file does not seek as its packets promise, or is damaged.
    """
    if not index.keys:
        yield from _decode_by_counting(container, stream, index.landmarks if can_seek else None, wanted)
        return
    key_times = [pts for pts, _ in index.keys]
    frames, last_pts = _Watched(container.decode(stream)), index.pts[0]
    for i in wanted:
        target = index.pts[i]
        key_pts, key_dts = index.keys[bisect.bisect_right(key_times, target) - 1]
        skipped = bisect.bisect_left(index.pts, key_pts) - bisect.bisect_left(index.pts, last_pts)
        if can_seek and skipped > _WORTH_A_SEEK:
            container.seek(key_dts, stream=stream)
            frames = _Watched(container.decode(stream))
        frame = next((frame for frame in frames if frame.pts is not None and frame.pts >= target), None)
        if frame is None or frame.pts != target:
            return
        last_pts = target
        yield frame, frames.is_damaged


def _decode_by_counting(
    container: "InputContainer", stream: "VideoStream", landmarks: Landmarks | None, wanted: Sequence[int]
) -> Iterator[tuple["VideoFrame", bool]]:
    """Frames by their place in what comes out, from the start or from a key frame that is checked."""
    frames, coming, is_sought = _Watched(container.decode(stream)), 0, False
    for i in wanted:
        key, dts = landmarks.key_before(i) if landmarks is not None else (0, 0)
        if landmarks is not None and key - coming > _WORTH_A_SEEK:
            container.seek(dts, stream=stream)
            frames = _Watched(landmarks.from_key(key, container.decode(stream)))
            coming, is_sought = key, True
        frame = next(itertools.islice(frames, i - coming, None), None)
        if frame is None or (landmarks is not None and is_sought and not landmarks.is_frame(i, frame)):
            return
        coming = i + 1
        yield frame, frames.is_damaged


class _Watched:
    """Frames as they come, and whether the last of them is damaged."""

    def __init__(self, frames: Iterator["VideoFrame"]) -> None:
        self._frames, self.is_damaged = frames, False

    def __iter__(self) -> Iterator["VideoFrame"]:
        return self

    def __next__(self) -> "VideoFrame":
        frame = next(self._frames)
        self.is_damaged = frame.is_corrupt or (self.is_damaged and not frame.key_frame)
        return frame


def _packet_marks(path: Path, container: "InputContainer", stream: "VideoStream") -> list[_Mark]:
    """Marks of the packets that are shown, in file order; raises where the file is cut short."""
    marks: list[_Mark] = []
    num_packets = 0
    for packet in container.demux(stream):
        if packet.size == 0 and packet.dts is None:
            continue  # PyAV's request to flush, not a packet
        if packet.is_corrupt:
            raise ValueError(f"{path}: truncated or damaged at packet {num_packets} of its video")
        num_packets += 1
        if not packet.is_discard:
            duration = packet.duration or 0
            marks.append(_Mark(pts=packet.pts, dts=packet.dts, duration=duration, is_key=packet.is_keyframe))
    if num_packets < stream.frames:
        raise ValueError(f"{path}: truncated: {num_packets} of its {stream.frames} frames are there")
    stated_s, present_s = _stated_duration_s(container, stream), _present_duration_s(marks, stream)
    gap_s = present_s / max(len(marks), 1)
    if stated_s is not None and stated_s > present_s + 2 * gap_s + 0.1:
        raise ValueError(f"{path}: truncated: {present_s:.2f} of its {stated_s:.2f} seconds are there")
    return marks


def _stated_duration_s(container: "InputContainer", stream: "VideoStream") -> float | None:
    """Duration of the video from the file's header, for formats that state one but no frame count."""
    if container.format.name not in _SAYS_DURATION:
        return None
    if "DURATION" in stream.metadata:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    is_alone = len(container.streams) == 1  # with sound, it may be the sound that lasts so long
    return container.duration / 1e6 if container.duration and is_alone else None


def _present_duration_s(marks: list[_Mark], stream: "VideoStream") -> float:
    """From time zero, as Matroska counts, to the end of the last packet."""
    ends = [(mark.pts or 0) + mark.duration for mark in marks]
    return float(max(ends, default=0) * (stream.time_base or 0))


def _index_of(
    marks: list[_Mark], container: "InputContainer", stream: "VideoStream", keys: tuple[tuple[int, int], ...]
) -> FrameIndex:
    """Marks in display order as an index; a stream without usable times is taken at its stated rate."""
    stated = (
        stated_fps(metadata_from_json(container.metadata.get("comment", ""))),
        stream.average_rate,
        stream.guessed_rate,
        stream.base_rate,
    )
    rates = tuple(rate for rate in stated if rate)
    pts = [mark.pts for mark in marks if mark.pts is not None]
    if stream.time_base is None or len(pts) < len(marks) or len(set(pts)) < len(pts) or sorted(pts) != pts:
        rate = next(iter(rates), _FALLBACK_RATE)
        return FrameIndex(pts=list(range(len(marks))), end=len(marks), time_base=1 / rate, stated_rates=rates)
    mean_gap = (pts[-1] - pts[0]) // (len(pts) - 1) if len(pts) > 1 else 1
    end = pts[-1] + (marks[-1].duration or mean_gap)
    return FrameIndex(pts=pts, end=end, time_base=stream.time_base, stated_rates=rates, keys=keys)
