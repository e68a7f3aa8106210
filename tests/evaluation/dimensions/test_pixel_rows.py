"""Rows whose answers are known from pixels: flickering, motion with injected flow, smoothness, the static
filter."""

import pytest
import torch
from torch import Tensor

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dynamic_degree import DynamicDegree, frame_stride, moves
from rufous.evaluation.dimensions.flow import fastest_pixels, pad_to_multiple
from rufous.evaluation.dimensions.motion_smoothness import MotionSmoothness
from rufous.evaluation.dimensions.static_filter import StaticFilter
from rufous.evaluation.dimensions.temporal_flickering import TemporalFlickering
from rufous.world import WorldClips


def clip_of(frames: Tensor, fps: float = 8.0) -> DecodedClip:
    return DecodedClip(frames=frames, fps=fps)


def levels(*values: int, size: int = 16) -> DecodedClip:
    """Frames of one grey each."""
    return clip_of(torch.tensor(values, dtype=torch.uint8)[:, None, None, None].repeat(1, 3, size, size))


def flicker(clip: DecodedClip) -> float:
    return TemporalFlickering().measure(clip).value


def test_a_clip_that_stands_still_does_not_flicker_at_all():
    still = WorldClips(seed=1)[0].frames[:1].repeat(16, 1, 1, 1)
    assert flicker(clip_of(still)) == 1.0


def test_black_and_white_in_turn_is_the_other_end():
    assert flicker(levels(0, 255, 0, 255)) == 0.0
    assert flicker(levels(0, 51, 0)) == 0.8
    assert flicker(levels(200, 149, 200)) == 0.8


def test_noise_flickers_by_a_third():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8, generator=generator)
    assert flicker(clip_of(noise)) == pytest.approx(1 - 85.3 / 255, abs=0.003)  # (n^2 - 1) / 3n, n = 256


def test_flickering_agrees_with_floats():
    frames = WorldClips(seed=2)[0].frames
    by_floats = (255 - frames.float().diff(dim=0).abs().mean(dim=(1, 2, 3)).mean()) / 255
    assert flicker(clip_of(frames)) == pytest.approx(float(by_floats), abs=1e-6)


def test_one_frame_cannot_flicker():
    with pytest.raises(ValueError, match="temporal_flickering needs 2 frames"):
        flicker(levels(1))


def constant(x: float):
    """A flow of one displacement everywhere."""
    return lambda first, second: (
        torch.zeros(len(first), 2, *first.shape[-2:]) + torch.tensor([x, 0.0]).reshape(2, 1, 1)
    )


def by_level(first: Tensor, second: Tensor) -> Tensor:
    """A flow as large as the first frame's grey."""
    return torch.cat([first[:, :1], torch.zeros_like(first[:, :1])], dim=1)


@pytest.mark.parametrize(("motion", "is_moving"), [(0.0, False), (5.99, False), (6.01, True)])
def test_a_clip_of_256_pixels_moves_from_6_pixels_on(motion, is_moving):
    score = DynamicDegree(flow=constant(motion)).measure(levels(*range(16), size=256))
    assert (score.value, score.details["video_results"]) == (float(is_moving), is_moving)


@pytest.mark.parametrize(("num_fast", "is_moving"), [(3, False), (4, True)])
def test_four_of_fifteen_pairs_must_move(num_fast, is_moving):
    clip = levels(*[100] * num_fast, *[0] * (16 - num_fast))
    assert DynamicDegree(flow=by_level).measure(clip).value == float(is_moving)


def test_a_few_fast_pixels_move_a_clip():
    def flow(first: Tensor, second: Tensor) -> Tensor:
        moved = torch.zeros(1, 2, 100, 100)
        moved[:, 0].view(-1)[:400] = 100.0
        return moved

    frames = torch.zeros(2, 3, 100, 100)
    assert fastest_pixels(lambda a, b: flow(a, b), frames[:1], frames[1:], share=0.05) == [80.0]


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


def test_frames_are_padded_by_their_edges_around_the_middle():
    frames = torch.arange(9.0).reshape(1, 1, 1, 9).expand(1, 3, 8, 9)
    padded = pad_to_multiple(frames, 8)
    assert padded[0, 0, 0].tolist() == [0, 0, 0, *range(9), 8, 8, 8, 8]
    assert pad_to_multiple(padded, 8).shape == padded.shape


def halfway(first: Tensor, second: Tensor) -> Tensor:
    return (first + second) / 2


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


def test_shuffled_frames_are_less_smooth():
    frames = WorldClips(seed=5)[1].frames
    order = torch.randperm(len(frames), generator=torch.Generator().manual_seed(0))
    row = MotionSmoothness(interpolator=halfway)
    assert row.measure(clip_of(frames[order])).value < row.measure(clip_of(frames)).value
    assert flicker(clip_of(frames[order])) < flicker(clip_of(frames))


def test_the_static_filter_counts_fast_pairs_and_looks_at_the_ends():
    assert StaticFilter(flow=constant(0.0)).is_static(levels(*[0] * 16, size=256))
    few, many = [100, 100, *[0] * 14], [100, 100, 100, *[0] * 13]
    with_far_ends = StaticFilter(flow=by_level)
    assert not with_far_ends.is_static(levels(*many, size=256))
    # ends may lie 3 * 2 * 2 = 12 pixels apart: 100 is too far, 12 is not
    assert not with_far_ends.is_static(levels(*few, size=256))
    assert with_far_ends.is_static(levels(12, 12, *[0] * 14, size=256))
    assert not with_far_ends.is_static(levels(13, 0, *[0] * 14, size=256))
