import itertools
import math

import pytest
import torch

from rufous.diffusion.prediction import Prediction
from rufous.diffusion.schedules import NoiseLevel, ScheduleConfig, make_schedule
from rufous.diffusion.solvers import SOLVERS, ddim_step, euler_step, lcm_step, standard_noise

FLOW = make_schedule(ScheduleConfig(kind="rectified_flow"))


def vp_level(half_log_snr, rescale=1.0):
    """A level of a continuous variance-preserving schedule."""
    alpha2 = 1 / (1 + math.exp(-2 * half_log_snr))
    return NoiseLevel(alpha=alpha2**0.5, sigma=(1 - alpha2) ** 0.5, rescale=rescale, timestep=0.0)


def path(kind, num_steps):
    """Levels evenly spaced in the log-SNR (variance preserving), or in time (rectified flow)."""
    share = [i / num_steps for i in range(num_steps + 1)]
    if kind == "vp":
        return [vp_level(-3.0 + 6.0 * s) for s in share]
    if kind == "vp with rescale":
        return [vp_level(-3.0 + 6.0 * s, rescale=0.7 + 0.3 * s) for s in share]
    return [FLOW.level(950.0 - 900.0 * s) for s in share]


def integrate(solver, latents, levels, exact_prediction, **options):
    history = ()
    for now, after in itertools.pairwise(levels):
        pred = exact_prediction(latents, now)
        latents, history = SOLVERS[solver](latents, pred, now, after, history, **options)
    return latents


@pytest.mark.parametrize("kind", ["vp", "vp with rescale", "flow"])
@pytest.mark.parametrize(("solver", "order"), [("ddim", 1), ("euler", 1), ("dpmpp_2m", 2)])
def test_each_ode_solver_converges_at_its_order(kind, solver, order, exact_prediction, exact_flow, noise):
    start, errors = noise(4, 1, 1, 2, 2).double(), []
    for num_steps in (32, 64):
        levels = path(kind, num_steps)
        end = integrate(solver, start, levels, exact_prediction)
        errors.append(float((end - exact_flow(start, levels[0], levels[-1])).norm()))
    measured = math.log2(errors[0] / errors[1])
    assert measured == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("kind", ["vp", "vp with rescale", "flow"])
@pytest.mark.parametrize(("solver", "eta"), [("ddim", 1.0), ("ddim", 0.5), ("dpmpp_2m_sde", 0.0)])
def test_stochastic_solvers_are_right_in_distribution(kind, solver, eta, exact_prediction, noise):
    levels, generator = path(kind, 100), torch.Generator().manual_seed(1)
    first, last = levels[0], levels[-1]

    def mean_std(level):
        return level.signal * 1.5, math.hypot(level.signal * 0.5, level.sigma)

    mean, std = mean_std(first)
    start = mean + std * noise(20000, 1, 1, 1, 1)
    end = integrate(solver, start, levels, exact_prediction, eta=eta, generator=generator)
    mean, std = mean_std(last)
    assert float(end.mean()) == pytest.approx(mean, abs=0.02)
    assert float(end.std()) == pytest.approx(std, rel=0.04)


@pytest.mark.parametrize("solver", list(SOLVERS))
@pytest.mark.parametrize("kind", ["vp", "flow"])
def test_every_solver_ends_at_the_estimate_when_the_next_level_is_clean(solver, kind, noise):
    now = path(kind, 4)[2]
    now = NoiseLevel(alpha=now.alpha, sigma=now.sigma, rescale=0.7, timestep=500.0)
    clean = NoiseLevel(alpha=1.0, sigma=0.0, rescale=1.0, timestep=0.0)
    x0, eps = noise(1, 1, 1, 2, 2), noise(1, 1, 1, 2, 2, seed=1)
    latents = now.signal * x0 + now.sigma * eps
    end, _ = SOLVERS[solver](latents, Prediction(x0, eps), now, clean)
    torch.testing.assert_close(end, x0, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("solver", ["ddim", "euler", "dpmpp_2m", "dpmpp_2m_sde", "lcm"])
def test_every_solver_can_leave_pure_noise(solver, exact_prediction, noise):
    levels = [FLOW.level(t) for t in (1000.0, 750.0, 500.0, 250.0, 0.0)]
    end = integrate(
        solver, noise(4, 1, 1, 2, 2), levels, exact_prediction, generator=torch.Generator().manual_seed(0)
    )
    assert end.isfinite().all()


@pytest.mark.parametrize("kind", ["vp", "vp with rescale", "flow"])
def test_euler_is_ddim_without_fresh_noise(kind, exact_prediction, noise):
    now, after = path(kind, 5)[1:3]
    latents = noise(2, 1, 1, 2, 2).double()
    pred = exact_prediction(latents, now)
    torch.testing.assert_close(
        euler_step(latents, pred, now, after)[0], ddim_step(latents, pred, now, after)[0]
    )


def test_euler_on_rectified_flow_is_x_plus_v_dt(noise):
    x0, eps = noise(1, 1, 1, 2, 2), noise(1, 1, 1, 2, 2, seed=1)
    now, after = FLOW.level(600.0), FLOW.level(500.0)
    latents = now.alpha * x0 + now.sigma * eps
    stepped, _ = euler_step(latents, Prediction(x0, eps), now, after)
    torch.testing.assert_close(stepped, latents + 0.1 * (x0 - eps))


def test_ddim_with_eta_one_adds_the_papers_amount_of_noise(noise):
    now, after = vp_level(-1.0), vp_level(0.5)
    zeros = torch.zeros(2, 1, 1, 2, 2)
    generator = torch.Generator().manual_seed(3)
    stepped, _ = ddim_step(zeros, Prediction(zeros, zeros), now, after, eta=1.0, generator=generator)
    std = after.sigma / now.sigma * math.sqrt(1 - now.alpha**2 / after.alpha**2)
    torch.testing.assert_close(stepped, std * noise(2, 1, 1, 2, 2, seed=3))


def test_a_step_that_draws_noise_asks_for_a_generator(noise):
    now, after = vp_level(-1.0), vp_level(0.5)
    pred = Prediction(noise(1, 1, 1, 2, 2), noise(1, 1, 1, 2, 2))
    with pytest.raises(ValueError, match="generator=None"):
        lcm_step(pred.x0, pred, now, after)


def test_one_generator_per_sample_makes_a_sample_independent_of_its_batch():
    def generators(*seeds):
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    together = standard_noise((3, 2, 1, 2, 2), generators(0, 1, 2))
    alone = standard_noise((1, 2, 1, 2, 2), generators(1))
    assert torch.equal(together[1:2], alone)
    with pytest.raises(ValueError, match="2 generators do not fit a batch of 3"):
        standard_noise((3, 2, 1, 2, 2), generators(0, 1))
