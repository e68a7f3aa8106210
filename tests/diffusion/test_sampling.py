import math

import pytest
import torch

from rufous.core.config import from_json_dict, to_json_dict
from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.sampling import Cancelled, SamplingConfig, sample, sampling_timesteps
from rufous.diffusion.schedules import ScheduleConfig, make_schedule
from rufous.diffusion.solvers import SOLVERS

ZERO_SNR = ScheduleConfig(rescale_zero_terminal_snr=True)
FLOW = ScheduleConfig(kind="rectified_flow")
COND = Conditioning()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("config", "prediction_type"), [(ZERO_SNR, "v_prediction"), (FLOW, "flow_prediction")]
)
@pytest.mark.parametrize("solver", ["ddim", "euler", "dpmpp_2m", "dpmpp_2m_sde"])
def test_samples_have_the_mean_and_spread_of_the_data(
    config, prediction_type, solver, gaussian_denoiser, noise
):
    denoiser = gaussian_denoiser(config, prediction_type)
    settings = SamplingConfig(solver=solver, num_inference_steps=60)
    samples = sample(denoiser, noise(5000, 1, 1, 1, 1), COND, None, settings, generator=generator())
    assert float(samples.mean()) == pytest.approx(1.5, abs=0.02)
    assert float(samples.std()) == pytest.approx(0.5, abs=0.035)


@pytest.mark.parametrize("num_steps", [1, 2, 4, 8])
@pytest.mark.parametrize(("config", "prediction_type"), [(ZERO_SNR, "sample"), (FLOW, "flow_prediction")])
def test_lcm_with_an_exact_consistency_model_is_right_at_any_number_of_steps(
    num_steps, config, prediction_type, gaussian_denoiser, noise
):
    denoiser = gaussian_denoiser(config, prediction_type, is_consistency=True)
    settings = SamplingConfig(solver="lcm", num_inference_steps=num_steps, timestep_spacing="lcm")
    samples = sample(denoiser, noise(10000, 1, 1, 1, 1), COND, None, settings, generator=generator(1))
    assert float(samples.mean()) == pytest.approx(1.5, abs=0.02)
    assert float(samples.std()) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("solver", list(SOLVERS))
def test_a_seed_fixes_the_sample(solver, gaussian_denoiser, noise):
    denoiser = gaussian_denoiser(ScheduleConfig(dynamic_rescale=0.7), "epsilon")
    settings = SamplingConfig(solver=solver, num_inference_steps=4, eta=1.0 if solver == "ddim" else 0.0)
    first, again = (
        sample(denoiser, noise(2, 2, 2, 2, 2), COND, None, settings, generator=generator(5)) for _ in range(2)
    )
    assert torch.equal(first, again)


@pytest.mark.parametrize("solver", ["ddim", "euler", "dpmpp_2m"])
def test_deterministic_solvers_need_no_generator(solver, gaussian_denoiser, noise):
    denoiser = gaussian_denoiser(ScheduleConfig(), "epsilon")
    settings = SamplingConfig(solver=solver, num_inference_steps=4)
    sample(denoiser, noise(1, 1, 1, 2, 2), COND, None, settings, generator=None)


def test_a_bf16_network_stays_close_to_float32(gaussian_denoiser, noise):
    exact = gaussian_denoiser(ZERO_SNR, "v_prediction")
    coarse = Denoiser(
        lambda x, t, c: exact.network(x.bfloat16().float(), t, c).bfloat16(), exact.schedule, "v_prediction"
    )
    settings = SamplingConfig(num_inference_steps=20)
    start = noise(500, 1, 1, 2, 2)
    fine = sample(exact, start, COND, None, settings, generator=None)
    rough = sample(coarse, start.bfloat16(), COND, None, settings, generator=None)
    assert rough.dtype is torch.float32
    assert float((rough - fine).abs().mean()) < 0.01


def test_no_graph_is_kept(noise):
    weight = torch.ones((), requires_grad=True)
    denoiser = Denoiser(lambda x, t, c: weight * x, make_schedule(ScheduleConfig()), "sample")
    settings = SamplingConfig(num_inference_steps=2)
    assert not sample(denoiser, noise(1, 1, 1, 2, 2), COND, None, settings, generator=None).requires_grad


def test_given_frames_come_back_unchanged(gaussian_denoiser, noise):
    latents, mask = noise(1, 2, 3, 2, 2), torch.tensor([[False, True, True]])
    settings = SamplingConfig(solver="euler", num_inference_steps=5)
    denoiser = gaussian_denoiser(FLOW, "flow_prediction")
    samples = sample(denoiser, latents, Conditioning(frame_mask=mask), None, settings, generator=None)
    assert torch.equal(samples[:, :, 0], latents[:, :, 0])
    assert not torch.equal(samples[:, :, 1:], latents[:, :, 1:])


