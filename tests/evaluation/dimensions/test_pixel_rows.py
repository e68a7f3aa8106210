"""Rows whose answers are known from pixels: flickering, and what those with flow and frames between share."""

import pytest
import torch
from torch import Tensor

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dynamic_degree import DynamicDegree
from rufous.evaluation.dimensions.flow import fastest_pixels, pad_to_multiple
from rufous.evaluation.dimensions.motion_smoothness import MotionSmoothness
from rufous.evaluation.dimensions.static_filter import StaticFilter
from rufous.evaluation.dimensions.temporal_flickering import TemporalFlickering
from rufous.world import WorldClips
from tests.evaluation.dimensions.grey_clips import clip_of, constant, halfway, levels


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


def test_a_few_fast_pixels_move_a_clip():
    def flow(first: Tensor, second: Tensor) -> Tensor:
        moved = torch.zeros(1, 2, 100, 100)
        moved[:, 0].view(-1)[:400] = 100.0
        return moved

    frames = torch.zeros(2, 3, 100, 100)
    assert fastest_pixels(lambda a, b: flow(a, b), frames[:1], frames[1:], share=0.05) == [80.0]


def test_frames_are_padded_by_their_edges_around_the_middle():
    frames = torch.arange(9.0).reshape(1, 1, 1, 9).expand(1, 3, 8, 9)
    padded = pad_to_multiple(frames, 8)
    assert padded[0, 0, 0].tolist() == [0, 0, 0, *range(9), 8, 8, 8, 8]
    assert pad_to_multiple(padded, 8).shape == padded.shape


def test_shuffled_frames_are_less_smooth():
    frames = WorldClips(seed=5)[1].frames
    order = torch.randperm(len(frames), generator=torch.Generator().manual_seed(0))
    row = MotionSmoothness(interpolator=halfway)
    assert row.measure(clip_of(frames[order])).value < row.measure(clip_of(frames)).value
    assert flicker(clip_of(frames[order])) < flicker(clip_of(frames))


@pytest.mark.parametrize(
    "row",
    [
        StaticFilter(flow=constant(0.0), min_side_px=121),
        DynamicDegree(flow=constant(0.0), min_side_px=121),
        MotionSmoothness(interpolator=halfway, min_side_px=121),
    ],
)
def test_what_a_network_cannot_read_is_not_measured_and_no_error(row):
    assert row.measure(levels(0, 0, 0, size=121)).value is not None
    score = row.measure(levels(0, 0, 0, size=120))
    assert score.value is None
    assert score.details == {"note": "its network reads frames from 121 pixels a side"}


def test_a_clip_is_never_held_as_floats_or_whole_numbers_at_once(monkeypatch):
    sizes, as_floats, total = [], Tensor.float, Tensor.sum
    monkeypatch.setattr(Tensor, "float", lambda self: sizes.append(len(self)) or as_floats(self))
    monkeypatch.setattr(Tensor, "sum", lambda self, **how: sizes.append(self.numel()) or total(self, **how))
    clip = levels(*[7] * 20)
    flicker(clip)
    DynamicDegree(flow=lambda a, b: torch.zeros(1, 2, 16, 16)).measure(clip)
    MotionSmoothness(interpolator=halfway).measure(clip)
    assert 0 < max(sizes) <= 3 * 16 * 16
