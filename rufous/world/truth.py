"""What a clip shows, measured from its pixels alone, and whether that is what its caption says.

``measure`` knows the palette and the grammar of the world but not the scene. Whatever it cannot tell is None,
with the reason, so that a spoilt clip is never given the benefit of a guess.

``rufous.world.accuracy`` tells how often this is right.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, permutations

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from rufous.world.background import MIN_EXPLAINED, BackgroundFit, Registration, fit_background
from rufous.world.captions import Description, ThingDescription, parse_caption
from rufous.world.pixels import averaged_down
from rufous.world.scene import SIZES
from rufous.world.segmentation import Segment, segment_things
from rufous.world.silhouettes import Silhouette, measure_silhouette
from rufous.world.smoothness import smoothness_of
from rufous.world.trajectory import Track, motion_magnitude, name_motion, roughness

ATTRIBUTES = ("count", "shape", "color", "size", "motion", "background", "camera", "relation")
RIGHT, WRONG, UNSURE = "right", "wrong", "unsure"
WORKING_SIDE = 64
"""Larger clips are averaged down by whole factors to a shorter side of 64 to 127 pixels."""
SIZE_GUARD = 0.025
"""Relative distance to the border between two sizes within which neither is claimed."""
INVERSE_RELATION = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


@dataclass(frozen=True, kw_only=True)
class ThingMeasurement:
    """One thing as seen; None means that it cannot be told, and ``reasons`` says why."""

    shape: str | None
    color: str | None
    size: str | None
    motion: str | None
    shape_margin: float
    """Correlation of the best shape less that of the next, in [0, 1]."""
    color_margin: float
    """How much nearer the named colour is than the next, in [0, 1]."""
    radius: float
    """Median equal-area radius in shorter sides, zoom taken out."""
    x: np.ndarray
    """Centroid [f] in shorter sides from the frame's middle; NaN where absent."""
    y: np.ndarray
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a clip shows; None means that it cannot be told, and ``reasons`` says why."""

    things: tuple[ThingMeasurement, ...]
    background_kind: str | None
    background_colors: tuple[str, ...] | None
    """As in ``Background.colors``; the order counts for a gradient only."""
    camera: str | None
    relation: str | None
    """Where the first thing stands, seen from the second."""
    motion_magnitude: float
    """Root mean square displacement of the things' points in shorter sides per second, camera included."""
    smoothness: float
    """In [0, 1]; 1 is a path without jumps and a picture without flicker."""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Right, wrong or unsure for every attribute that the caption mentions."""

    attributes: dict[str, str]
    reasons: tuple[str, ...] = ()

    @property
    def all_right(self) -> bool:
        """Whether the clip shows all that the caption says, and nothing is in doubt."""
        return all(value == RIGHT for value in self.attributes.values())


def measure(frames: UInt8[Tensor, "f 3 h w"], fps: float) -> Measurement:
    """Measure a clip from its pixels.

    Args:
        frames: RGB in [0, 255]; at least 2 frames of at least 16 x 16 pixels.
        fps: Frames per second.

    Raises:
        ValueError: Too few frames or pixels, or an fps that is not positive.
    """
    count, _, height, width = frames.shape
    if count < 2 or min(height, width) < 16 or not fps > 0:
        raise ValueError(
            f"cannot measure {count} frames of {width}x{height} at {fps} fps: "
            "give at least 2 frames of 16x16 pixels and a positive fps"
        )
    video = _working_copy(frames)
    background = fit_background(video)
    segments = segment_things(video, background.values)
    camera, camera_doubt = _name_camera(background, np.arange(count) / fps)
    poses = [measure_silhouette(segment.alpha, segment.mask) for segment in segments]
    measured = [
        _measure_thing(segment, pose, background.registration, fps)
        for segment, pose in zip(segments, poses, strict=True)
    ]
    reasons = [reason for reason in (background.doubt, camera_doubt) if reason]
    relation, relation_doubt = _name_relation(poses)
    if relation_doubt:
        reasons.append(relation_doubt)
    off = np.max([rough for _, _, rough in measured], axis=0) if measured else np.zeros(count)
    return Measurement(
        things=tuple(thing for thing, _, _ in measured),
        background_kind=None if background.doubt else background.kind,
        background_colors=None if background.doubt else background.colors,
        camera=camera,
        relation=relation,
        motion_magnitude=float(np.mean([moved for _, moved, _ in measured])) if measured else 0.0,
        smoothness=smoothness_of(
            off,
            [background.values.mean(axis=(1, 2, 3)), *(segment.light for segment in segments)],
            video,
            is_background_known=background.explained >= MIN_EXPLAINED,
        ),
        reasons=tuple(reasons),
    )


def judge(description: Description, measurement: Measurement) -> Verdict:
    """Compare a measurement to what a caption says, attribute by attribute.

    Things are matched in the order that agrees best. What the caption leaves out is not judged, but a thing
    too many or too few is always wrong.
    """
    told, seen = description.things, measurement.things
    order = max(
        permutations(range(len(seen)), min(len(told), len(seen))),
        key=lambda order: sum(_likeness(t, seen[i]) for t, i in zip(told, order, strict=False)),
    )
    verdict = {"count": RIGHT if len(told) == len(seen) else WRONG}
    for name in ("shape", "color", "size", "motion"):
        pairs = [(getattr(t, name), getattr(seen[i], name)) for t, i in zip(told, order, strict=False)]
        mentioned = [(said, found) for said, found in pairs if said is not None]
        if mentioned:
            verdict[name] = _worst([_compare(said, found) for said, found in mentioned])
        elif any(getattr(t, name) is not None for t in told):
            verdict[name] = WRONG
    if description.background_kind is not None:
        verdict["background"] = _compare_background(description, measurement)
    if description.camera is not None:
        verdict["camera"] = _compare(description.camera, measurement.camera)
    if description.relation is not None:
        found = measurement.relation
        if found is not None and order[:2] == (1, 0):
            found = INVERSE_RELATION[found]
        verdict["relation"] = _compare(description.relation, found)
    reasons = measurement.reasons + tuple(r for thing in seen for r in thing.reasons)
    return Verdict(verdict, reasons)


def truth_of(frames: UInt8[Tensor, "f 3 h w"], fps: float, caption: str) -> Verdict:
    """Whether a clip shows what its caption says.

    Raises:
        ValueError: A caption outside the world's grammar.
    """
    description = parse_caption(caption)
    if description is None:
        raise ValueError(f"caption {caption!r} is outside the world's grammar: see rufous.world.captions")
    return judge(description, measure(frames, fps))


def score(verdicts: Sequence[Verdict]) -> dict[str, dict[str, float]]:
    """Shares over many clips.

    Returns:
        For each attribute that was judged, and for ``all_right``: ``right``, ``wrong`` and ``unsure`` as
        shares in [0, 1], and ``count``, the clips in which it was mentioned.
    """
    table: dict[str, dict[str, float]] = {}
    for name in ATTRIBUTES:
        found = [verdict.attributes[name] for verdict in verdicts if name in verdict.attributes]
        if found:
            table[name] = {value: found.count(value) / len(found) for value in (RIGHT, WRONG, UNSURE)}
            table[name]["count"] = len(found)
    right = sum(verdict.all_right for verdict in verdicts)
    if verdicts:
        table["all_right"] = {RIGHT: right / len(verdicts), "count": len(verdicts)}
    return table


def _working_copy(frames: Tensor) -> np.ndarray:
    """Frames [f h w 3] as float32, averaged down by a whole factor."""
    video = frames.cpu().numpy()
    factor = min(video.shape[2:]) // WORKING_SIDE
    if factor < 2:
        return np.ascontiguousarray(video.transpose(0, 2, 3, 1), dtype=np.float32)
    return averaged_down(video, factor)


def _measure_thing(
    segment: Segment, pose: Silhouette, registration: Registration, fps: float
) -> tuple[ThingMeasurement, float, np.ndarray]:
    """The thing, its motion magnitude, and its roughness [f]."""
    times = np.arange(len(pose.x)) / fps
    usable = pose.whole if pose.whole.sum() >= max(3, 0.25 * pose.present.sum()) else pose.present
    seen = Track(times[usable], pose.x[usable], pose.y[usable], pose.radius[usable], pose.angle[usable])
    pan_x, pan_y, zoom = registration.pan_x[usable], registration.pan_y[usable], registration.zoom[usable]
    world = Track(
        seen.times_s, (seen.x - pan_x) / zoom, (seen.y - pan_y) / zoom, seen.radius / zoom, seen.angle
    )
    reasons = [doubt for doubt in (segment.color_doubt, pose.doubt) if doubt]
    motion, rough = None, np.zeros(len(times))
    vanishing = _vanishing(pose, registration)
    if vanishing:
        reasons.append(vanishing)
    elif len(world.times_s) >= 4:
        motion, doubt, error = name_motion(world)
        if motion is not None and _jumps_when_cut(pose, usable, registration):
            motion, doubt = None, "it jumps where the frame's edge cuts it"
        reasons += [doubt] if doubt else []
        turning = seen.angle if pose.shape is not None else np.zeros_like(seen.angle)
        rough[usable] = roughness(replace(seen, angle=turning), error)
    radius = float(np.median(world.radius))
    if motion in (
        "growing",
        "shrinking",
    ):  # its mean size counts, also where only a part of its growth is seen
        line = np.polynomial.Polynomial.fit(world.times_s, world.radius, 1)
        radius = float(line(times[-1] / 2))
    size, size_doubt = _name_size(radius)
    reasons += [size_doubt] if size_doubt else []
    rough[~pose.present] = 0.0 if vanishing is None else 1.0
    thing = ThingMeasurement(
        shape=pose.shape,
        color=segment.color,
        size=size,
        motion=motion,
        shape_margin=pose.margin,
        color_margin=segment.color_margin,
        radius=radius,
        x=pose.x,
        y=pose.y,
        reasons=tuple(reasons),
    )
    return thing, motion_magnitude(seen), rough


def _jumps_when_cut(pose: Silhouette, usable: np.ndarray, registration: Registration) -> bool:
    """Whether the visible part, where the edge cuts it, is far from where the rest of the track leads."""
    cut = np.flatnonzero(pose.present & ~usable)
    if not len(cut) or _camera_moves(registration):
        return False
    known = np.flatnonzero(usable)
    expected = [np.interp(cut, known, values[known]) for values in (pose.x, pose.y)]
    off = np.hypot(pose.x[cut] - expected[0], pose.y[cut] - expected[1])
    return bool((off > 0.12).any())


def _vanishing(pose: Silhouette, registration: Registration) -> str | None:
    """Frames without the thing, other than those in which a moving camera has lost it past the border."""
    missing, there = np.flatnonzero(~pose.present), np.flatnonzero(pose.present)
    moves = _camera_moves(registration)
    for frame in missing:
        nearest = [*there[there < frame][-1:], *there[there > frame][:1]]
        if not moves or any(pose.whole[f] for f in nearest):
            return f"it is missing in {len(missing)} of {len(pose.present)} frames"
    return None


def _camera_moves(registration: Registration) -> bool:
    return bool(np.ptp(registration.pan_x) > 0.02 or np.ptp(registration.zoom) > 0.02)


def _name_size(radius: float) -> tuple[str | None, str | None]:
    names = list(SIZES)
    for low, high in pairwise(names):
        border = float(np.sqrt(SIZES[low] * SIZES[high]))
        if abs(radius / border - 1) < SIZE_GUARD:
            return None, f"its size lies between {low} and {high}"
    if not SIZES[names[0]] * 0.6 < radius < SIZES[names[-1]] * 1.5:
        return None, f"its radius of {radius:.2f} shorter sides is none of the sizes"
    return min(names, key=lambda name: abs(np.log(radius / SIZES[name]))), None


def _name_camera(background: BackgroundFit, times: np.ndarray) -> tuple[str | None, str | None]:
    """Pan or zoom from the pattern's registration; a background without pattern shows none."""
    track = background.registration
    pan = _steady_rate(times, track.pan_x, least=0.05, still=0.02, tolerance=0.012)
    zoom = _steady_rate(times, np.log(track.zoom), least=0.09, still=0.03, tolerance=0.02)
    if pan is None or zoom is None or (pan and zoom):
        return None, "the background moves, but as no camera does"
    if pan:
        return ("pan left" if pan > 0 else "pan right"), None
    if zoom:
        return ("zoom in" if zoom > 0 else "zoom out"), None
    return "static", None


