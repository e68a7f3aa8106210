import numpy as np
import pytest

from rufous.world.motion import DIRECTIONS, GROWTH, MARGIN, MOTIONS, MotionParameters, pose, sample_motion

DURATION_S = 1.875
TIMES_S = np.arange(16) / 8


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("reach", [0.1, 0.2, 0.3])
def test_a_thing_stays_inside_the_frame(motion, reach):
    for seed in range(20):
        parameters = sample_motion(np.random.default_rng(seed), motion, reach=reach, duration_s=DURATION_S)
        path = pose(motion, parameters, TIMES_S, DURATION_S)
        assert np.abs(path.x).max() + reach * path.scale.max() <= MARGIN + 1e-6
        assert np.abs(path.y).max() + reach * path.scale.max() <= MARGIN + 1e-6


@pytest.mark.parametrize("motion", DIRECTIONS)
def test_a_straight_path_goes_its_way_at_constant_speed(motion):
    path = pose(motion, MotionParameters(center=(0.0, 0.0), travel=0.4), TIMES_S, DURATION_S)
    steps = np.stack([np.diff(path.x), np.diff(path.y)], axis=1)
    assert np.allclose(steps, np.array(DIRECTIONS[motion]) * 0.4 / 15)


def test_growing_and_shrinking_mirror_each_other_about_scale_one():
    parameters = MotionParameters(center=(0.0, 0.0))
    growing, shrinking = (pose(m, parameters, TIMES_S, DURATION_S).scale for m in ("growing", "shrinking"))
    assert np.allclose(growing + shrinking, 2)
    assert np.allclose([growing[0], growing[-1]], [1 - GROWTH, 1 + GROWTH])


def test_an_orbit_keeps_its_distance_from_the_middle():
    path = pose("orbiting", MotionParameters(center=(0.1, 0.0), travel=0.2, rate=0.5), TIMES_S, DURATION_S)
    assert np.allclose(np.hypot(path.x - 0.1, path.y), 0.2)


def test_a_bounce_never_goes_below_its_lowest_point():
    path = pose("bouncing", MotionParameters(center=(0.0, 0.2), travel=0.3, rate=1.0), TIMES_S, DURATION_S)
    assert path.y.max() == pytest.approx(0.2)
    assert path.y.min() == pytest.approx(-0.1)


def test_another_fps_samples_the_same_motion():
    parameters = MotionParameters(center=(0.0, 0.0), travel=0.2, rate=0.45)
    slow = pose("orbiting", parameters, np.arange(8) / 4, 2.0)
    fast = pose("orbiting", parameters, np.arange(16) / 8, 2.0)
    assert np.allclose(slow.x, fast.x[::2])


def test_an_unknown_motion_is_refused():
    with pytest.raises(ValueError, match="motion='flying' is unknown"):
        pose("flying", MotionParameters(center=(0.0, 0.0)), TIMES_S, DURATION_S)
