from dataclasses import replace

import numpy as np
import pytest

from rufous.world.motion import MOTIONS, MotionParameters, pose
from rufous.world.trajectory import Track, motion_magnitude, name_motion, roughness

RADIUS = 0.145
PARAMETERS = {
    "rotating": MotionParameters(center=(0.1, 0.0), rate=-0.3),
    "bouncing": MotionParameters(center=(0.1, 0.2), travel=0.3, rate=1.0, phase=0.2),
    "orbiting": MotionParameters(center=(0.0, 0.1), travel=0.2, rate=0.45, phase=0.6),
}
STRAIGHT = MotionParameters(center=(0.02, -0.03), travel=0.4)
MOVING = [motion for motion in MOTIONS if motion != "still"]


def track_of(motion: str, *, count: int = 16, fps: float = 8.0, noise: float = 0.0) -> Track:
    times = np.arange(count) / fps
    path = pose(motion, PARAMETERS.get(motion, STRAIGHT), times, times[-1])
    off = np.random.default_rng(0).normal(size=(4, count)) * noise
    return Track(
        times, path.x + off[0], path.y + off[1], RADIUS * path.scale + off[2], path.angle + off[3] / RADIUS
    )


def reordered(track: Track, order: np.ndarray) -> Track:
    return Track(track.times_s, track.x[order], track.y[order], track.radius[order], track.angle[order])


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize(("count", "fps"), [(16, 8.0), (31, 15.0)])
def test_each_motion_is_named_whatever_the_fps(motion, count, fps):
    name, doubt, error = name_motion(track_of(motion, count=count, fps=fps))
    assert (name, doubt) == (motion, None)
    assert error.max() < 0.02


@pytest.mark.parametrize("motion", MOTIONS)
def test_each_motion_is_named_in_spite_of_a_little_noise(motion):
    assert name_motion(track_of(motion, noise=0.002))[0] == motion


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_track_with_a_jump_is_refused(motion):
    track = track_of(motion)
    x = track.x.copy()
    x[8:] += 0.2
    assert name_motion(replace(track, x=x))[0] is None


@pytest.mark.parametrize("motion", MOVING)
def test_a_track_that_stops_halfway_is_refused(motion):
    assert name_motion(reordered(track_of(motion), np.arange(16).clip(max=8)))[0] != motion


@pytest.mark.parametrize("motion", [motion for motion in MOVING if motion != "bouncing"])
def test_a_track_that_turns_back_halfway_is_refused(motion):
    order = np.minimum(np.arange(16), 15 - np.arange(16))
    assert name_motion(reordered(track_of(motion), order))[0] != motion


@pytest.mark.parametrize("motion", MOVING)
def test_a_shuffled_track_is_refused(motion):
    order = np.random.default_rng(1).permutation(16)
    assert name_motion(reordered(track_of(motion), order))[0] != motion


@pytest.mark.parametrize(("first", "second"), [("moving left", "growing"), ("moving up", "rotating")])
def test_two_motions_at_once_are_refused(first, second):
    along, beside = track_of(first), track_of(second)
    name, doubt, _ = name_motion(replace(along, radius=beside.radius, angle=beside.angle))
    assert name is None
    assert doubt is not None
    assert "at once" in doubt


def test_a_slanting_path_is_no_motion_of_the_world():
    along = track_of("moving left")
    assert name_motion(replace(along, y=along.x))[0] is None


@pytest.mark.parametrize("motion", ["moving left", "moving right", "moving up", "moving down"])
def test_the_magnitude_of_a_straight_path_is_its_speed(motion):
    assert motion_magnitude(track_of(motion)) == pytest.approx(0.4 * 8 / 15)


def test_the_magnitude_of_a_rotation_is_its_rate_times_the_gyration_radius():
    expected = 2 * np.pi * 0.3 * RADIUS / np.sqrt(2)
    assert motion_magnitude(track_of("rotating")) == pytest.approx(expected)


def test_the_magnitude_of_an_orbit_is_its_speed_around_the_circle():
    assert motion_magnitude(track_of("orbiting")) == pytest.approx(2 * np.pi * 0.45 * 0.2, rel=0.03)


def test_growing_counts_as_much_as_shrinking_and_rest_as_nothing():
    growing, shrinking = (motion_magnitude(track_of(motion)) for motion in ("growing", "shrinking"))
    assert growing == pytest.approx(0.7 * RADIUS * 8 / 15 / np.sqrt(2), rel=0.05)
    assert shrinking == pytest.approx(growing)
    assert motion_magnitude(track_of("still")) == 0
    assert motion_magnitude(track_of("still", count=1)) == 0


@pytest.mark.parametrize("motion", MOVING)
def test_a_shuffled_track_is_rough_also_of_a_thing_that_turns_on_the_spot(motion):
    track = track_of(motion)
    shuffled = reordered(track, np.random.default_rng(1).permutation(16))
    smooth, rough = (roughness(each, name_motion(each)[2]).mean() for each in (track, shuffled))
    assert smooth < 0.005
    assert rough > 0.01


def test_a_jump_is_rough_where_it_happens_and_a_smooth_path_is_not():
    track = track_of("moving right")
    y = track.y.copy()
    y[7] += 0.1
    jumping = replace(track, y=y)
    rough = roughness(jumping, name_motion(jumping)[2])
    assert roughness(track, name_motion(track)[2]).max() < 1e-6
    assert rough.argmax() == 7
    assert rough[7] == pytest.approx(0.1, rel=0.1)
    assert not roughness(track_of("still", count=4), np.ones(4)).any()
