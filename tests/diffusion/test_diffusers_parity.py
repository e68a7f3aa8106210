"""Equal configurations give equal numbers: our solvers against the schedulers of diffusers."""

import pytest
import torch

from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.sampling import SamplingConfig, sample
from rufous.diffusion.schedules import ScheduleConfig, make_schedule

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its own use of NumPy

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}


def network(latents, timesteps, cond=None):
    """Any smooth function of latents and time."""
    return torch.tanh(0.8 * latents + timesteps.reshape(-1, 1, 1, 1, 1) / 1000 - 0.3)


def run_diffusers(scheduler, latents, **step_options):
    for t in scheduler.timesteps:
        output = network(latents, t[None].float())
        latents = scheduler.step(output, t, latents, **step_options).prev_sample
    return latents


def run_rufous(schedule, prediction_type, settings, latents, generator=None):
    denoiser = Denoiser(network, make_schedule(schedule), prediction_type)
    return sample(denoiser, latents, Conditioning(), None, settings, generator=generator)


def assert_equal_runs(ours, theirs):
    assert float((ours - theirs).norm() / theirs.norm()) < 2e-5


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize(
    "spacing", ["leading", "trailing"]
)  # its linspace steps to t - T/n, off its own grid
@pytest.mark.parametrize("beta_schedule", ["scaled_linear", "linear"])
def test_ddim(eta, spacing, beta_schedule, noise):
    scheduler = diffusers.DDIMScheduler(
        **BETAS,
        beta_schedule=beta_schedule,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing=spacing,
    )
    scheduler.set_timesteps(20)
    theirs = run_diffusers(
        scheduler, noise(1, 2, 2, 4, 4), eta=eta, generator=torch.Generator().manual_seed(7)
    )
    settings = SamplingConfig(num_inference_steps=20, eta=eta, timestep_spacing=spacing, final_level="first")
    ours = run_rufous(
        ScheduleConfig(kind=beta_schedule),
        "epsilon",
        settings,
        noise(1, 2, 2, 4, 4),
        torch.Generator().manual_seed(7),
    )
    assert_equal_runs(ours, theirs)


def test_ddim_with_zero_terminal_snr_and_v_prediction(noise):
    scheduler = diffusers.DDIMScheduler(
        **BETAS,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(20)
    theirs = run_diffusers(scheduler, noise(1, 2, 2, 4, 4))
    ours = run_rufous(
        ScheduleConfig(rescale_zero_terminal_snr=True),
        "v_prediction",
        SamplingConfig(num_inference_steps=20),
        noise(1, 2, 2, 4, 4),
    )
    assert_equal_runs(ours, theirs)


@pytest.mark.parametrize(("steps", "origin"), [(4, 50), (6, 100), (8, 200)])
def test_lcm(steps, origin, noise):
    scheduler = diffusers.LCMScheduler(
        **BETAS,
        beta_schedule="linear",
        original_inference_steps=origin,
        clip_sample=False,
        set_alpha_to_one=False,
    )
    scheduler.set_timesteps(steps)
    theirs = run_diffusers(scheduler, noise(1, 2, 2, 4, 4), generator=torch.Generator().manual_seed(7))
    settings = SamplingConfig(
        solver="lcm", num_inference_steps=steps, timestep_spacing="lcm_even", num_origin_points=origin
    )
    ours = run_rufous(
        ScheduleConfig(kind="linear"),
        "epsilon",
        settings,
        noise(1, 2, 2, 4, 4),
        torch.Generator().manual_seed(7),
    )
    assert_equal_runs(ours, theirs)


@pytest.mark.parametrize(
    ("algorithm", "solver"), [("dpmsolver++", "dpmpp_2m"), ("sde-dpmsolver++", "dpmpp_2m_sde")]
)
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_dpm_solver(algorithm, solver, prediction_type, noise):
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **BETAS,
        beta_schedule="scaled_linear",
        algorithm_type=algorithm,
        prediction_type=prediction_type,
        timestep_spacing="trailing",
        final_sigmas_type="zero",
    )
    scheduler.set_timesteps(20)
    theirs = run_diffusers(scheduler, noise(1, 2, 2, 4, 4), generator=torch.Generator().manual_seed(7))
    settings = SamplingConfig(solver=solver, num_inference_steps=20)
    ours = run_rufous(
        ScheduleConfig(), prediction_type, settings, noise(1, 2, 2, 4, 4), torch.Generator().manual_seed(7)
    )
    assert_equal_runs(ours, theirs)


def test_rectified_flow_euler_has_the_opposite_sign_there(noise):
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000)
    scheduler.set_timesteps(sigmas=[1.0, 0.9, 0.75, 0.5])  # 4 steps with shift 3
    latents = noise(1, 2, 2, 4, 4)
    for t in scheduler.timesteps:
        latents = scheduler.step(-network(latents, t[None]), t, latents).prev_sample
    settings = SamplingConfig(solver="euler", num_inference_steps=4, timestep_shift=3.0)
    ours = run_rufous(
        ScheduleConfig(kind="rectified_flow"), "flow_prediction", settings, noise(1, 2, 2, 4, 4)
    )
    assert_equal_runs(ours, latents)
