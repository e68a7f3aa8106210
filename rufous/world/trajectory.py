"""What a track of poses means: the motion's name, how far it moves and how smoothly.

A motion is named only if one model explains the whole track, from the first frame to the last.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rufous.world.motion import DIRECTIONS

STILL_SPREAD = 0.012
"""Spread (root mean square about the mean, in shorter sides) up to which a thing stands."""
MIN_GROWTH, MAX_STEADY_GROWTH = 0.25, 0.13
"""Change of log radius over the clip from which a thing grows, and up to which it does not."""
MIN_TURN, MAX_STEADY_TURN = 0.12, 0.06
"""The same for rotation, in turns per second."""


@dataclass(frozen=True)
class Track:
    """Poses of one thing in the frames where it is whole, in world coordinates (camera motion taken out)."""

    times_s: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    angle: np.ndarray


def name_motion(track: Track) -> tuple[str | None, str | None, np.ndarray]:
    """Name the motion of a whole track.

    Returns:
        The name or None, the reason if None, and how far each frame lies from the model, in shorter sides.
    """
    place = track.x + 1j * track.y
    spread = _rms(place - place.mean())
    growth, growth_error, growth_even = _growth(track)
    turn, turn_error, turn_even = _turn(track)
    if spread > STILL_SPREAD:
        name, doubt, error = _name_path(track)
        if name is not None and abs(growth) > MIN_GROWTH:
            return None, f"{name} and changing its size at once", error
        if name is not None and abs(turn) > MIN_TURN and turn_error < 0.3:
            return None, f"{name} and turning at once", error
        return name, doubt, error
    error = np.abs(place - place.mean())
    grows, turns = abs(growth) > MIN_GROWTH, abs(turn) > MIN_TURN
    if grows and turns:
        return None, "changing its size and turning at once", error
    if grows:
        if not growth_even or growth_error > 0.12 * abs(growth) + 0.02:
            return None, "its size changes during a part of the clip only", error
        return ("growing" if growth > 0 else "shrinking"), None, error
    if abs(growth) > MAX_STEADY_GROWTH or growth_error > 0.08:
        return None, "its size changes, but not steadily", error
    if turns:
        if not turn_even or turn_error > 0.35:
            return None, "it turns, but not steadily", error
        return "rotating", None, error
    if abs(turn) > MAX_STEADY_TURN or turn_error > 0.35:
        return None, "it turns a little", error
    return "still", None, error


def motion_magnitude(track: Track) -> float:
    """Root mean square displacement of the thing's points, in shorter sides per second, averaged over time.

    Translation, growth and rotation count alike: the points of a thing of gyration radius g move by
    sqrt(v^2 + g^2 (growth rate^2 + angular rate^2)). Rates are slopes over three frames for the place and
    over five for radius and angle, so that noise adds little.
    """
    if len(track.times_s) < 2:
        return 0.0
    gyration = track.radius / np.sqrt(2)
    speed_x, speed_y = (_slopes(track.times_s, values, 1) for values in (track.x, track.y))
    growth, turn = (_slopes(track.times_s, values, 2) for values in (np.log(track.radius), track.angle))
    return float(np.sqrt(speed_x**2 + speed_y**2 + gyration**2 * (growth**2 + turn**2)).mean())


def roughness(track: Track, model_error: np.ndarray) -> np.ndarray:
    """How far each frame lies off its neighbours, or off the model if nearer, in shorter sides.

    Turns count by the gyration radius. Models are of the place alone, so that size and turn are always
    compared with the neighbours'.
    """
    if len(track.times_s) < 5:
        return np.zeros(len(track.times_s))
    turned = _off_neighbours(track.angle) * track.radius / np.sqrt(2)
    pose_error = np.hypot(_off_neighbours(track.radius), turned)
    place_error = np.hypot(_off_neighbours(track.x), _off_neighbours(track.y))
    return np.hypot(np.minimum(place_error, model_error), pose_error)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.abs(values) ** 2)))


def _line(times: np.ndarray, values: np.ndarray) -> tuple[float, np.ndarray]:
    """Slope and residuals of a straight line."""
    centered = times - times.mean()
    slope = float((centered * values).sum() / max((centered**2).sum(), 1e-12))
    return slope, values - values.mean() - slope * centered


def _is_even(times: np.ndarray, values: np.ndarray) -> bool:
    """Whether each third of the track changes in the same direction and at a like rate as the whole."""
    slope = _line(times, values)[0]
    if slope == 0:
        return True
    parts = [p for p in np.array_split(np.arange(len(times)), 3 if len(times) >= 9 else 2) if len(p) >= 2]
    shares = [_line(times[p], values[p])[0] / slope for p in parts]
    return bool(min(shares) > 0.3 and max(shares) < 2.2)


def _growth(track: Track) -> tuple[float, float, bool]:
    """Change of log radius over the clip, residual of a steady growth, evenness."""
    duration = track.times_s[-1] - track.times_s[0]
    relative = track.radius / np.median(track.radius)
    slope, rest = _line(track.times_s, relative)
    ends = np.clip(1 + np.array([-0.5, 0.5]) * slope * duration, 0.05, None)
    return float(np.log(ends[1] / ends[0])), _rms(rest), _is_even(track.times_s, relative)


def _turn(track: Track) -> tuple[float, float, bool]:
    """Turns per second, residual in radians, evenness."""
    if not np.ptp(track.angle):
        return 0.0, 0.0, True
    slope, rest = _line(track.times_s, track.angle)
    return slope / (2 * np.pi), _rms(rest), _is_even(track.times_s, track.angle)


def _name_path(track: Track) -> tuple[str | None, str | None, np.ndarray]:
    """A straight line, a bounce or an orbit, whichever explains the path."""
    spread = np.hypot(track.x - track.x.mean(), track.y - track.y.mean())
    allowed = max(0.009, 0.15 * _rms(spread))
    options = [_straight(track), _bounce(track), _orbit(track)]
    costs = [_rms(error) * weight for (_, error), weight in zip(options, (1.0, 1.3, 1.3), strict=True)]
    for index in np.argsort(costs):
        name, error = options[index]
        if _rms(error) > allowed:
            break
        if name is not None:
            return name, None, error
    return None, "no one motion explains its path", options[int(np.argmin(costs))][1]


def _straight(track: Track) -> tuple[str | None, np.ndarray]:
    (speed_x, rest_x), (speed_y, rest_y) = _line(track.times_s, track.x), _line(track.times_s, track.y)
    error = np.hypot(rest_x, rest_y)
    horizontal = abs(speed_x) > abs(speed_y)
    along, across = (speed_x, speed_y) if horizontal else (speed_y, speed_x)
    if (
        along == 0
        or abs(across) > 0.4 * abs(along)
        or not _is_even(track.times_s, track.x if horizontal else track.y)
    ):
        return None, error
    step = (float(np.sign(along)), 0.0) if horizontal else (0.0, float(np.sign(along)))
    return next(name for name, direction in DIRECTIONS.items() if direction == step), error


def _bounce(track: Track) -> tuple[str | None, np.ndarray]:
    """Best bounce: free fall and rebound at some rate and phase, straight up and down."""
    rate, phase = np.meshgrid(np.linspace(0.65, 1.35, 29), np.linspace(0, 1, 32, endpoint=False))
    turns = phase[..., None] + rate[..., None] * (track.times_s - track.times_s[0])
    basis = (2 * (turns % 1.0) - 1) ** 2 - 1
    basis = basis - basis.mean(axis=-1, keepdims=True)
    energy = np.maximum((basis**2).sum(axis=-1), 1e-9)
    y = track.y - track.y.mean()
    height = (basis @ y) / energy
    rest = np.where(height[..., None] > 0.06, y - height[..., None] * basis, y)
    best = np.unravel_index((rest**2).sum(axis=-1).argmin(), height.shape)
    error = np.hypot(rest[best], track.x - track.x.mean())
    return ("bouncing" if height[best] > 0.1 else None), error


def _orbit(track: Track) -> tuple[str | None, np.ndarray]:
    """Best circle at some rate."""
    place = track.x + 1j * track.y
    place = place - place.mean()
    rate = np.linspace(0.25, 0.7, 19)
    rate = np.concatenate([rate, -rate])[:, None]
    basis = np.exp(2j * np.pi * rate * (track.times_s - track.times_s[0]))
    basis = basis - basis.mean(axis=1, keepdims=True)
    arm = (basis.conj() @ place) / np.maximum((np.abs(basis) ** 2).sum(axis=1), 1e-9)
    rest = place - arm[:, None] * basis
    best = (np.abs(rest) ** 2).sum(axis=1).argmin()
    return ("orbiting" if 0.08 < abs(arm[best]) < 0.4 else None), np.abs(rest[best])


def _slopes(times: np.ndarray, values: np.ndarray, reach: int) -> np.ndarray:
    """Slope of a line through the frames within ``reach`` of each frame."""
    count, width = len(times), 2 * reach + 1
    slopes = np.empty(count)
    whole = count - width + 1
    if whole > 0:
        windows = [sliding_window_view(array, width) for array in (times, values)]
        slopes[reach : reach + whole] = _slopes_of_rows(*windows)
    for frame in range(count):
        if not reach <= frame < count - reach:
            window = slice(max(0, frame - reach), frame + reach + 1)
            slopes[frame] = _line(times[window], values[window])[0]
    return slopes


def _slopes_of_rows(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Slope of a line through each row of [n width]."""
    centered = times - times.mean(axis=1, keepdims=True)
    return (centered * values).sum(axis=1) / np.maximum((centered**2).sum(axis=1), 1e-12)


def _off_neighbours(values: np.ndarray) -> np.ndarray:
    """Distance of each frame to the cubic through its two neighbours on each side; 0 at the ends."""
    off = np.zeros(len(values))
    cubic = (-values[:-4] + 4 * values[1:-3] + 4 * values[3:-1] - values[4:]) / 6
    off[2:-2] = np.abs(values[2:-2] - cubic)
    return off
