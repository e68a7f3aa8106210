import math

import pytest
import torch

from rufous.core.config import from_json_dict, to_json_dict
from rufous.diffusion.schedules import (
    RectifiedFlowSchedule,
    ScheduleConfig,
    VPSchedule,
    alphas_cumprod,
    make_schedule,
)

VP_CONFIGS = [
    ScheduleConfig(),
    ScheduleConfig(kind="linear", beta_end=0.014),
    ScheduleConfig(kind="cosine"),
    ScheduleConfig(rescale_zero_terminal_snr=True),
    ScheduleConfig(dynamic_rescale=0.7),
    ScheduleConfig(noise_shift=2.0),
]


def every_timestep(schedule):
    return torch.arange(schedule.num_train_timesteps).float()


@pytest.mark.parametrize(
    ("config", "last"),
    [
        (ScheduleConfig(), 0.00466),
        (ScheduleConfig(kind="linear"), 0.001579),
        (ScheduleConfig(kind="linear", beta_end=0.014), 0.000576),
    ],
)
def test_the_last_alphas_cumprod_is_the_published_one(config, last):
    assert float(alphas_cumprod(config)[-1]) == pytest.approx(last, rel=2e-3)


@pytest.mark.parametrize("config", VP_CONFIGS)
def test_variance_is_preserved_and_noise_only_grows(config):
    schedule = VPSchedule(config)
    t = every_timestep(schedule)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(t))
    assert (sigma.diff() > 0).all()
    assert (schedule.log_snr(t).diff() < 0).all()


@pytest.mark.parametrize("config", [*VP_CONFIGS, ScheduleConfig(kind="rectified_flow")])
def test_a_level_holds_the_numbers_of_the_tensors(config):
    schedule = make_schedule(config)
    for timestep in (1.0, 250.0, 998.0):
        level, t = schedule.level(timestep), torch.tensor([timestep])
        assert level.alpha == pytest.approx(float(schedule.alpha(t)), rel=1e-6)
        assert level.sigma == pytest.approx(float(schedule.sigma(t)), rel=1e-6)
        assert level.rescale == pytest.approx(float(schedule.rescale(t)), rel=1e-6)
        assert 2 * level.half_log_snr == pytest.approx(float(schedule.log_snr(t)), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("config", [*VP_CONFIGS, ScheduleConfig(kind="rectified_flow")])
def test_the_clean_timestep_is_clean(config):
    schedule = make_schedule(config)
    level, t = schedule.level(schedule.clean_timestep), torch.tensor([schedule.clean_timestep])
    assert (level.alpha, level.sigma, level.rescale) == (1.0, 0.0, 1.0)
    assert level.half_log_snr == math.inf
    assert (float(schedule.alpha(t)), float(schedule.sigma(t)), float(schedule.rescale(t))) == (1.0, 0.0, 1.0)


def test_zero_terminal_snr_ends_in_pure_noise_and_keeps_the_first_value():
    plain, shifted = ScheduleConfig(), ScheduleConfig(rescale_zero_terminal_snr=True)
    last = VPSchedule(shifted).level(999.0)
    assert (last.alpha, last.sigma) == (0.0, 1.0)
    assert last.half_log_snr == -math.inf
    assert VPSchedule(shifted).reaches_pure_noise
    torch.testing.assert_close(alphas_cumprod(shifted)[0], alphas_cumprod(plain)[0])


def test_a_noise_shift_divides_the_signal_to_noise_ratio_by_its_square():
    t = torch.arange(1000).float()
    plain, shifted = VPSchedule(ScheduleConfig()), VPSchedule(ScheduleConfig(noise_shift=3.0))
    torch.testing.assert_close(shifted.log_snr(t), plain.log_snr(t) - 2 * math.log(3.0), atol=1e-5, rtol=1e-5)


def test_the_dynamic_rescale_falls_over_the_first_400_timesteps():
    schedule = VPSchedule(ScheduleConfig(dynamic_rescale=0.7))
    rescale = schedule.rescale(every_timestep(schedule))
    torch.testing.assert_close(rescale[:400], torch.linspace(1.0, 0.7, 400))
    torch.testing.assert_close(rescale[400:], torch.full((600,), 0.7))


def test_rectified_flow_is_a_straight_line():
    schedule = RectifiedFlowSchedule()
    t = torch.tensor([0.0, 250.0, 999.5, 1000.0])
    torch.testing.assert_close(schedule.alpha(t), torch.tensor([1.0, 0.75, 0.0005, 0.0]))
    torch.testing.assert_close(schedule.sigma(t), torch.tensor([0.0, 0.25, 0.9995, 1.0]))


def test_a_timestep_outside_the_table_is_refused_or_nan_but_never_rounded():
    schedule = VPSchedule(ScheduleConfig())
    for timestep in (999.5, 1000.0, -2.0):
        with pytest.raises(ValueError, match="is not in the table"):
            schedule.level(timestep)
    assert schedule.alpha(torch.tensor([1.5, -2.0, -0.5])).isnan().all()
    with pytest.raises(ValueError, match="use 0 to 1000"):
        RectifiedFlowSchedule().level(1000.1)


def test_tables_made_in_inference_mode_can_be_differentiated_through_later():
    config = ScheduleConfig(beta_end=0.0123)  # seen by no other test, so that the memo is empty
    with torch.inference_mode():
        VPSchedule(config).alpha(torch.tensor([5.0]))
    x = torch.ones(1, requires_grad=True)
    (VPSchedule(config).alpha(torch.tensor([5.0])) * x).sum().backward()
    assert x.grad is not None


def test_a_config_survives_json():
    config = ScheduleConfig(kind="cosine", dynamic_rescale=0.7)
    assert from_json_dict(ScheduleConfig, to_json_dict(config)) == config


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_train_timesteps": 1}, "num_train_timesteps=1"),
        ({"beta_start": 0.02}, "beta_start=0.02"),
        ({"beta_end": math.nan}, "beta_end=nan"),
        ({"noise_shift": 0.0}, r"noise_shift=0\.0"),
        ({"dynamic_rescale": 0.0}, r"dynamic_rescale=0\.0"),
        ({"kind": "rectified_flow", "dynamic_rescale": 0.7}, "rectified_flow"),
        ({"kind": "rectified_flow", "rescale_zero_terminal_snr": True}, "rectified_flow"),
    ],
)
def test_a_contradictory_config_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ScheduleConfig(**fields)


def test_each_schedule_class_refuses_the_other_kind():
    with pytest.raises(ValueError, match="make_schedule"):
        VPSchedule(ScheduleConfig(kind="rectified_flow"))
    with pytest.raises(ValueError, match="make_schedule"):
        RectifiedFlowSchedule(ScheduleConfig())
