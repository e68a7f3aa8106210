import pytest
import torch

from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.schedules import ScheduleConfig, make_schedule

VIDEOCRAFTER2 = make_schedule(ScheduleConfig(dynamic_rescale=0.7))


def constant_network(value):
    return lambda latents, timesteps, cond: torch.full_like(latents, value)


def test_noising_scales_the_clean_latents_by_the_dynamic_rescale(noise):
    denoiser = Denoiser(constant_network(0.0), VIDEOCRAFTER2)
    x0, eps = noise(2, 1, 2, 2, 2), noise(2, 1, 2, 2, 2, seed=1)
    noisy = denoiser.add_noise(x0, eps, torch.tensor([0.0, 700.0]))
    for i, timestep in enumerate((0.0, 700.0)):
        level = VIDEOCRAFTER2.level(timestep)
        expected = level.alpha * level.rescale * x0[i] + level.sigma * eps[i]
        torch.testing.assert_close(noisy[i], expected)


def test_x0_is_read_without_the_rescale_that_noising_put_in(noise):
    x0, eps = noise(2, 1, 2, 2, 2), noise(2, 1, 2, 2, 2, seed=1)
    t = torch.tensor([100.0, 700.0])
    denoiser = Denoiser(lambda latents, timesteps, cond: eps, VIDEOCRAFTER2)
    pred = denoiser(denoiser.add_noise(x0, eps, t), t, Conditioning())
    torch.testing.assert_close(pred.x0, x0, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(pred.epsilon, eps)


def test_given_frames_stay_clean(noise):
    denoiser = Denoiser(constant_network(0.0), VIDEOCRAFTER2)
    x0, mask = noise(1, 2, 3, 2, 2), torch.tensor([[False, True, True]])
    noisy = denoiser.add_noise(x0, noise(1, 2, 3, 2, 2, seed=1), torch.tensor([500.0]), frame_mask=mask)
    assert torch.equal(noisy[:, :, 0], x0[:, :, 0])
    assert not torch.equal(noisy[:, :, 1], x0[:, :, 1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_arithmetic_is_float32_whatever_the_network_computes_in(dtype, noise):
    seen = []

    def network(latents, timesteps, cond):
        seen.extend([latents.dtype, timesteps.dtype])
        return latents.to(dtype)

    denoiser = Denoiser(network, VIDEOCRAFTER2)
    pred = denoiser(noise(1, 1, 1, 2, 2).to(dtype), torch.tensor([999.0]), Conditioning())
    assert pred.x0.dtype is pred.epsilon.dtype is torch.float32
    assert seen == [torch.float32, torch.float32]


def test_float64_latents_keep_float64(noise):
    denoiser = Denoiser(constant_network(0.5), VIDEOCRAFTER2)
    pred = denoiser(noise(1, 1, 1, 2, 2).double(), torch.tensor([3.0]), Conditioning())
    assert pred.x0.dtype is torch.float64


def test_gradients_pass_through_to_the_latents(noise):
    latents = noise(1, 1, 1, 2, 2).requires_grad_()
    Denoiser(constant_network(0.5), VIDEOCRAFTER2)(
        latents, torch.tensor([3.0]), Conditioning()
    ).x0.sum().backward()
    assert latents.grad is not None


@pytest.mark.parametrize(
    "config", [ScheduleConfig(rescale_zero_terminal_snr=True), ScheduleConfig(kind="rectified_flow")]
)
def test_epsilon_is_refused_where_the_schedule_reaches_pure_noise(config):
    with pytest.raises(ValueError, match="use 'v_prediction'"):
        Denoiser(constant_network(0.0), make_schedule(config), "epsilon")


def test_zero_terminal_snr_works_with_v_prediction_at_the_last_timestep(noise):
    schedule = make_schedule(ScheduleConfig(rescale_zero_terminal_snr=True))
    x0, eps, t = noise(1, 1, 1, 2, 2), noise(1, 1, 1, 2, 2, seed=1), torch.tensor([999.0])
    target = Denoiser(constant_network(0.0), schedule, "v_prediction").target(x0, eps, t)
    torch.testing.assert_close(target, -x0)
    denoiser = Denoiser(lambda latents, timesteps, cond: target, schedule, "v_prediction")
    pred = denoiser(denoiser.add_noise(x0, eps, t), t, Conditioning())
    torch.testing.assert_close(pred.x0, x0)
    torch.testing.assert_close(pred.epsilon, eps)


def test_an_unknown_prediction_type_is_refused(unchecked_types):
    with pytest.raises(ValueError, match="prediction_type='score' is unknown"):
        Denoiser(constant_network(0.0), VIDEOCRAFTER2, "score")


def test_conditioning_reaches_the_network_untouched(noise):
    seen = []

    def network(latents, timesteps, cond):
        seen.append(cond)
        return latents

    cond = Conditioning()
    Denoiser(network, VIDEOCRAFTER2)(noise(1, 1, 1, 1, 1), torch.tensor([5.0]), cond)
    assert seen[0] is cond
