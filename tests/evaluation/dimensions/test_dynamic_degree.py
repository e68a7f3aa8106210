import pytest

from rufous.evaluation.dimensions.dynamic_degree import DynamicDegree, frame_stride, moves
from tests.evaluation.dimensions.grey_clips import by_level, clip_of, constant, levels


@pytest.mark.parametrize(("motion", "is_moving"), [(0.0, False), (5.99, False), (6.01, True)])
def test_a_clip_of_256_pixels_moves_from_6_pixels_on(motion, is_moving):
    score = DynamicDegree(flow=constant(motion)).measure(levels(*range(16), size=256))
    assert (score.value, score.details["video_results"]) == (float(is_moving), is_moving)


@pytest.mark.parametrize(("num_fast", "is_moving"), [(3, False), (4, True)])
def test_four_of_fifteen_pairs_must_move(num_fast, is_moving):
    clip = levels(*[100] * num_fast, *[0] * (16 - num_fast))
    assert DynamicDegree(flow=by_level).measure(clip).value == float(is_moving)


def test_every_second_frame_counts_at_16_fps_and_so_on():
    assert [frame_stride(fps) for fps in (8.0, 16.0, 24.0, 30.0, 20.0, 12.0, 4.0, 0.0)] == [
        1,
        2,
        3,
        4,
        2,
        2,
        1,
        1,
    ]
    every_second_moves = levels(*[0, 100] * 16).frames
    row = DynamicDegree(flow=by_level)
    assert row.measure(clip_of(every_second_moves, fps=16.0)).value == 0.0
    assert row.measure(clip_of(every_second_moves, fps=8.0)).value == 1.0


def test_two_frames_move_and_one_does_not_as_published():
    assert DynamicDegree(flow=constant(0.0)).measure(levels(0, 0)).value == 1.0
    assert DynamicDegree(flow=constant(9.0)).measure(levels(0)).value == 0.0
    assert not moves([7.0], threshold=6.0, num_pairs=2)
