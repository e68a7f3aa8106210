import cv2
import numpy as np
import pytest

from rufous.data.camera_fit import Grid, PairFitter
from rufous.data.pair_flow import flow_between
from tests.data.stages.test_flow import texture

HEIGHT, WIDTH = 90, 144


def moved(picture: np.ndarray, *, right: float, down: float, growth: float, turn: float) -> np.ndarray:
    """The middle of a picture after a motion about its centre; shifts in shorter sides."""
    height, width = picture.shape[:2]
    cx, cy = (width - 1) / 2, (height - 1) / 2
    matrix = np.array(
        [
            [1 + growth, -turn, (WIDTH - 1) / 2 + right * HEIGHT - (1 + growth) * cx + turn * cy],
            [turn, 1 + growth, (HEIGHT - 1) / 2 + down * HEIGHT - turn * cx - (1 + growth) * cy],
        ]
    )
    return cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT))


def fitter_of(first: np.ndarray, second: np.ndarray) -> PairFitter:
    frames = np.stack([cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (first, second)])
    return PairFitter(frames, flow_between(frames, np.array([0.0, 0.1]), np.array([0]), 1))


STILL = {"right": 0.0, "down": 0.0, "growth": 0.0, "turn": 0.0}


@pytest.mark.parametrize("part", list(STILL))
def test_each_part_of_a_motion_is_measured(part):
    picture = texture(3 * HEIGHT, 3 * WIDTH)
    motion = STILL | {part: 0.03}
    found = fitter_of(moved(picture, **STILL), moved(picture, **motion)).fit()
    np.testing.assert_allclose(found.motions[0], list(motion.values()), atol=1e-3)


def test_a_thing_that_moves_is_found_in_what_does_not_follow():
    picture, thing = texture(3 * HEIGHT, 3 * WIDTH), texture(40, 40)[::-1]
    first, second = (moved(picture, **STILL | {"right": shift}) for shift in (0.0, -0.02))
    first[20:60, 50:90], second[23:63, 52:92] = thing, thing
    fitter = fitter_of(first, second)
    behind = fitter.fit()
    other = fitter.fit(behind.differs)
    np.testing.assert_allclose(behind.motions[0, :2], [-0.02, 0.0], atol=2e-3)
    np.testing.assert_allclose(other.motions[0, :2], [2 / 90, 3 / 90], atol=6e-3)
    assert 0.05 < other.follows.sum() / fitter.textured.sum() < 0.3


def test_a_flash_is_no_motion():
    picture = moved(texture(3 * HEIGHT, 3 * WIDTH), **STILL)
    found = fitter_of(picture, np.clip(picture.astype(int) + 30, 0, 255).astype(np.uint8)).fit()
    np.testing.assert_allclose(found.motions[0], 0, atol=2e-3)


def test_vertical_stripes_tell_shifts_to_the_right_only():
    stripes = np.repeat((np.arange(WIDTH) // 12 % 2 * 150 + 50).astype(np.uint8)[None, :, None], 3, axis=-1)
    picture = np.repeat(stripes, HEIGHT, axis=0)
    fitter = fitter_of(picture, picture)
    cover = fitter.cover(fitter.fit().follows, 4)[0]
    assert cover[0] == 1.0
    assert cover[1] == 0.0


def test_a_grid_knows_its_border():
    grid = Grid(HEIGHT, WIDTH)
    blocks = grid.border_blocks(4)
    assert set(blocks) == {-1, 0, 1, 2, 3, 4, 7, 8, 11, 12, 13, 14, 15}
    assert len(blocks) == len(grid.points) == len(grid.design)
    assert grid.mean_radius == pytest.approx(np.hypot(1, 1.6) / np.sqrt(12), rel=1e-6)


def test_a_cell_in_the_very_middle_tells_no_growth_and_no_turn():
    picture = texture(60, 60)
    fitter = fitter_of(picture, picture)
    assert (fitter.grid.points == 0).all(axis=-1).sum() == 1
    assert (fitter.cover(fitter.fit().follows, 4) == 1).all()
