"""Where a thing is, how large it is and how it is turned, at each moment of a clip.

Time is in seconds, so that a clip at another fps or length shows the same motion sampled otherwise.
"""

from dataclasses import dataclass

import numpy as np

DIRECTIONS: dict[str, tuple[float, float]] = {
    "moving left": (-1.0, 0.0),
    "moving right": (1.0, 0.0),
    "moving up": (0.0, -1.0),
    "moving down": (0.0, 1.0),
}
IN_PLACE_MOTIONS = ("growing", "shrinking", "rotating", "still")
MOTIONS = (*DIRECTIONS, *IN_PLACE_MOTIONS, "bouncing", "orbiting")

GROWTH = 0.35
"""A growing thing goes from scale 1 - GROWTH to 1 + GROWTH, so that its mean size is the named one."""
MARGIN = 0.49
"""Half of the frame's shorter side, less a hair: nothing reaches past it."""


@dataclass(frozen=True, kw_only=True)
class MotionParameters:
    """The numbers of one motion; which of them count depends on its name."""

    center: tuple[float, float]
    """Middle of the path (for ``bouncing``: its lowest point)."""
    travel: float = 0.0
    """Length of a straight path, height of a bounce, radius of an orbit."""
    rate: float = 0.0
    """Turns per second of an orbit or rotation (negative: counter-clockwise), bounces per second."""
    phase: float = 0.0
    """Where an orbit or a bounce begins, in turns."""


@dataclass(frozen=True)
class Pose:
    """Position, scale and angle over time; each array has one entry a frame."""

    x: np.ndarray
    y: np.ndarray
    scale: np.ndarray
    angle: np.ndarray
    """Radians, clockwise on the screen."""


def sample_motion(
    rng: np.random.Generator,
    motion: str,
    *,
    reach: float,
    duration_s: float,
    center: tuple[float, float] | None = None,
) -> MotionParameters:
    """Draw the numbers of a motion such that a thing of radius ``reach`` stays inside the frame.

    Args:
        rng: Source of randomness.
        motion: One of ``MOTIONS``.
        reach: Largest distance of the outline from the thing's centre, at scale 1.
        duration_s: Length of the clip.
        center: Fixed middle of the path; drawn if None.
    """
    grown = reach * (1 + GROWTH) if motion in ("growing", "shrinking") else reach
    room = max(MARGIN - grown, 0.0)
    speed, free = float(rng.uniform(0.24, 0.32)), rng.uniform(-1, 1, size=2)
    travel = rate = phase = 0.0
    slack = np.array([room, room])
    if motion in DIRECTIONS:
        travel = min(speed * duration_s, 2 * room)
        along = np.abs(np.array(DIRECTIONS[motion]))
        slack = slack - along * travel / 2
    elif motion == "rotating":
        rate = float(rng.uniform(0.25, 0.4) * rng.choice([-1, 1]))
    elif motion == "bouncing":
        travel = min(float(rng.uniform(0.26, 0.36)), 2 * room)
        rate, phase = float(rng.uniform(0.8, 1.1)), float(rng.uniform())
        low = min(room, travel / 2 + float(rng.uniform(0, 0.1)))
        return MotionParameters(
            center=center or (float(free[0] * room), low), travel=travel, rate=rate, phase=phase
        )
    elif motion == "orbiting":
        travel = min(float(rng.uniform(0.18, 0.24)), room)
        rate = float(rng.uniform(0.4, 0.5) * rng.choice([-1, 1]))
        phase = float(rng.uniform())
        slack = np.minimum(slack - travel, 0.04)
    drawn = free * np.maximum(slack, 0.0)
    return MotionParameters(
        center=center or (float(drawn[0]), float(drawn[1])), travel=travel, rate=rate, phase=phase
    )


def pose(motion: str, parameters: MotionParameters, times_s: np.ndarray, duration_s: float) -> Pose:
    """Pose of a thing at each time, for a clip of ``duration_s`` seconds.

    Raises:
        ValueError: An unknown motion.
    """
    if motion not in MOTIONS:
        raise ValueError(f"motion={motion!r} is unknown: use one of {', '.join(MOTIONS)}")
    x = np.full_like(times_s, parameters.center[0])
    y = np.full_like(times_s, parameters.center[1])
    scale, angle = np.ones_like(times_s), np.zeros_like(times_s)
    progress = times_s / max(duration_s, 1e-9)
    turns = parameters.phase + parameters.rate * times_s
    if motion in DIRECTIONS:
        step_x, step_y = DIRECTIONS[motion]
        x = x + step_x * parameters.travel * (progress - 0.5)
        y = y + step_y * parameters.travel * (progress - 0.5)
    elif motion == "growing":
        scale = 1 + GROWTH * (2 * progress - 1)
    elif motion == "shrinking":
        scale = 1 - GROWTH * (2 * progress - 1)
    elif motion == "rotating":
        angle = 2 * np.pi * parameters.rate * times_s
    elif motion == "bouncing":
        y = y - parameters.travel * (1 - (2 * (turns % 1.0) - 1) ** 2)  # a parabola a bounce: free fall
    elif motion == "orbiting":
        x = x + parameters.travel * np.cos(2 * np.pi * turns)
        y = y + parameters.travel * np.sin(2 * np.pi * turns)
    return Pose(x, y, scale, angle)
