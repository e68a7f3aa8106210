import pytest
import torch

from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.losses import carried, min_snr_weight, mse, pseudo_huber
from rufous.diffusion.schedules import ScheduleConfig, make_schedule


def test_each_sample_has_its_own_loss(noise):
    target, pred = noise(2, 3, 2, 2, 2), noise(2, 3, 2, 2, 2, seed=1)
    both = mse(pred, target)
    assert both.shape == (2,)
    torch.testing.assert_close(both.mean(), torch.nn.functional.mse_loss(pred, target))
    torch.testing.assert_close(mse(pred[1:], target[1:]), both[1:])


@pytest.mark.parametrize("loss", [mse, pseudo_huber])
def test_a_frame_mask_leaves_given_frames_out(loss, noise):
    target, pred = noise(2, 3, 4, 2, 2), noise(2, 3, 4, 2, 2, seed=1)
    mask = torch.tensor([[True, False, True, True], [True, True, True, True]])
    masked = loss(pred, target, frame_mask=mask)
    torch.testing.assert_close(masked[0], loss(pred[:1, :, mask[0]], target[:1, :, mask[0]])[0])
    torch.testing.assert_close(masked[1], loss(pred, target)[1])


def test_a_mask_without_any_frame_gives_nan_not_zero(noise):
    x = noise(1, 1, 2, 2, 2)
    assert mse(x, x, frame_mask=torch.zeros(1, 2, dtype=torch.bool)).isnan().all()


def test_pseudo_huber_is_the_published_formula(noise):
    pred, target = noise(2, 3, 2, 2, 2).double(), noise(2, 3, 2, 2, 2, seed=1).double()
    expected = (((pred - target) ** 2 + 0.001**2).sqrt() - 0.001).mean(dim=(1, 2, 3, 4)).float()
    torch.testing.assert_close(pseudo_huber(pred, target), expected)


def test_pseudo_huber_keeps_tiny_differences_that_the_plain_formula_loses():
    zeros = torch.zeros(1, 1, 1, 1, 1)
    small = pseudo_huber(zeros + 1e-7, zeros)
    torch.testing.assert_close(small, torch.tensor([1e-14 / 0.002]), atol=0.0, rtol=1e-3)


@pytest.mark.parametrize("loss", [mse, pseudo_huber])
def test_losses_are_float32_for_a_bf16_network(loss, noise):
    x = noise(1, 1, 1, 2, 2).bfloat16()
    assert loss(x, torch.zeros_like(x)).dtype is torch.float32


@pytest.mark.parametrize(
    ("config", "prediction_type"),
    [
        (ScheduleConfig(), "epsilon"),
        (ScheduleConfig(), "v_prediction"),
        (ScheduleConfig(), "sample"),
        (ScheduleConfig(dynamic_rescale=0.7), "v_prediction"),
        (ScheduleConfig(kind="rectified_flow"), "flow_prediction"),
    ],
)
def test_min_snr_weights_every_output_by_the_same_error_of_x0(config, prediction_type, noise):
    schedule = make_schedule(config)
    t = torch.tensor([50.0, 400.0, 800.0])
    x0, eps, error = (noise(3, 1, 1, 2, 2, seed=seed) for seed in range(3))
    denoiser = Denoiser(lambda x, t, c: x, schedule, prediction_type)
    target = denoiser.target(x0, eps, t)
    noisy = denoiser.add_noise(x0, eps, t)
    x0_loss = mse(denoiser.read(target + error, noisy, t).x0, denoiser.read(target, noisy, t).x0)
    # the dynamic rescale is part of the signal, and so of the SNR
    weight = min_snr_weight(schedule.log_snr(t), prediction_type)
    if config.dynamic_rescale is None:
        expected = schedule.log_snr(t).exp().clamp(max=5.0) * x0_loss
        torch.testing.assert_close(weight * mse(target + error, target), expected, atol=1e-4, rtol=2e-3)
    assert (weight > 0).all()


def test_a_carried_gradient_reaches_what_was_made_and_nothing_on_its_way():
    made, factor = torch.full((2, 1, 1, 1, 1), 3.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    seen = made.detach().requires_grad_()
    loss, pull = carried((factor * seen).square().mean(), seen, made)
    assert loss.item() == 36.0
    (5.0 * loss).backward()
    # d/dm mean (2 m)^2 = 4 m = 12 in each of the two
    assert made.grad.flatten().tolist() == [60.0, 60.0]
    assert pull.item() == 12.0
    assert factor.grad is None
    assert seen.grad is None


def test_min_snr_is_finite_at_zero_terminal_snr():
    log_snr = torch.tensor([-torch.inf])
    assert float(min_snr_weight(log_snr, "v_prediction")) == 0.0
    assert float(min_snr_weight(log_snr, "epsilon")) == 1.0


def test_senseless_settings_are_refused(noise):
    x = noise(1, 1, 1, 1, 1)
    with pytest.raises(ValueError, match=r"c=0\.0 is not positive"):
        pseudo_huber(x, x, c=0.0)
    with pytest.raises(ValueError, match=r"gamma=-1\.0"):
        min_snr_weight(torch.zeros(1), "epsilon", gamma=-1.0)
