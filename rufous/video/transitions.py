"""Where one shot becomes the next: cuts, dissolves, and fades through black or white.

Cuts come from PySceneDetect's adaptive detector: a frame whose change of hue, saturation and brightness
stands out from its neighbours'. Flashes and jerky motion are taken out of them. Gradual transitions are found
on thumbnails of a few cells, whose mean colours mix linearly while pictures do, however much moves inside
them. In a dissolve all cells go from one picture to the other in even steps along a straight line, and rest
at both ends; and detail is lost half way, which it is not where a camera pans. A fade is a dip of all cells
alike towards black or white.

Shapes: f frames, d colours of a thumbnail's cells (rows x columns x 3), values in [0, 255].
Source: adaptive detector, PySceneDetect (www.scenedetect.com); linear mixing as the mark of a dissolve,
Lienhart 2001, "Reliable transition detection in videos".
"""

import bisect
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rufous.core.optional import require

Kind = Literal["cut", "dissolve", "fade"]
_CELLS = (16, 9)
"""Columns and rows of a thumbnail."""
_CUT_SIDE = 90
"""Pixels of the shorter side of the frames in which cuts are sought; more costs time and finds no more."""
_BLOCK, _OVERLAP = 4096, 512
"""Frames in which gradual transitions are sought at once, so that memory does not grow with the file."""
_RETURN_FRAMES = 5
"""A flash is over after so many frames at most."""
_RETURN = 0.35
"""After a flash the picture is at most so far from the one before, as a share of the jump."""
_JERKS = 4
"""As many other jumps of similar size nearby are motion of a low frame rate, not cuts."""
_JERK_REACH = 13
"""Frames on each side that are near; four jumps of a film shown at a third of its rate lie in 12."""
_DETAIL_LEFT = 0.75
"""Detail within a dissolve, at most, as a share of what moving from one shot to the other would show; about
0.6 is expected."""
_MAX_STEP = 0.6
"""No frame of a fade goes further than this share of the way at once."""
_BLANK = 45.0
"""Largest distance of any cell from black or white, of 255, where a fade turns; a fade of six frames gets no
nearer than a seventh."""
_MIN_LEVEL = 25.0
"""RMS distance from black or white of a picture that can be said to fade."""


@dataclass(frozen=True, order=True)
class Transition:
    """Frames ``start`` to ``end`` (excluded) show neither the old shot nor the new one alone."""

    start: int
    end: int
    """The first frame of the new shot; a cut starts and ends there."""
    kind: Kind


@dataclass(frozen=True, kw_only=True)
class TransitionSettings:
    """What counts as a transition."""

    cut_ratio: float = 3.0
    """A cut's change over the mean change of the two frames on each side (PySceneDetect's default)."""
    cut_change: float = 8.0
    """A cut's change at least: mean of hue, saturation and brightness, of 255 (PySceneDetect asks for 15)."""
    max_gradual_s: float = 1.5
    """Longest dissolve, and longest half of a fade."""
    min_contrast: float = 10.0
    """RMS distance of the ends of a dissolve from each other, of 255."""
    max_bend: float = 0.2
    """How far a frame of a dissolve may be ahead of or behind its time, as a share of the way."""
    max_aside: float = 0.3
    """How far its frames may lie beside the straight line, RMS, as a share of the way."""

    def __post_init__(self) -> None:
        if min(self.cut_ratio, self.cut_change, self.max_gradual_s, self.min_contrast) <= 0:
            raise ValueError(f"{self}: cut_ratio, cut_change, max_gradual_s and min_contrast must be above 0")


