"""Seeking in codecs whose packets do not tell their frames: where to, and how it is known to be exact.

MPEG-4, MPEG-2, VP8 and WMV are numbered by decoding the whole file once. On the way the checksum of each
frame is kept, and where the key frames lie. What is decoded on from a key frame later is compared with these:
it is bit for bit what decoding from the start gave, or the file is decoded from the start.
"""

import bisect
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_CHECKED_FORMATS = frozenset(
    {"yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p", "yuv410p", "yuv411p", "gray"}
)
"""One byte a sample, a plane a channel, as codecs of that age have it; others are decoded from the start."""
_MOST_KEYS = 16
"""Key frames that are looked at after a seek, which may have led further back than it was asked to."""


@dataclass(frozen=True, kw_only=True)
class Landmarks:
    """What a pass over all frames of a file leaves for later ones."""

    keys: tuple[tuple[int, int], ...]
    """(frame number, dts) of the key frames, ascending."""
    checksums: Sequence[int]
    """Of each frame, in display order."""

    def key_before(self, number: int) -> tuple[int, int]:
        """Number and dts of the last key frame up to a frame; (0, 0) if the file does not begin with one."""
        place = bisect.bisect_right(self.keys, number, key=lambda key: key[0]) - 1
        return self.keys[place] if place >= 0 else (0, 0)

    def is_frame(self, number: int, frame: "VideoFrame") -> bool:
        """Whether a frame is this one, bit for bit."""
        return checksum_of(frame) == self.checksums[number]

    def from_key(self, number: int, frames: "Iterable[VideoFrame]") -> "Iterator[VideoFrame]":
        """The frames from a key frame on; none if it is not among the first key frames that come."""
        waiting, num_keys = iter(frames), 0
        for frame in waiting:
            num_keys += bool(frame.key_frame)
            if frame.key_frame and self.is_frame(number, frame):
                yield frame
                yield from waiting
            if num_keys >= _MOST_KEYS:
                return


class Survey:
    """Landmarks in the making, while a file is decoded; owns what was seen so far."""

    def __init__(self) -> None:
        self._dts: list[int | None] = []
        self._numbers: list[int] = []
        self._checksums = array("I")
        self._is_checked = True

    def see_key_packet(self, dts: int | None) -> None:
        """Each packet of a key frame in the order of the file."""
        self._dts.append(dts)

    def see_frame(self, frame: "VideoFrame") -> None:
        """Each frame in display order."""
        if frame.key_frame:
            self._numbers.append(len(self._checksums))
        self._is_checked = self._is_checked and frame.format.name in _CHECKED_FORMATS
        self._checksums.append(checksum_of(frame) if self._is_checked else 0)

    def landmarks(self) -> Landmarks | None:
        """What was found; None where packets and frames do not tell of the same key frames."""
        dts = [each for each in self._dts if each is not None]
        if not self._is_checked or not dts or not len(dts) == len(self._dts) == len(self._numbers):
            return None
        keys = tuple(zip(self._numbers, dts, strict=True))
        return Landmarks(keys=keys, checksums=self._checksums)


def checksum_of(frame: "VideoFrame") -> int:
    """CRC-32 of the pixels of a frame in one of ``_CHECKED_FORMATS``, without what pads its rows."""
    value = frame.width << 16 ^ frame.height
    planes: list[Any] = list(frame.planes)  # typed so, as PyAV's stubs do not say that they are buffers
    for plane in planes:
        rows = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size].reshape(plane.height, -1)
        value = zlib.crc32(rows[:, : plane.width].tobytes(), value)
    return value
