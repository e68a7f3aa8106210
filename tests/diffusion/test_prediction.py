import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rufous.diffusion.prediction import (
    PREDICTION_TYPES,
    Coefficients,
    prediction_from_output,
    training_target,
)
from rufous.diffusion.schedules import ScheduleConfig, make_schedule

CONFIGS = [
    ScheduleConfig(),
    ScheduleConfig(dynamic_rescale=0.7),
    ScheduleConfig(rescale_zero_terminal_snr=True),
    ScheduleConfig(kind="cosine"),
    ScheduleConfig(kind="rectified_flow"),
]


def at(alpha: float, sigma: float, rescale: float = 1.0) -> Coefficients:
    numbers = (torch.full((1, 1, 1, 1, 1), x, dtype=torch.float64) for x in (alpha, sigma, rescale))
    alpha_, sigma_, rescale_ = numbers
    return Coefficients(alpha=alpha_, sigma=sigma_, rescale=rescale_)


@settings(deadline=None, max_examples=40)
@given(
    config=st.sampled_from(CONFIGS),
    prediction_type=st.sampled_from(PREDICTION_TYPES),
    timestep=st.integers(min_value=1, max_value=990),
    seed=st.integers(min_value=0, max_value=1000),
)
def test_the_target_read_back_gives_the_latents_and_the_noise(config, prediction_type, timestep, seed):
    schedule = make_schedule(config)
    level = schedule.level(float(timestep))
    here = at(level.alpha, level.sigma, level.rescale)
    generator = torch.Generator().manual_seed(seed)
    x0, noise = torch.randn(2, 1, 2, 2, 2, 2, generator=generator, dtype=torch.float64)
    latents = level.signal * x0 + level.sigma * noise
    target = training_target(x0, noise, prediction_type, here)
    pred = prediction_from_output(target, latents, prediction_type, here)
    torch.testing.assert_close(pred.x0, x0)
    torch.testing.assert_close(pred.epsilon, noise)


@pytest.mark.parametrize("prediction_type", ["v_prediction", "sample", "flow_prediction"])
def test_pure_noise_can_be_read_by_every_type_but_epsilon(prediction_type, noise):
    x0, eps = noise(1, 2, 2, 2, 2).double(), noise(1, 2, 2, 2, 2, seed=1).double()
    here = at(0.0, 1.0)
    pred = prediction_from_output(training_target(x0, eps, prediction_type, here), eps, prediction_type, here)
    torch.testing.assert_close(pred.x0, x0)
    torch.testing.assert_close(pred.epsilon, eps)


def test_clean_latents_leave_the_noise_undetermined_but_finite(noise):
    x = noise(1, 2, 2, 2, 2).double()
    pred = prediction_from_output(x, x, "sample", at(1.0, 0.0))
    assert (pred.epsilon == 0).all()


def test_flow_points_towards_the_data(noise):
    x0, eps = noise(1, 2, 2, 2, 2).double(), noise(1, 2, 2, 2, 2, seed=1).double()
    torch.testing.assert_close(training_target(x0, eps, "flow_prediction", at(0.3, 0.7)), x0 - eps)


def test_an_unknown_type_is_refused(noise, unchecked_types):
    x = noise(1, 1, 1, 1, 1)
    for call in (training_target, prediction_from_output):
        with pytest.raises(ValueError, match="prediction_type='score' is unknown: use one of epsilon"):
            call(x, x, "score", at(1.0, 1.0))