def find_transitions(
    frames: Iterable[np.ndarray], *, fps: float, settings: TransitionSettings | None = None
) -> tuple[list[Transition], int]:
    """The transitions of a video, ascending and apart from each other.

    Args:
        frames: RGB, uint8, ``h w 3`` each, all of one size; seen once, so they may be a stream.
        fps: Frames a second.
        settings: The defaults when None.

    Returns:
        Transitions by frame numbers, and the number of frames.

    Raises:
        ValueError: A frame has another size.
        MissingDependencyError: OpenCV or PySceneDetect is not installed.
    """
    settings = settings or TransitionSettings()
    detect = _cut_detector(fps, settings)
    found, cuts, looks, first = list[Transition](), list[int](), list[_Look](), 0
    size: tuple[int, ...] | None = None
    for frame in frames:
        small = _shrunk(frame)
        size = size or small.shape
        if small.shape != size:
            raise ValueError(f"the frame size changes at frame {first + len(looks)}")
        cuts += detect(small)
        looks.append(_look(small))
        if len(looks) == _BLOCK:
            found += _in_block(looks, first, cuts, fps, settings, is_last=False)
            looks = looks[_BLOCK - _OVERLAP :]
            first += _BLOCK - _OVERLAP
            cuts = [cut for cut in cuts if cut > first]
    if looks:
        found += _in_block(looks, first, cuts, fps, settings, is_last=True)
    return sorted(found), first + len(looks)


def _shrunk(frame: np.ndarray) -> np.ndarray:
    cv2 = require("cv2", extra="curate")
    scale = min(1.0, _CUT_SIDE / min(frame.shape[:2]))
    size = max(1, round(scale * frame.shape[1])), max(1, round(scale * frame.shape[0]))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class _Look:
    """What is kept of a frame."""

    cells: np.ndarray
    """Mean colours, uint8, ``d``."""
    detail: float
    """Mean squared difference of neighbouring pixels."""


def _look(frame: np.ndarray) -> _Look:
    cv2 = require("cv2", extra="curate")
    green = frame[..., 1].astype(np.float32)
    detail = sum(
        float(np.square(np.diff(green, axis=axis)).mean()) for axis in (0, 1) if green.shape[axis] > 1
    )
    return _Look(cv2.resize(frame, _CELLS, interpolation=cv2.INTER_AREA).reshape(-1), detail)


def _cut_detector(fps: float, settings: TransitionSettings) -> Callable[[np.ndarray], list[int]]:
    """What takes frame after frame and gives the numbers of those that begin a shot, some frames late."""
    cv2 = require("cv2", extra="curate")
    detectors = require("scenedetect.detectors", extra="curate")
    timecode = require("scenedetect", extra="curate").FrameTimecode
    adaptive = detectors.AdaptiveDetector(
        adaptive_threshold=settings.cut_ratio, min_content_val=settings.cut_change, min_scene_len=1
    )
    numbers = itertools.count()

    def detect(frame: np.ndarray) -> list[int]:
        bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        return [cut.frame_num for cut in adaptive.process_frame(timecode(next(numbers), fps), bgr)]

    return detect


def _in_block(
    looks: Sequence[_Look],
    first: int,
    cuts: Sequence[int],
    fps: float,
    settings: TransitionSettings,
    *,
    is_last: bool,
) -> list[Transition]:
    """Transitions that start in this block, less what the blocks before and after see better."""
    cells = np.stack([look.cells for look in looks]).astype(np.float32)
    detail = np.array([look.detail for look in looks])
    fades = _apart(_fades(cells, fps, settings))
    sharp = [Transition(c - first, c - first, "cut") for c in cuts if _is_cut(cells, c - first)]
    known = _apart([*fades, *sharp])
    edges = sorted({place for each in known for place in (each.start, each.end)})
    start = _OVERLAP // 2 if first else 0
    stop = len(cells) if is_last else len(cells) - _OVERLAP // 2
    return [
        Transition(first + each.start, first + each.end, each.kind)
        for each in _apart([*known, *_dissolves(cells, detail, edges, fps, settings)])
        if start <= each.start < stop
    ]


def _apart(transitions: Iterable[Transition]) -> list[Transition]:
    """Those that overlap none before them in the list, ascending."""
    kept = list[Transition]()
    for each in transitions:
        if not any(each.start <= other.end + 1 and other.start <= each.end + 1 for other in kept):
            kept.append(each)
    return sorted(kept)


def _rms(values: np.ndarray) -> Any:
    """Over the last dimension; a number where there was no other."""
    return np.sqrt(np.square(values).mean(axis=-1))


