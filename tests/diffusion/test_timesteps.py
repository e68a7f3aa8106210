import itertools
import math

import pytest
import torch

from rufous.diffusion.schedules import ScheduleConfig, make_schedule
from rufous.diffusion.timesteps import draw_timesteps, inference_timesteps, shift_for_size, shift_timesteps

VP = make_schedule(ScheduleConfig())
FLOW = make_schedule(ScheduleConfig(kind="rectified_flow"))


@pytest.mark.parametrize(
    ("spacing", "steps", "origin", "expected"),
    [
        ("trailing", 4, 50, [999, 749, 499, 249]),
        ("leading", 4, 50, [751, 501, 251, 1]),
        ("linspace", 4, 50, [999, 666, 333, 0]),
        ("lcm", 1, 50, [999]),
        ("lcm", 2, 50, [999, 499]),
        ("lcm", 4, 50, [999, 759, 519, 279]),
        ("lcm", 8, 50, [999, 879, 759, 639, 519, 399, 279, 159]),
        ("lcm_even", 4, 50, [999, 759, 499, 259]),
        ("lcm_even", 6, 100, [999, 839, 669, 499, 339, 169]),
        ("lcm_even", 8, 200, [999, 874, 749, 624, 499, 374, 249, 124]),
    ],
)
def test_grids_are_the_published_ones(spacing, steps, origin, expected):
    assert inference_timesteps(VP, steps, spacing, num_origin_points=origin) == expected


def test_videocrafter2_visits_1_21_to_981():
    assert inference_timesteps(VP, 50, "leading") == [float(t) for t in range(981, 0, -20)]


def test_rectified_flow_starts_at_pure_noise_and_its_grid_lies_one_higher():
    assert inference_timesteps(FLOW, 4) == [1000.0, 750.0, 500.0, 250.0]
    assert inference_timesteps(FLOW, 4, "lcm") == [1000.0, 760.0, 520.0, 280.0]


@pytest.mark.parametrize("spacing", ["trailing", "linspace", "leading", "lcm", "lcm_even"])
@pytest.mark.parametrize("steps", [2, 3, 7, 30, 50])
def test_every_grid_has_the_asked_length_and_falls_strictly(spacing, steps):
    grid = inference_timesteps(VP, steps, spacing)
    assert len(grid) == steps
    assert all(a > b for a, b in itertools.pairwise(grid))
    assert 0 <= grid[-1] <= grid[0] <= 999


@pytest.mark.parametrize(
    ("schedule", "steps", "spacing", "origin", "message"),
    [
        (VP, 0, "trailing", 50, "num_inference_steps=0"),
        (VP, 1001, "trailing", 50, "from 1 to 1000"),
        (VP, 1000, "leading", 50, "reaches timestep 1000"),
        (VP, 1, "linspace", 50, "use 'trailing'"),
        (VP, 51, "lcm", 50, "more than the 50 points"),
        (VP, 4, "lcm", 33, "num_origin_points=33 does not divide"),
        (FLOW, 4, "leading", 50, "does not fit rectified flow"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(schedule, steps, spacing, origin, message):
    with pytest.raises(ValueError, match=message):
        inference_timesteps(schedule, steps, spacing, num_origin_points=origin)


@pytest.mark.parametrize(
    ("size", "shift"),
    [((512, 512, 1), 1.0), ((144, 256, 1), 0.375), ((240, 426, 15), 2.419), ((720, 1280, 30), 10.27)],
)
def test_the_shift_is_open_soras_at_published_lengths(size, shift):
    assert shift_for_size(*size) == pytest.approx(shift, rel=1e-3)


def test_the_shift_moves_the_middle_and_keeps_the_ends():
    t = torch.tensor([0.0, 500.0, 1000.0])
    torch.testing.assert_close(shift_timesteps(t, 3.0), torch.tensor([0.0, 750.0, 1000.0]))
    torch.testing.assert_close(shift_timesteps(shift_timesteps(t, 3.0), 1 / 3), t)


def test_draws_are_whole_for_variance_preserving_and_continuous_for_flow():
    generator = torch.Generator().manual_seed(0)
    vp = draw_timesteps(VP, 4000, generator)
    assert (vp == vp.round()).all()
    assert vp.min() >= 0
    assert vp.max() <= 999
    flow = draw_timesteps(FLOW, 4000, generator, distribution="logit_normal")
    assert float(flow.mean()) == pytest.approx(500.0, abs=15.0)
    inner = ((flow > 268.9) & (flow < 731.1)).float().mean()  # one standard deviation of the logit
    assert float(inner) == pytest.approx(0.683, abs=0.03)
    middle = draw_timesteps(VP, 4000, generator, distribution="logit_normal")
    assert (middle == middle.round()).all()
    assert float(((middle > 268) & (middle < 731)).float().mean()) == pytest.approx(0.683, abs=0.03)
    shifted = draw_timesteps(FLOW, 4000, generator, shift=5.0)
    assert float(shifted.median()) == pytest.approx(833.0, abs=15.0)


def test_draws_and_shifts_that_do_not_fit_are_refused():
    generator = torch.Generator()
    with pytest.raises(ValueError, match="use 1 with a variance-preserving"):
        draw_timesteps(VP, 1, generator, shift=2.0)
    with pytest.raises(ValueError, match="timestep_shift=nan"):
        draw_timesteps(FLOW, 1, generator, shift=math.nan)
    with pytest.raises(ValueError, match="is no video"):
        shift_for_size(0, 512, 1)
