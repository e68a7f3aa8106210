"""How the camera moves, from what most of the picture does between frames.

Tags follow Open-Sora's words: ``static``, ``pan_left``, ``tilt_up``, ``zoom_in`` and so on, several joined by
``+``; ``roll`` and ``dolly_zoom`` are added, and ``undetermined`` is said where the background shows nothing.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rufous.data.camera_fit import Grid, PairFitter, PairMotions
from rufous.data.clip import Clip
from rufous.data.pair_flow import PairFlow, flow_between, pair_flow
from rufous.data.stage import Gives

NAMES = (("pan_left", "pan_right"), ("tilt_up", "tilt_down"), ("zoom_in", "zoom_out"), ("roll", "roll"))
"""Of each part of a motion: when the picture goes right, down, grows or turns, and when the opposite."""
MOTIONS = ("static", *dict.fromkeys(name for pair in NAMES for name in pair), "dolly_zoom", "undetermined")
"""All that a tag may say; a dolly zoom has one name, whether in or out."""
BLOCKS = 4
"""The frame is so many blocks wide and high; those at its border are where the background is looked for."""
MIN_FOLLOWING = 0.3
"""Share of the cells with texture that must follow the camera's motion in a pair."""
DOLLY_GROWTH, DOLLY_PAIRS = 0.1, 8
"""Growth of the background from frame to frame where a dolly zoom is looked for, and number of pairs."""
MIN_SUBJECT, MIN_CELLS = 0.03, 6
"""The same for the subject of a dolly zoom, and the least number of cells for both."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Tag ``camera_motion``, and by how much the picture moves a second, as scores.

    ``camera_right``, ``camera_down`` (shorter sides a second: positive when the content goes right or down),
    ``camera_growth`` (logarithm of the scale a second) and ``camera_turn`` (degrees a second, clockwise).
    A part that the background cannot tell, such as a shift along stripes, counts as 0.
    """

    min_moved: float = 0.05
    """How far a camera that is not static moves the picture over the clip: root mean square over the frame,
    in shorter sides."""
    min_speed: float = 0.01
    """The same a second, for long clips."""
    min_share: float = 0.25
    """Parts of a mixture that move the picture by less than this share of the largest are not named."""
    min_cover: float = 0.3
    """Share of the blocks at the border that must show a motion before it counts as the background's."""
    max_subject_growth: float = 0.35
    """In a dolly zoom the subject grows by at most this share of what the background does."""

    name: ClassVar[str] = "camera"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False
    gives: ClassVar[Gives] = Gives(
        numbers=("camera_right", "camera_down", "camera_growth", "camera_turn"),
        tags={"camera_motion": MOTIONS},
    )

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with the tag and the scores.

        Raises:
            ValueError: The clip has one frame only, or its frames are too small.
        """
        media = clip.frames()
        times = media.decoded.small_times_s
        tag, speed = self.describe(media.gray, times, pair_flow(media))
        right, down, growth, turn = map(float, speed)
        clip = clip.with_scores(camera_right=right, camera_down=down, camera_growth=growth)
        return [clip.with_tags(camera_motion=tag).with_scores(camera_turn=float(np.degrees(turn)))]

    def describe(self, frames: np.ndarray, times_s: np.ndarray, flow: PairFlow) -> tuple[str, np.ndarray]:
        """The tag, and the content's motion a second [4]: what of it the background tells, else 0.

        Args:
            frames: Luma, uint8, ``f h w``.
            times_s: Of the frames.
            flow: Of pairs among them.
        """
        fitter, duration_s = PairFitter(frames, flow), float(times_s[-1] - times_s[0])
        behind = _background(fitter)
        valid = _enough(behind, fitter)
        if valid.mean() < 0.5:
            return "undetermined", np.zeros(4)
        is_told = fitter.cover(behind.follows, BLOCKS)[valid].mean(axis=0) >= self.min_cover
        speed = _speed(behind, fitter.seconds, valid)
        if not is_told.any():
            everything = behind.follows.sum() >= 0.9 * fitter.textured.sum()
            is_still = everything and not self._named(speed, fitter.grid, duration_s).any()
            return ("static" if is_still else "undetermined"), np.zeros(4)
        speed = np.where(is_told, speed, 0.0)
        is_named = self._named(speed, fitter.grid, duration_s)
        names = [pair[int(part < 0)] for pair, part in zip(NAMES, speed, strict=True)]
        if is_named[2] and self._is_dolly_zoom(frames, times_s, speed):
            names[2] = "dolly_zoom"
        return "+".join(name for name, told in zip(names, is_named, strict=True) if told) or "static", speed

    def _named(self, speed: np.ndarray, grid: Grid, duration_s: float) -> np.ndarray:
        """Which parts [4] move the picture enough."""
        moved = np.abs(speed) * duration_s * np.array([1.0, 1.0, grid.mean_radius, grid.mean_radius])
        least = max(self.min_moved, self.min_speed * duration_s, self.min_share * float(moved.max()))
        return moved >= least

    def _is_dolly_zoom(self, frames: np.ndarray, times_s: np.ndarray, speed: np.ndarray) -> bool:
        """Whether something in the middle of the frame does not grow with the background, or shrinks.

        Frames so far apart that the background grows by ``DOLLY_GROWTH`` tell the two apart.
        """
        if speed[2] < 0:  # backwards: what is behind the subject then comes out at its edge, not under it
            frames, times_s, speed = frames[::-1], -times_s[::-1], -speed
        frame_s = float(times_s[-1] - times_s[0]) / (len(frames) - 1)
        gap = min(max(round(DOLLY_GROWTH / (speed[2] * frame_s)), 1), len(frames) - 1)
        first = np.unique(np.linspace(0, len(frames) - 1 - gap, DOLLY_PAIRS).round().astype(int))
        fitter = PairFitter(frames, flow_between(frames, times_s, first, gap))
        known = fitter.seconds[:, None] * speed
        known[:, 2] = np.expm1(known[:, 2])
        behind, subject = _layers(fitter, fitter.fit_near(known), from_rest=True)
        valid = _enough(subject, fitter, least=MIN_SUBJECT) & _enough(behind, fitter)
        if valid.mean() < 0.5:
            return False
        places = np.broadcast_to(fitter.grid.points, (*subject.follows.shape, 2))[valid][
            subject.follows[valid]
        ]
        reach = np.array([fitter.grid.width, fitter.grid.height]) / fitter.grid.side
        if (np.abs(places.mean(axis=0)) > reach * 0.25).any():
            return False
        grown = [float(np.median(each.motions[valid, 2])) for each in (behind, subject)]
        return grown[0] > 0 and grown[1] <= self.max_subject_growth * grown[0]


def _background(fitter: PairFitter) -> PairMotions:
    """The motion of the background; another is looked for only where the first leaves much of the border."""
    first = fitter.fit()
    border = fitter.grid.border_blocks(BLOCKS) >= 0
    if (first.follows & border).sum() >= 0.5 * (fitter.textured & border).sum():
        return first
    return _layers(fitter, first)[0]


def _layers(
    fitter: PairFitter, first: PairMotions, *, from_rest: bool = False
) -> tuple[PairMotions, PairMotions]:
    """The background's motion and another: of two motions, the one with more cells at the frame's border."""
    second = fitter.fit(first.differs, from_rest=from_rest)
    border = fitter.grid.border_blocks(BLOCKS) >= 0
    at_border = [int((each.follows & border).sum()) for each in (first, second)]
    return (first, second) if at_border[0] >= at_border[1] else (second, first)


def _enough(found: PairMotions, fitter: PairFitter, *, least: float = MIN_FOLLOWING) -> np.ndarray:
    """In which pairs [p] a share of what has texture follows the motion."""
    textured = fitter.textured.sum(axis=1)
    return found.follows.sum(axis=1) >= np.maximum(least * textured, MIN_CELLS)


def _speed(found: PairMotions, seconds: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Mean motion a second [4] over the pairs that are valid; growth as a logarithm."""
    motions = found.motions[valid].astype(np.float64)
    motions[:, 2] = np.log(np.maximum(1 + motions[:, 2], 0.1))
    return motions.sum(axis=0) / seconds[valid].sum()