def _is_cut(cells: np.ndarray, at: int) -> bool:
    """Whether the picture changes for good at this frame, which no other nearby does as much."""
    jump = _rms(cells[at] - cells[at - 1])
    after, before = cells[at + 1 : at + 1 + _RETURN_FRAMES], cells[max(0, at - 1 - _RETURN_FRAMES) : at - 1]
    returns = [*_rms(after - cells[at - 1]), *_rms(before - cells[at])]
    near = cells[max(0, at - _JERK_REACH) : at + _JERK_REACH + 1]
    num_jumps = int((_rms(np.diff(near, axis=0)) > 0.5 * jump).sum()) - 1
    return num_jumps < _JERKS and float(min(returns, default=np.inf)) > _RETURN * float(jump)


def _fades(cells: np.ndarray, fps: float, settings: TransitionSettings) -> Iterator[Transition]:
    """Dips towards black and white that at least one side enters or leaves gradually."""
    reach = max(2, round(settings.max_gradual_s * fps))
    for light in (cells, 255.0 - cells):
        level = _rms(light)
        at = 0
        while at < len(level):
            around = level[max(0, at - reach) : at + reach + 1].max()
            if around < _MIN_LEVEL or level[at] > 0.3 * around:
                at += 1
                continue
            first, last = at, at
            while last + 1 < len(level) and level[last + 1] <= 0.3 * around:
                last += 1
            at = last + 1
            start, is_slow_in = _way_out(light, level, first, -1, reach)
            end, is_slow_out = _way_out(light, level, last, 1, reach)
            if (is_slow_in or is_slow_out) and light[first : last + 1].max(axis=-1).min() < _BLANK:
                yield Transition(start, end, "fade")


def _way_out(light: np.ndarray, level: np.ndarray, dip: int, step: int, reach: int) -> tuple[int, bool]:
    """Where a dip's edge at ``dip`` leads in one direction: the fade's border, and whether it is gradual.

    A fade scales the picture: all frames on the way are fractions of the one at its end.
    """
    place = dip
    while 0 <= place + step < len(level) and abs(place + step - dip) <= reach:
        if level[place + step] < 1.015 * level[place] + 0.3:
            break
        place += step
    border = (place + 1) if step < 0 else place
    top = level[place]
    way = np.arange(dip, place, step)
    share = level[way] / top if top > 0 else level[way]
    inner = way[(share > 0.08) & (share < 0.92)]
    steps = np.diff([*share, 1.0]) if len(share) else np.ones(1)
    if top < _MIN_LEVEL or not len(inner) or np.abs(steps).max() > _MAX_STEP:
        return (dip if step < 0 else dip + 1), False
    factors = light[inner] @ light[place] / (light[place] @ light[place])
    if (_rms(light[inner] - factors[:, None] * light[place]) > 0.25 * top).any():
        return (dip if step < 0 else dip + 1), False
    if len(inner) > 1:
        slope, offset = np.polyfit(inner, level[inner] / top, 1)
        full = (1 - offset) / slope
        border = int(np.clip(round(full) + (1 if step < 0 else 0), min(border, dip), max(border, dip + 1)))
    return border, True


