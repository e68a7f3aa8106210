"""Training clips out of captioned video files: a random stride and start for each, exact on resume.

Source of the defaults: the data loader of Hummingbird's first stage (webvid_t2v.py of AMD-Hummingbird-T2V).
It puts black beside frames that are narrower than the crop; here frames are scaled until they cover it. It
takes a smaller stride than it drew where a file is too short; here only strides that fit are drawn.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import UInt8
from torch import Tensor

from rufous.core.console import logger
from rufous.core.randomness import generator_from
from rufous.data.records import ClipRecord
from rufous.video.frames import resize_and_crop
from rufous.video.read import Timeline, read_frames, timeline_of

MAX_UNREADABLE = 100
"""Records in a row that may fail before the list itself must be wrong."""
_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClipSampling:
    """How clips are drawn from files."""

    num_frames: int = 16
    height: int = 320
    width: int = 512
    strides: tuple[int, int] = (1, 6)
    """Smallest and largest distance between two frames taken, in frames of the file."""
    skip_s: float = 1.0
    """Seconds at the beginning of a record that are left out where enough remains."""
    views: int = 1
    """Examples that each record gives in an epoch."""

    def __post_init__(self) -> None:
        smallest, largest = self.strides
        if min(self.num_frames, self.height, self.width, self.views) < 1:
            raise ValueError(
                f"num_frames={self.num_frames}, height={self.height}, width={self.width}, views={self.views} "
                "must all be 1 or more"
            )
        if not 1 <= smallest <= largest:
            raise ValueError(f"strides={self.strides} must be (smallest, largest), from 1 up: (1, 6)")
        if not 0.0 <= self.skip_s < float("inf"):
            raise ValueError(f"skip_s={self.skip_s} is no time: use seconds, 0 or more")


@dataclass(frozen=True, kw_only=True)
class TrainingClip:
    """One example."""

    frames: UInt8[Tensor, "f 3 h w"]
    fps: float
    """True rate of these frames: the file's, divided by the stride."""
    caption: str


class VideoClips:
    """Training clips by index; each depends on the seed and its index alone, never on what was read before.

    A record that cannot be read, or is too short at the smallest stride, is logged once, and the next one
    that can be read stands in, alike in every process that sees the same files. Owns nothing but the numbers
    of the records it has logged.

    Reading one clip reads every packet of its file, to number the frames: cut films into files first.
    """

    def __init__(
        self, records: Sequence[ClipRecord], sampling: ClipSampling | None = None, *, seed: int = 0
    ) -> None:
        """Open nothing yet.

        Args:
            records: Whole or lazy; taken one by one.
            sampling: The defaults when None.
            seed: Chooses strides and starts.

        Raises:
            ValueError: There are no records, or ``seed`` is negative.
        """
        if len(records) == 0:
            raise ValueError("there are no records: pass one or more")
        if seed < 0:
            raise ValueError(f"seed={seed} is negative: use 0 or more")
        self._records = records
        self._sampling = sampling or ClipSampling()
        self._seed = seed
        self._logged: set[int] = set()

    def __len__(self) -> int:
        """Number of records times ``views``."""
        return len(self._records) * self._sampling.views

    def __getitem__(self, index: int) -> TrainingClip:
        """The clip at ``index``; record i is shown at i, and again each ``len(records)`` later.

        Raises:
            IndexError: There is no such example.
            ValueError: As many records in a row as ``MAX_UNREADABLE``, or all, cannot be read.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"no example {index}: there are {len(self)}")
        reason: Exception | None = None
        num_tries = min(MAX_UNREADABLE, len(self._records))
        for offset in range(num_tries):
            number = (index + offset) % len(self._records)
            try:
                return self._clip(self._records[number], generator_from(self._seed, "clip", index))
            except (OSError, ValueError) as error:
                reason = error
                self._log_once(number, error)
        raise ValueError(
            f"{num_tries} records in a row cannot be read, from number {index % len(self._records)} on; the "
            f"last one says: {reason}; check the list of clips and its root"
        ) from reason

    def _clip(self, record: ClipRecord, generator: torch.Generator) -> TrainingClip:
        sampling = self._sampling
        timeline = timeline_of(record.source, num_threads=1)
        chosen = draw_frames(timeline, record, sampling, generator)
        fps = clip_rate(timeline, chosen)  # before the costly part, since it may refuse the file
        frames, _ = read_frames(timeline, chosen, num_threads=1)
        resized = [resize_and_crop(frame, height=sampling.height, width=sampling.width) for frame in frames]
        return TrainingClip(frames=torch.stack(resized), fps=fps, caption=record.caption)

    def _log_once(self, number: int, error: Exception) -> None:
        if number not in self._logged:
            self._logged.add(number)
            source = self._records[number].source
            reason = str(error).removeprefix(f"{source}: ")
            _log.warning("%s: %s; the next record stands in for it", source, reason)


def draw_frames(
    timeline: Timeline, record: ClipRecord, sampling: ClipSampling, generator: torch.Generator
) -> range:
    """Frame numbers of one clip: an even draw of the strides that fit, then of the starts.

    Frames belong to the record if the middle of the time for which they are shown lies between its start and
    its end, so that times which were rounded take no frame of the next scene. The first ``skip_s`` seconds
    are left out if the drawn stride fits behind them.

    Raises:
        ValueError: Too few frames for the smallest stride.
    """
    frames = _frames_between(timeline, record.start_s, record.end_s)
    num_gaps, (smallest, largest) = sampling.num_frames - 1, sampling.strides
    if len(frames) <= num_gaps * smallest:
        raise ValueError(
            f"{record.source}: too short: {len(frames)} frames, and {sampling.num_frames} at stride "
            f"{smallest} need {num_gaps * smallest + 1}"
        )
    if num_gaps > 0:
        largest = min(largest, (len(frames) - 1) // num_gaps)
    stride = smallest + _draw_below(largest - smallest + 1, generator)
    length = num_gaps * stride + 1
    later = _frames_between(timeline, record.start_s + sampling.skip_s, record.end_s)
    free = later if len(later) >= length else frames
    start = free.start + _draw_below(len(free) - length + 1, generator)
    return range(start, start + length, stride)


def _frames_between(timeline: Timeline, start_s: float, end_s: float | None) -> range:
    middles = [(shown + gone) / 2 for shown, gone in pairwise([*timeline.times_s, timeline.duration_s])]
    stop = len(middles) if end_s is None else bisect_left(middles, end_s)
    return range(bisect_left(middles, start_s), stop)


def _draw_below(limit: int, generator: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))


def clip_rate(timeline: Timeline, chosen: range) -> float:
    """Frames per second of the chosen frames; the mean, if the file's rate varies."""
    fps, is_variable = timeline.frame_rate()
    if not is_variable or len(chosen) == 1:
        return float(fps / chosen.step)
    first_s, last_s = timeline.seconds_at([chosen[0], chosen[-1]])
    if last_s <= first_s:
        raise ValueError(f"{timeline.path}: frames {chosen[0]} to {chosen[-1]} are all shown at {first_s} s")
    return (len(chosen) - 1) / (last_s - first_s)
