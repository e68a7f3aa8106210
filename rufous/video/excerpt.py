"""A stretch of a video as a file of its own: its packets copied where that is exact, else encoded anew."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch

from rufous.core.files import atomic_path
from rufous.video.read import Timeline, read_frames, stream_frames, timeline_of
from rufous.video.write import write_stream

_MP4_CODECS = frozenset({"h264", "hevc", "av1", "mpeg4"})
"""Copied into .mp4; packets of other codecs go into .mkv, which takes any."""
_WHOLE = 1 << 20
"""No frame has a shorter side than this many pixels, so none is scaled."""


@dataclass(frozen=True)
class Excerpt:
    """What was written."""

    path: Path
    is_copied: bool
    num_frames: int


class _CannotCopyError(Exception):
    """The packets alone would not give these frames."""


def write_excerpt(
    timeline: Timeline,
    numbers: range,
    stem: Path,
    *,
    may_copy: bool = True,
    crf: int = 18,
    keyframe_s: float = 1.0,
) -> Excerpt:
    """Write some consecutive frames of a file, without sound, at the times they have, from 0 on.

    Packets are copied where the first frame is a key frame and no frame of the stretch needs one after it;
    the copy is then read again, and must have as many frames, at the same times, the first, middle and last
    alike bit for bit. Else the frames are encoded anew: H.264, yuv420p, upright, an odd row or column left
    out. The file appears whole or not at all.

    Args:
        timeline: Of the file.
        numbers: Frame numbers, in steps of 1, at least one.
        stem: Where to write; ``.mp4`` or, for copies of codecs that it does not take, ``.mkv`` is added.
        may_copy: Whether packets may be copied.
        crf: Of what is encoded, 0 (best) to 51.
        keyframe_s: Seconds from key frame to key frame in what is encoded: short ones seek quickly.

    Raises:
        ValueError: The file is damaged, or ``numbers`` holds no frames of it.
        OSError: The folder cannot be written, or the disk is full.
    """
    if not len(numbers) or numbers.step != 1 or numbers.start < 0 or numbers.stop > len(timeline.index.pts):
        raise ValueError(f"{timeline.path}: frames {numbers} of {len(timeline.index.pts)} cannot be cut out")
    path = _copied(timeline, numbers, stem) if may_copy else None
    if path is not None:
        return Excerpt(path, True, len(numbers))
    index, rate = timeline.index, timeline.frame_rate()[0]
    frames = stream_frames(timeline, numbers, short_side=_WHOLE)
    path = write_stream(
        stem.with_name(stem.name + ".mp4"),
        (frame.small for frame in frames),
        pts=[index.pts[i] - index.pts[numbers.start] for i in numbers],
        time_base=index.time_base,
        rate=rate,
        crf=crf,
        keyframe_every=max(1, round(rate * Fraction(keyframe_s).limit_denominator(1000))),
    )
    written = len(timeline_of(path).index.pts)
    if written != len(numbers):
        path.unlink()
        raise ValueError(f"{timeline.path}: {written} frames were written of {len(numbers)}")
    return Excerpt(path, False, len(numbers))


def _copied(timeline: Timeline, numbers: range, stem: Path) -> Path | None:
    """The file of copied packets, or None if they would not give these frames."""
    import av.error

    start = timeline.index.pts[numbers.start]
    if timeline.image_clip is not None or start not in dict(timeline.index.keys):
        return None
    try:
        return _copy(timeline, numbers, stem)
    except (_CannotCopyError, av.error.FFmpegError):
        return None


def _copy(timeline: Timeline, numbers: range, stem: Path) -> Path:
    import av

    index = timeline.index
    start = index.pts[numbers.start]
    stop = index.pts[numbers.stop] if numbers.stop < len(index.pts) else None
    with av.open(f"file:{timeline.path}", metadata_errors="replace") as source:
        video = source.streams.best("video")
        if video is None or video.time_base != index.time_base:
            raise _CannotCopyError
        suffix = ".mp4" if video.codec_context.name in _MP4_CODECS else ".mkv"
        path = stem.with_name(stem.name + suffix)
        with atomic_path(path) as temporary:
            with av.open(str(temporary), "w") as target:
                copy = target.add_stream_from_template(video)
                source.seek(dict(index.keys)[start], stream=video)
                num_copied = 0
                for packet in source.demux(video):
                    if packet.pts is None or packet.dts is None:
                        continue
                    if num_copied == 0 and packet.pts != start:
                        continue
                    if stop is not None and packet.pts >= stop:
                        break  # what is missing now comes later in the file, and refers to this
                    if packet.pts < start:
                        continue  # shown before the key frame, though stored after it
                    packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, copy
                    target.mux(packet)
                    num_copied += 1
            if num_copied != len(numbers) or not _shows_the_same(timeline, numbers, temporary):
                raise _CannotCopyError
        return path


def _shows_the_same(timeline: Timeline, numbers: range, path: Path) -> bool:
    """Whether a file holds these frames: their number, their times, and three of them bit for bit."""
    try:
        written = timeline_of(path, num_threads=1)
        if len(written.index.pts) != len(numbers):
            return False
        origin = timeline.times_s[numbers.start]
        late = [
            abs(ours - (theirs - origin))
            for ours, theirs in zip(written.times_s, timeline.seconds_at(numbers), strict=True)
        ]
        some = sorted({0, len(numbers) // 2, len(numbers) - 1})
        ours, _ = read_frames(written, some, num_threads=1)
        theirs, _ = read_frames(timeline, [numbers[i] for i in some], num_threads=1)
    except ValueError:
        return False
    return max(late) < 0.002 and torch.equal(ours, theirs)
