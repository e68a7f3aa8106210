"""T2V-Turbo's few-step sampler, boundary scalings, guidance embedding, loss and solver step."""

import pytest
import torch

from rufous.core.types import Conditioning
from rufous.diffusion.consistency import boundary_scalings, consistency_function, grid_timesteps
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.guidance import embed_guidance_scale
from rufous.diffusion.losses import pseudo_huber
from rufous.diffusion.prediction import Prediction
from rufous.diffusion.schedules import ScheduleConfig, alphas_cumprod, make_schedule
from rufous.diffusion.solvers import ddim_step
from rufous.diffusion.timesteps import inference_timesteps

SHAPE = [2, 4, 4, 8, 8]
SOLVER_INDICES = [3, 41]


def test_the_schedule_is_stable_diffusions(sampling_case, assert_close):
    assert_close(alphas_cumprod(ScheduleConfig()).float(), sampling_case.stored["alphas_cumprod"])


def test_the_few_timesteps_are_the_published_ones(sampling_case):
    schedule = make_schedule(ScheduleConfig())
    for setting in sampling_case.info["cases"]:
        steps, origin = setting["steps"], setting["original_steps"]
        ours = inference_timesteps(schedule, steps, "lcm", num_origin_points=origin)
        assert ours == sampling_case.stored[f"steps{steps}_origin{origin}.timesteps"].tolist()


def test_every_step_estimates_the_published_clean_latents(sampling_case, assert_close):
    schedule = make_schedule(ScheduleConfig())
    for setting in sampling_case.info["cases"]:
        prefix = f"steps{setting['steps']}_origin{setting['original_steps']}"
        for i, step in enumerate(sampling_case.stored[f"{prefix}.timesteps"].tolist()):
            epsilon = sampling_case.input(f"eps{i}", SHAPE)
            latents = sampling_case.input(f"sample{i}" if i else "sample", SHAPE)
            timesteps = torch.full((2,), float(step))
            denoiser = Denoiser(lambda *_, answer=epsilon: answer, schedule)
            pred = denoiser(latents, timesteps, Conditioning())
            denoised = consistency_function(latents, pred.x0, timesteps)
            assert_close(denoised, sampling_case.stored[f"{prefix}.x0_{i}"])


def test_boundary_scalings_are_the_published_ones(sampling_case, assert_close):
    stored = sampling_case.stored
    scale = boundary_scalings(stored["boundary.t"].float())
    assert_close(scale.skip, stored["boundary.c_skip"])
    assert_close(scale.out, stored["boundary.c_out"])


def test_the_guidance_embedding_is_the_published_one(sampling_case, assert_close):
    stored = sampling_case.stored
    reference = stored["guidance.embedding"]
    assert_close(embed_guidance_scale(stored["guidance.w"], reference.shape[1]), reference)


def test_the_huber_loss_is_the_published_one(sampling_case, assert_close):
    a, b = sampling_case.input("a", SHAPE), sampling_case.input("b", SHAPE)
    assert_close(pseudo_huber(a, b, c=0.001).mean().reshape(1), sampling_case.stored["huber"])


@pytest.mark.parametrize(("floor", "name"), [(None, "ddim_scale0"), (0.7, "ddim_scale1")])
def test_a_solver_step_is_the_published_one(sampling_case, floor, name, assert_close):
    schedule = make_schedule(ScheduleConfig(dynamic_rescale=floor))
    x0, epsilon = sampling_case.input("a", SHAPE), sampling_case.input("b", SHAPE)
    now, before = grid_timesteps(torch.tensor(SOLVER_INDICES), schedule, 50)
    parts = []
    for i in range(len(SOLVER_INDICES)):
        at, after = schedule.level(now[i].item()), schedule.level(before[i].item())
        # the published estimate still carries the rescale factor of its own timestep
        pred = Prediction(x0=x0[i : i + 1] / at.rescale, epsilon=epsilon[i : i + 1])
        parts.append(ddim_step(torch.zeros_like(pred.x0), pred, at, after)[0])
    assert_close(torch.cat(parts), sampling_case.stored[name])
