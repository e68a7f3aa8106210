import numpy as np
import pytest
import torch

from rufous.world import WorldClips, measure
from rufous.world.smoothness import FLICKER_UNIT, JUMP_UNIT, smoothness_of

GRAY = np.full((16, 48, 48, 3), 100, dtype=np.float32)
STILL = np.zeros(16)


def flickering(levels: float) -> np.ndarray:
    video = GRAY.copy()
    video[1::2] += levels
    return video


def test_a_clip_without_jumps_and_flicker_is_perfectly_smooth():
    assert smoothness_of(STILL, [np.full(16, 100.0)], GRAY, is_background_known=True) == 1.0


def test_one_unit_of_either_halves_a_frame():
    jumps = np.zeros(16)
    jumps[[3, 9]] = JUMP_UNIT
    assert smoothness_of(jumps, [], GRAY, is_background_known=True) == pytest.approx(15 / 16)
    flicker = smoothness_of(STILL, [], flickering(FLICKER_UNIT), is_background_known=True)
    assert flicker == pytest.approx((2 + 14 / 2) / 16)  # the ends have one neighbour


def test_a_light_that_is_missing_beside_a_frame_tells_nothing_of_it():
    light = np.full(16, 100.0)
    light[5] = np.nan
    assert smoothness_of(STILL, [light], GRAY, is_background_known=True) == 1.0
    light[9] = 120.0
    assert smoothness_of(STILL, [light], GRAY, is_background_known=True) < 0.95


def test_noise_counts_where_no_background_is_known():
    noisy = GRAY + np.random.default_rng(0).normal(0, 30, GRAY.shape).astype(np.float32)
    assert smoothness_of(STILL, [], noisy, is_background_known=True) > 0.95
    assert smoothness_of(STILL, [], noisy, is_background_known=False) < 0.5


def test_two_frames_have_no_neighbours_on_both_sides():
    assert smoothness_of(np.zeros(2), [], flickering(90)[:2], is_background_known=True) == 1.0


def test_pure_noise_is_at_the_low_end():
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (16, 3, 64, 64), generator=generator, dtype=torch.uint8)
    assert measure(frames, 8.0).smoothness < 0.25


@pytest.mark.parametrize("levels", [40, 60, 100])
def test_a_flicker_that_hides_the_thing_is_at_the_low_end(levels):
    frames = WorldClips(seed=21)[0].frames.float()
    frames[1::2] += levels
    assert measure(frames.clamp(0, 255).to(torch.uint8), 8.0).smoothness < 0.3