def _steady_rate(
    times: np.ndarray, path: np.ndarray, *, least: float, still: float, tolerance: float
) -> float | None:
    """Rate of a steady change, 0 if there is none, None if it is neither."""
    centered = times - times.mean()
    rate = float((centered * path).sum() / (centered**2).sum())
    off = np.abs(path - path.mean() - rate * centered)
    if np.mean(off > tolerance) > 0.15:
        return None
    if abs(rate) < still:
        return 0.0
    return rate if abs(rate) > least else None


def _name_relation(poses: list[Silhouette]) -> tuple[str | None, str | None]:
    if len(poses) != 2:
        return None, None
    both = poses[0].present & poses[1].present
    if both.mean() < 0.5:
        return None, "the two things are rarely seen together"
    dx, dy = (poses[0].x - poses[1].x)[both], (poses[0].y - poses[1].y)[both]
    horizontal = np.abs(dx) > 1.5 * np.abs(dy)
    vertical = np.abs(dy) > 1.5 * np.abs(dx)
    claims = {
        "left of": horizontal & (dx < 0),
        "right of": horizontal & (dx > 0),
        "above": vertical & (dy < 0),
        "below": vertical & (dy > 0),
    }
    for name, holds in claims.items():
        if holds.mean() > 0.8:
            return name, None
    return None, "the two things stand in no clear relation"


def _likeness(told: ThingDescription, seen: ThingMeasurement) -> float:
    pairs = ((told.color, seen.color, 2.0), (told.shape, seen.shape, 1.5), (told.motion, seen.motion, 1.0))
    return sum((weight for said, found, weight in pairs if said is not None and said == found), 0.0)


def _compare(said: str, found: str | None) -> str:
    return UNSURE if found is None else (RIGHT if found == said else WRONG)


def _worst(values: list[str]) -> str:
    return WRONG if WRONG in values else (UNSURE if UNSURE in values else RIGHT)


def _compare_background(description: Description, measurement: Measurement) -> str:
    if measurement.background_kind is None or measurement.background_colors is None:
        return UNSURE
    said, found = description.background_colors or (), measurement.background_colors
    if description.background_kind in ("checker", "stripes"):
        said, found = tuple(sorted(said)), tuple(sorted(found))
    return RIGHT if (description.background_kind, said) == (measurement.background_kind, found) else WRONG
