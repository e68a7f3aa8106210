"""Small stages for tests of the engine: cheap, countable, and some that go wrong on purpose."""

import ctypes
import os
import signal
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch

from rufous.core.errors import MissingDependencyError
from rufous.data import media
from rufous.data.clip import Clip
from rufous.video.read import stream_frames


@dataclass(frozen=True, kw_only=True)
class Brightness:
    """Mean of the grey frames; writes a line for each clip it looks at."""

    name: ClassVar[str] = "brightness"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False

    gain: float = 1.0
    log: str = ""

    def process(self, clip: Clip) -> list[Clip]:
        note(self.log, f"brightness {clip.source} {clip.start_s:g}")
        return [clip.with_scores(brightness=self.gain * float(clip.frames().gray.mean()))]


@dataclass(frozen=True, kw_only=True)
class Halves:
    """Cuts a clip in two."""

    name: ClassVar[str] = "halves"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False

    at_s: float = 0.5
    log: str = ""

    def process(self, clip: Clip) -> list[Clip]:
        note(self.log, f"halves {clip.source}")
        return [replace(clip, end_s=self.at_s), replace(clip, start_s=self.at_s)]


@dataclass(frozen=True, kw_only=True)
class Shatter:
    """Cuts a clip into pieces of equal length."""

    name: ClassVar[str] = "shatter"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False

    each_s: float = 0.25
    count: int = 4

    def process(self, clip: Clip) -> list[Clip]:
        starts = [clip.start_s + i * self.each_s for i in range(self.count)]
        return [replace(clip, start_s=start_s, end_s=start_s + self.each_s) for start_s in starts]


@dataclass(frozen=True, kw_only=True)
class Mine:
    """Takes its process down at one place, as long as the fuse is there."""

    name: ClassVar[str] = "mine"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False

    at_s: float
    fuse: str

    def process(self, clip: Clip) -> list[Clip]:
        if clip.start_s == self.at_s and Path(self.fuse).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return [clip.with_tags(mine="passed")]


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Reads brightness."""

    name: ClassVar[str] = "contrast"
    after: ClassVar[tuple[str, ...]] = ("brightness",)
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False

    log: str = ""

    def process(self, clip: Clip) -> list[Clip]:
        note(self.log, f"contrast {clip.source} {clip.start_s:g}")
        if "brightness" not in clip.scores:
            raise ValueError("brightness was not measured")
        return [clip.with_scores(contrast=float(clip.frames().gray.std()) / clip.scores["brightness"])]


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Goes wrong in a way that the file's name says."""

    name: ClassVar[str] = "trouble"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False

    log: str = ""

    def process(self, clip: Clip) -> list[Clip]:
        note(self.log, f"trouble {clip.source}")
        match Path(clip.source).stem:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "abort":
                os.abort()
            case "hang":
                time.sleep(600)
            case "value":
                raise ValueError("this clip is not liked")
            case "timeout":
                raise TimeoutError("the endpoint did not answer")
            case "gpu":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore follows")
            case "bug":
                raise KeyError("a fault")
            case "package":
                raise MissingDependencyError("this needs the package 'x': pip install 'rufous[x]'")
            case "nothing":
                return []
        return [clip.with_tags(trouble="none")]


FATAL = b"the decoder dies of this"


def mark_as_fatal(path: Path) -> None:
    """Put a box that players pass over behind a file of MP4, by which ``FragileDecoder`` knows it."""
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 8 + len(FATAL), b"free") + FATAL)


@dataclass(frozen=True, kw_only=True)
class FragileDecoder:
    """Gives its process a decoder that reads address 0 at marked files; later stages meet it."""

    name: ClassVar[str] = "fragile_decoder"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False

    def process(self, clip: Clip) -> list[Clip]:
        media.stream_frames = _stream_or_die
        return [clip]


def _stream_or_die(timeline, *arguments, **settings):
    if timeline.path.read_bytes().endswith(FATAL):
        ctypes.string_at(0)  # a real SIGSEGV, which no handler of Python's turns into an exception
    return stream_frames(timeline, *arguments, **settings)


@dataclass(frozen=True, kw_only=True)
class Rank:
    """A set stage: the place of each clip by brightness."""

    name: ClassVar[str] = "rank"
    after: ClassVar[tuple[str, ...]] = ("brightness",)
    version: ClassVar[int] = 1

    def process_all(self, clips: Sequence[Clip]) -> list[Clip]:
        order = sorted(clips, key=lambda clip: clip.scores["brightness"])
        return [clip.with_scores(rank=float(order.index(clip))) for clip in clips]


@dataclass(frozen=True, kw_only=True)
class AfterRank:
    """Reads what the set stage found."""

    name: ClassVar[str] = "after_rank"
    after: ClassVar[tuple[str, ...]] = ("rank",)
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = True

    log: str = ""

    def process(self, clip: Clip) -> list[Clip]:
        note(self.log, f"after_rank {clip.source}")
        return [clip.with_scores(after_rank=2.0 * clip.scores["rank"])]


def note(log: str, line: str) -> None:
    if log:
        with Path(log).open("a") as file:
            file.write(line + "\n")


def notes(log: Path) -> list[str]:
    """Lines that stages wrote, sorted; the log is emptied."""
    lines = sorted(log.read_text().splitlines()) if log.exists() else []
    log.unlink(missing_ok=True)
    return lines
