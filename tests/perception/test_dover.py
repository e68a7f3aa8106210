"""What DOVER looks at, and how its two scores become one; parity of the networks is in tests/reference."""

import pytest
import torch

from rufous.perception.dover import (
    CROP,
    DOVER,
    SIZE,
    aesthetic_frames,
    crop_corners,
    enlarged,
    fused,
    mosaic,
    normalised,
    technical_frames,
    whole_frame,
)
from tests.perception.tiny_dover import TINY_DOVER
from tests.perception.tiny_towers import randomize


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("technical", "aesthetic", "wanted"),
    [
        (0.1107, -0.08285, (0.5, 0.5, 0.5)),
        (0.0, 0.0, (0.4841479, 0.1816663, 0.8998252)),
        (0.2, 0.0, (0.8315137, 0.7710306, 0.8998252)),
        (0.1107 + 0.07355, -0.08285 + 0.03774, (0.7310586, 0.7310586, 0.7310586)),
    ],
)
def test_scores_are_fused_as_published(technical, aesthetic, wanted):
    assert fused(technical=technical, aesthetic=aesthetic) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("num_frames", "technical", "aesthetic"),
    [
        (81, [0, 27, 54], list(range(0, 64, 2))),
        (32, [0, 10, 20], list(range(32))),
        (16, [0, 5, 10], [0] * 32),
    ],
)
def test_frames_without_room_for_chance_are_the_published_ones(num_frames, technical, aesthetic):
    numbers = technical_frames(num_frames, rng())
    assert len(numbers) == 96
    assert numbers[::32] == technical
    assert numbers[1] == 2 % num_frames
    assert max(numbers) < num_frames
    assert aesthetic_frames(num_frames, rng()) == aesthetic


def test_chance_stays_within_its_part_and_follows_the_seed():
    for seed in range(20):
        starts = technical_frames(300, rng(seed))[::32]
        assert all(100 * i <= start < 100 * i + 36 for i, start in enumerate(starts))
        assert all(9 * i <= n < 9 * i + 7 for i, n in enumerate(aesthetic_frames(300, rng(seed))))
    assert technical_frames(300, rng(1)) == technical_frames(300, rng(1)) != technical_frames(300, rng(2))


def test_crops_are_raw_pixels_of_their_cells():
    height, width = 480, 640
    places = torch.arange(height * width).reshape(height, width)
    frame = torch.stack([places % 251, places // width % 256, places % width % 256]).to(torch.uint8)
    corners = crop_corners(height, width, 2, rng())
    assert corners.shape == (2, 7, 7, 2)
    assert not torch.equal(corners[0], corners[1])
    made = mosaic(frame, corners[1])
    assert made.shape == (3, SIZE, SIZE)
    for i, j in [(0, 0), (3, 5), (6, 6)]:
        top, left = corners[1, i, j].tolist()
        assert height // 7 * i <= top <= height // 7 * (i + 1) - CROP
        assert width // 7 * j <= left <= width // 7 * (j + 1) - CROP
        crop = made[:, CROP * i : CROP * (i + 1), CROP * j : CROP * (j + 1)]
        assert torch.equal(crop, frame[:, top : top + CROP, left : left + CROP])


def test_small_frames_are_enlarged_and_the_grid_stays_that_of_the_small_ones():
    frame = torch.randint(0, 256, (3, 96, 160), dtype=torch.uint8, generator=rng())
    assert enlarged(frame).shape == (3, 224, 373)
    corners = crop_corners(96, 160, 1, rng())[0]
    assert corners.amax(dim=(0, 1)).tolist() == [64, 128]  # of 224 and 373 pixels: the trap that is kept
    assert mosaic(frame, corners).shape == (3, SIZE, SIZE)
    assert torch.equal(enlarged(frame.new_zeros(3, 224, 300)), frame.new_zeros(3, 224, 300))


def test_whole_frames_are_squeezed_and_normalised():
    frame = torch.full((3, 300, 500), 255, dtype=torch.uint8)
    pixels = normalised(whole_frame(frame)[None])
    assert pixels.shape == (3, 1, SIZE, SIZE)
    torch.testing.assert_close(pixels[:, 0, 0, 0], torch.tensor([2.2489, 2.4286, 2.6400]), atol=1e-4, rtol=0)


def test_each_branch_scores_every_clip():
    network = randomize(DOVER(TINY_DOVER))
    video = torch.rand(3, 3, 4, 32, 32)
    for branch in (network.technical, network.aesthetic):
        scores = branch(video)
        assert scores.shape == (3,)
        torch.testing.assert_close(scores[1:], branch(video[1:]))
