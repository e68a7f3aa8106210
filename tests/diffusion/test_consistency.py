import pytest
import torch

from rufous.diffusion.consistency import (
    boundary_scalings,
    consistency_function,
    draw_grid_index,
    grid_timesteps,
)
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.prediction import Prediction
from rufous.diffusion.schedules import ScheduleConfig, make_schedule
from rufous.diffusion.solvers import ddim_step

VP = make_schedule(ScheduleConfig())
FLOW = make_schedule(ScheduleConfig(kind="rectified_flow"))


def test_the_consistency_function_is_the_identity_at_timestep_zero(noise):
    latents, x0 = noise(2, 1, 1, 2, 2), noise(2, 1, 1, 2, 2, seed=1)
    assert torch.equal(consistency_function(latents, x0, torch.zeros(2)), latents)


def test_the_boundary_scalings_are_the_published_ones():
    scale = boundary_scalings(torch.tensor([0.0, 1.0, 19.0, 999.0]))
    torch.testing.assert_close(
        scale.skip, torch.tensor([1.0, 2.494e-3, 6.925e-6, 2.505e-9]), atol=0, rtol=1e-3
    )
    torch.testing.assert_close(scale.out, torch.tensor([0.0, 0.99875, 1.0, 1.0]), atol=1e-5, rtol=0)


def test_grid_points_are_the_published_ones():
    now, below = grid_timesteps(torch.tensor([0, 1, 49]), VP, 50)
    assert now.tolist() == [19.0, 39.0, 999.0]
    assert below.tolist() == [0.0, 19.0, 979.0]
    now, below = grid_timesteps(torch.tensor([0, 199]), VP, 200)
    assert now.tolist() == [4.0, 999.0]
    assert below.tolist() == [0.0, 994.0]


def test_the_flow_grid_runs_from_clean_data_to_pure_noise():
    now, below = grid_timesteps(torch.tensor([0, 49]), FLOW, 50)
    assert now.tolist() == [20.0, 1000.0]
    assert below.tolist() == [0.0, 980.0]


@pytest.mark.parametrize("num_points", [0, 33, 1001])
def test_a_grid_that_does_not_divide_the_timesteps_is_refused(num_points):
    with pytest.raises(ValueError, match=f"num_points={num_points} does not divide 1000"):
        grid_timesteps(torch.tensor([0]), VP, num_points)


def test_draws_cover_the_whole_grid():
    index = draw_grid_index(1000, 10, torch.Generator().manual_seed(0))
    assert index.unique().tolist() == list(range(10))


@pytest.mark.parametrize("config", [ScheduleConfig(), ScheduleConfig(dynamic_rescale=0.7)])
def test_noising_the_estimates_is_the_teachers_ddim_step(config, noise):
    schedule = make_schedule(config)
    x0, eps = noise(2, 1, 1, 2, 2), noise(2, 1, 1, 2, 2, seed=1)
    now, below = grid_timesteps(torch.tensor([3, 41]), schedule)
    stepped = Denoiser(lambda x, t, c: x, schedule).add_noise(x0, eps, below)
    for i in range(2):
        levels = schedule.level(float(now[i])), schedule.level(float(below[i]))
        expected, _ = ddim_step(x0, Prediction(x0, eps), *levels)
        torch.testing.assert_close(stepped[i], expected[i])
