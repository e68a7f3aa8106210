import pytest
import torch

from rufous.evaluation.dimensions.motion_smoothness import MotionSmoothness
from tests.evaluation.dimensions.grey_clips import clip_of, halfway, levels


def test_a_ramp_of_brightness_is_perfectly_smooth():
    assert MotionSmoothness(interpolator=halfway).measure(levels(*range(0, 90, 10))).value == 1.0


def test_odd_frames_that_are_off_cost_what_they_are_off():
    clip = levels(0, 61, 20, 81, 40)
    assert MotionSmoothness(interpolator=halfway).measure(clip).value == pytest.approx(1 - 51 / 255)


@pytest.mark.parametrize(("num_frames", "calls"), [(3, 1), (4, 1), (5, 2), (16, 7)])
def test_odd_frames_need_a_right_neighbour(num_frames, calls):
    seen = []
    row = MotionSmoothness(interpolator=lambda a, b: seen.append(a) or halfway(a, b))
    row.measure(levels(*[7] * num_frames))
    assert len(seen) == calls
    assert seen[0].shape[-2:] == (16, 16)


def test_all_bytes_survive_the_way_there_and_back():
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).repeat(3, 3, 1, 1)
    assert MotionSmoothness(interpolator=lambda a, b: a).measure(clip_of(every)).value == 1.0
    with pytest.raises(ValueError, match="motion_smoothness needs 3 frames"):
        MotionSmoothness(interpolator=halfway).measure(levels(1, 2))