def test_the_callback_sees_each_step_and_its_estimate(gaussian_denoiser, noise):
    seen = []
    settings = SamplingConfig(num_inference_steps=4)
    denoiser = gaussian_denoiser(ZERO_SNR, "v_prediction")
    samples = sample(
        denoiser,
        noise(1, 1, 1, 2, 2),
        COND,
        None,
        settings,
        generator=None,
        callback_on_step_end=lambda *step: seen.append(step),
    )
    assert [(index, timestep) for index, timestep, _, _ in seen] == [
        (0, 999.0),
        (1, 749.0),
        (2, 499.0),
        (3, 249.0),
    ]
    assert torch.equal(seen[-1][2], samples)
    torch.testing.assert_close(seen[-1][3], samples)


def test_the_callback_can_cancel(gaussian_denoiser, noise):
    steps = []

    def stop_at_the_second(step_index, timestep, latents, pred_x0):
        steps.append(step_index)
        if step_index == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        sample(
            gaussian_denoiser(ZERO_SNR, "v_prediction"),
            noise(1, 1, 1, 2, 2),
            COND,
            None,
            SamplingConfig(num_inference_steps=4),
            generator=None,
            callback_on_step_end=stop_at_the_second,
        )
    assert steps == [0, 1]


def test_latents_that_are_not_finite_stop_the_run_and_name_the_step(noise):
    def overflow(latents, timesteps, cond):
        return torch.where(timesteps[:, None, None, None, None] < 600, torch.inf, latents)

    denoiser = Denoiser(overflow, make_schedule(ScheduleConfig()), "v_prediction")
    settings = SamplingConfig(num_inference_steps=4)
    with pytest.raises(FloatingPointError, match=r"after step 3 of 4 \(timestep 499\)"):
        sample(denoiser, noise(1, 1, 1, 2, 2), COND, None, settings, generator=None)
    with pytest.raises(FloatingPointError, match="before the first step"):
        sample(denoiser, noise(1, 1, 1, 2, 2) * torch.nan, COND, None, settings, generator=None)


def test_strength_runs_the_last_steps_only():
    schedule = make_schedule(ScheduleConfig())
    assert sampling_timesteps(schedule, SamplingConfig(num_inference_steps=10, strength=0.3)) == [
        299.0,
        199.0,
        99.0,
    ]
    with pytest.raises(ValueError, match=r"strength=0\.01 leaves none of 10 steps"):
        sampling_timesteps(schedule, SamplingConfig(num_inference_steps=10, strength=0.01))


def test_the_shift_moves_the_grid_of_rectified_flow_only():
    settings = SamplingConfig(num_inference_steps=4, timestep_shift=3.0)
    assert sampling_timesteps(make_schedule(FLOW), settings) == [1000.0, 900.0, 750.0, 500.0]
    with pytest.raises(ValueError, match="use 1 with a variance-preserving schedule"):
        sampling_timesteps(make_schedule(ScheduleConfig()), settings)


def test_guidance_that_would_apply_twice_or_not_at_all_is_refused(gaussian_denoiser, noise):
    denoiser, settings = gaussian_denoiser(ZERO_SNR, "v_prediction"), SamplingConfig(guidance_scale=7.5)
    student = Conditioning(guidance_embeds=torch.zeros(1, 256))
    with pytest.raises(ValueError, match="would guide twice"):
        sample(denoiser, noise(1, 1, 1, 2, 2), student, student, settings, generator=None)
    with pytest.raises(ValueError, match=r"guidance_scale=7\.5 needs uncond"):
        sample(denoiser, noise(1, 1, 1, 2, 2), COND, None, settings, generator=None)


def test_a_config_survives_json():
    config = SamplingConfig(solver="lcm", num_inference_steps=4, guidance_interval=(200.0, 800.0))
    assert from_json_dict(SamplingConfig, to_json_dict(config)) == config


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"solver": "unipc"}, "solver='unipc' is unknown: use one of ddim, euler"),
        ({"num_inference_steps": 0}, "num_inference_steps=0 is out of range"),
        ({"num_inference_steps": -3}, "num_inference_steps=-3"),
        ({"num_inference_steps": 4.0}, r"num_inference_steps=4\.0"),
        ({"num_inference_steps": True}, "num_inference_steps=True"),
        ({"guidance_scale": math.nan}, "guidance_scale=nan"),
        ({"guidance_scale": math.inf}, "guidance_scale=inf"),
        ({"guidance_rescale": -0.1}, r"guidance_rescale=-0\.1"),
        ({"eta": math.nan}, "eta=nan"),
        ({"eta": 0.5, "solver": "dpmpp_2m"}, "has no meaning for dpmpp_2m"),
        ({"strength": 0.0}, r"strength=0\.0"),
        ({"final_level": "first", "solver": "lcm"}, "has no meaning for lcm"),
    ],
)
def test_a_contradictory_config_is_refused(fields, message, unchecked_types):
    with pytest.raises(ValueError, match=message):
        SamplingConfig(**fields)
