"""The frames of a clip, decoded once for all stages: every frame small, a few at the file's own size."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rufous.core.files import state_of
from rufous.video.read import Timeline, stream_frames, timeline_of

Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class MediaSettings:
    """How much of a clip is held in memory."""

    short_side: int = 180
    """Pixels of the shorter side of small frames; smaller files keep their size."""
    num_full: int = 8
    """Frames at the file's own size, evenly spread; the first and the last of them lie half a gap inside."""
    max_small: int = 1200
    """With more frames, every second, third and so on is taken; at 180x320 a thousand take 173 MB."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """What one pass over a clip gives."""

    small: np.ndarray
    """RGB, uint8, ``f h w 3``."""
    small_times_s: np.ndarray
    """Seconds after the file's first frame."""
    full: np.ndarray
    """RGB, uint8, ``k h w 3``."""
    full_times_s: np.ndarray
    stride: int
    """Every so-manieth frame of the file is among the small ones."""
    damaged: tuple[int, ...] = ()
    """Numbers of the file's frames among these at which the decoder had to guess."""
    quantizer: float | None = None
    """Mean step of the coding's quantiser over these frames, luma levels; None where no decoder tells it."""


class ClipMedia:
    """Frames of a stretch of one file, decoded at the first use and kept; owns the decoded arrays.

    Stages must not write into the arrays: the next stage reads the same ones.
    """

    def __init__(
        self,
        path: Path,
        *,
        start_s: float = 0.0,
        end_s: float | None = None,
        settings: MediaSettings | None = None,
        timeline: Timeline | None = None,
        is_few: bool = False,
    ) -> None:
        """Open nothing yet.

        Args:
            path: Whatever ``rufous.video.read_video`` reads.
            start_s: Seconds after the file's first frame.
            end_s: None until the file ends.
            settings: The defaults when None.
            timeline: Of the file, if it is known already.
            is_few: Nobody will look at small frames: only those of full size are decoded, and ``small`` holds
                the same ones.
        """
        self.path, self.start_s, self.end_s = path, start_s, end_s
        self.settings, self._is_few = settings or MediaSettings(), is_few
        self.failure: str | None = None
        """Why the file cannot be read, once that was found: it is not tried again."""
        self._shared: dict[str, Any] = {}
        if timeline is not None:
            self.__dict__["timeline"] = timeline

    @cached_property
    def timeline(self) -> Timeline:
        """When the frames of the whole file are shown; clips of one file read its index once.

        Raises:
            ValueError: The file is missing, empty, truncated, damaged, or holds no video.
        """
        return self._once(lambda: _timeline(self.path, state_of(self.path)))

    @cached_property
    def frame_numbers(self) -> range:
        """The file's frames that belong to the clip: the middle of the time they are shown lies inside."""
        times = np.asarray([*self.timeline.times_s, self.timeline.duration_s])
        middles = (times[:-1] + times[1:]) / 2
        end = np.inf if self.end_s is None else self.end_s
        return range(int(np.searchsorted(middles, self.start_s)), int(np.searchsorted(middles, end)))

    @cached_property
    def edges_s(self) -> np.ndarray:
        """When each of the clip's frames begins to be shown, and when the last one stops, ``f+1``.

        Seconds after the file's first frame; they are true where the rate varies, and ``fps`` is not.
        """
        times = np.asarray([*self.timeline.times_s, self.timeline.duration_s])
        return times[self.frame_numbers.start : self.frame_numbers.stop + 1]

    @property
    def length_s(self) -> float:
        """Seconds for which the clip's frames are shown."""
        return float(self.edges_s[-1] - self.edges_s[0])

    @property
    def fps(self) -> float:
        """Frames a second of the file; the mean, if it varies: take lengths from ``edges_s``."""
        return float(self.timeline.frame_rate()[0])

    @property
    def small(self) -> np.ndarray:
        """RGB, uint8, ``f h w 3``: the clip's frames with a shorter side of at most ``short_side``.

        Raises:
            ValueError: As of ``decoded``, or a frame was decoded with errors.
        """
        return self._sound().small

    @cached_property
    def gray(self) -> np.ndarray:
        """Luma of ``small`` by BT.601, uint8, ``f h w``."""
        luma = self.small[..., 0] * np.uint16(77)  # of 256; a sum over the last axis takes thrice the time
        luma += self.small[..., 1] * np.uint16(150)
        luma += self.small[..., 2] * np.uint16(29)
        return (luma >> 8).astype(np.uint8)

    @property
    def full(self) -> np.ndarray:
        """RGB, uint8, ``k h w 3``: a few frames at the file's own size; errors as of ``small``."""
        return self._sound().full

    @property
    def quantizer(self) -> float | None:
        """Mean step of the coding's quantiser in luma levels, as of ``rufous.video.quantizer``.

        None where no decoder tells it; errors as of ``small``.
        """
        return self._sound().quantizer

    @cached_property
    def decoded(self) -> Decoded:
        """Everything, in one pass, with frames at which the decoder had to guess; ``small`` refuses those.

        Raises:
            ValueError: The file is damaged, its size changes, or no frame lies in the clip.
        """
        return self._once(self._decode)

    def _sound(self) -> Decoded:
        """What was decoded, if there were no errors."""
        decoded = self.decoded
        if decoded.damaged and self.failure is None:
            looked_at = {*self.frame_numbers[:: decoded.stride], *decoded.damaged}
            self.failure = f"{self.path}: {self.damage(decoded.damaged, len(looked_at))}"
        if decoded.damaged:
            raise ValueError(self.failure)
        return decoded

    def damage(self, damaged: Sequence[int], looked_at: int) -> str:
        """Which frames are damaged, in words: their numbers in the file, and how many were looked at."""
        first_s = self.timeline.times_s[damaged[0]]
        return (
            f"damaged: {len(damaged)} of {looked_at} frames were decoded with errors, the first at "
            f"{first_s:.2f} s"
        )

    def _decode(self) -> Decoded:
        numbers = self.frame_numbers
        if not numbers:
            raise ValueError(f"{self.path}: no frame between {self.start_s} s and {self.end_s} s")
        stride = -(-len(numbers) // self.settings.max_small)
        num_full = min(self.settings.num_full, len(numbers))
        full = {numbers[int((i + 0.5) * len(numbers) / num_full)] for i in range(num_full)}
        small = full if self._is_few else set(numbers[::stride])
        smalls, larges, small_numbers = list[np.ndarray](), list[np.ndarray](), list[int]()
        wanted, damaged, quantizers = sorted(small | full), list[int](), list[float]()
        for frame in stream_frames(
            self.timeline, wanted, short_side=self.settings.short_side, full=full, takes_damaged=True
        ):
            if frame.is_damaged:
                damaged.append(frame.index)
            if frame.quantizer is not None:
                quantizers.append(frame.quantizer)
            if frame.index in small:
                smalls.append(frame.small)
                small_numbers.append(frame.index)
            if frame.full is not None:
                larges.append(frame.full)
        if any(each.shape != smalls[0].shape for each in smalls) or any(
            each.shape != larges[0].shape for each in larges
        ):
            raise ValueError(f"{self.path}: the frame size changes")
        times = np.asarray(self.timeline.times_s)
        return Decoded(
            small=np.stack(smalls),
            small_times_s=times[small_numbers],
            full=np.stack(larges),
            full_times_s=times[sorted(full)],
            stride=stride,
            damaged=tuple(damaged),
            quantizer=float(np.mean(quantizers)) if quantizers else None,
        )

    def part(self, start_s: float, end_s: float | None) -> "ClipMedia":
        """A shorter stretch of the same file; the index of the file is not read again.

        If it is the whole clip, what was decoded is shared.
        """
        part = ClipMedia(
            self.path,
            start_s=start_s,
            end_s=end_s,
            settings=self.settings,
            timeline=self.timeline,
            is_few=self._is_few,
        )
        if "decoded" in self.__dict__ and part.frame_numbers == self.frame_numbers:
            part.__dict__["decoded"] = self.decoded
        return part

    def _once(self, read: Callable[[], Found]) -> Found:
        """What ``read`` gives; if it fails, every later reader of this clip is told the same at once."""
        if self.failure is not None:
            raise ValueError(self.failure)
        try:
            return read()
        except ValueError as error:
            self.failure = str(error)
            raise

    def shared(self, name: str, compute: Callable[["ClipMedia"], Found]) -> Found:
        """What several stages need of the same frames: computed at the first use, kept until ``release``.

        Args:
            name: Tells it from other things that are kept; each has one ``compute``.
            compute: From this media to what is kept, which nobody may write into.
        """
        if name not in self._shared:
            self._shared[name] = compute(self)
        return self._shared[name]

    def release(self) -> None:
        """Forget what was decoded, and what was computed of it."""
        self._shared.clear()
        for name in ("decoded", "gray"):
            self.__dict__.pop(name, None)


@functools.lru_cache(maxsize=4)
def _timeline(path: Path, state: tuple[int, int]) -> Timeline:
    return timeline_of(path, num_threads=1)