def _dissolves(
    cells: np.ndarray, detail: np.ndarray, edges: Sequence[int], fps: float, settings: TransitionSettings
) -> list[Transition]:
    """Stretches in which all cells change in even steps, strongest first."""
    contrast, length = np.zeros(len(cells)), np.zeros(len(cells), dtype=int)
    for num in sorted({max(4, round(fps * s)) for s in (0.17, 0.25, 0.375, 0.5, 0.67, 0.83, 1.0, 1.25)}):
        if num >= len(cells) or num > settings.max_gradual_s * fps:
            break
        middles = np.arange(len(cells) - num) + num // 2
        strength = _straight_contrast(cells, num, settings)
        better = strength > contrast[middles]
        contrast[middles[better]], length[middles[better]] = strength[better], num
    found = list[Transition]()
    for middle in np.argsort(-contrast):
        near = contrast[max(0, middle - 3) : middle + 4]
        if contrast[middle] <= 0 or contrast[middle] < near.max():
            continue
        start = int(middle - length[middle] // 2)
        one = _dissolve_at(cells, edges, start, start + int(length[middle]), fps, settings)
        if one is not None and _loses_detail(detail, one):
            found.append(one)
    return found


def _loses_detail(detail: np.ndarray, dissolve: Transition) -> bool:
    """Whether pictures are mixed and not moved: detail that does not coincide mixes as the squared shares.

    Half way through, a quarter of each is left, where a camera that moved from one to the other would show
    half of each.
    """
    old, new = detail[max(0, dissolve.start - 1)], detail[min(dissolve.end, len(detail) - 1)]
    share = (np.arange(dissolve.start, dissolve.end) - dissolve.start + 1) / (
        dissolve.end - dissolve.start + 1
    )
    inner = (share > 0.2) & (share < 0.8)
    moved = ((1 - share) * old + share * new)[inner]
    return bool(detail[dissolve.start : dissolve.end][inner].mean() < _DETAIL_LEFT * moved.mean())


def _straight_contrast(cells: np.ndarray, num: int, settings: TransitionSettings) -> np.ndarray:
    """For each start, how far frame ``start + num`` is from it; 0 where the way there is not straight."""
    count = len(cells) - num
    origin, across = cells[:count], cells[num:] - cells[:count]
    squared = np.square(across).sum(axis=-1) + 1e-6
    bend, aside = np.zeros(count), np.zeros(count)
    inner = sorted({round(num * k / 6) for k in range(1, 6)})
    for step in inner:
        walked = cells[step : step + count] - origin
        share = (walked * across).sum(axis=-1) / squared
        bend = np.maximum(bend, np.abs(share - step / num))
        aside += np.maximum(np.square(walked).sum(axis=-1) / squared - share**2, 0.0) / len(inner)
    contrast = np.sqrt(squared / cells.shape[1])
    is_wide = (np.abs(across) > 4.0).mean(axis=-1) > 0.3
    good = (bend < settings.max_bend) & (np.sqrt(aside) < settings.max_aside) & is_wide
    return np.where(good & (contrast > settings.min_contrast), contrast, 0.0)


def _dissolve_at(
    cells: np.ndarray, edges: Sequence[int], start: int, end: int, fps: float, settings: TransitionSettings
) -> Transition | None:
    """The whole dissolve that a straight stretch belongs to, if it comes to rest at both ends."""
    place = bisect.bisect_right(edges, start)
    low = edges[place - 1] if place else 0
    high = edges[place] - 1 if place < len(edges) else len(cells) - 1
    if end > high:
        return None
    across = cells[end] - cells[start]
    way = (cells[low : high + 1] - cells[start]) @ across / (across @ across)
    pace = 0.4 / (end - start)
    while start > low and way[start - 1 - low] < way[start - low] - pace:
        start -= 1
    while end < high and way[end + 1 - low] > way[end - low] + pace:
        end += 1
    first, last = float(start), float(end)
    for _ in range(2):  # the ends of the line are better known when the first guess is
        start, end = max(low, round(first)), min(high, round(last))
        old = cells[max(low, start - 2) : start + 1].mean(axis=0)
        across = cells[end : min(high, end + 2) + 1].mean(axis=0) - old
        way = (cells[low : high + 1] - old) @ across / (across @ across + 1e-6)
        inner = np.arange(start, end + 1)
        inner = inner[(way[inner - low] > 0.1) & (way[inner - low] < 0.9)]
        if len(inner) < 2:
            return None
        slope, offset = np.polyfit(inner, way[inner - low], 1)
        if slope <= 0:
            return None
        first, last = max(float(low), -offset / slope), min(float(high), (1 - offset) / slope)
    size = last - first
    if not 2.0 <= size <= settings.max_gradual_s * fps + 1:
        return None
    reach = max(3, round(size / 2))
    before = way[max(0, round(first) - reach - low) : max(0, round(first) - low)]
    after = way[round(last) + 1 - low : round(last) + 1 + reach - low]
    if max([*np.abs(before), *np.abs(after - 1)], default=1.0) > 0.35:
        return None
    return Transition(round(first) + 1, round(last), "dissolve")
