"""An exactly solvable world: data from a normal distribution, whose best denoiser is known in closed form."""

from collections.abc import Callable, Iterator

import jaxtyping
import pytest
import torch
from torch import Tensor

from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.prediction import Coefficients, Prediction, PredictionType, training_target
from rufous.diffusion.schedules import NoiseLevel, ScheduleConfig, make_schedule

MEAN, STD = 1.5, 0.5


def posterior(latents: Tensor, signal: Tensor | float, sigma: Tensor | float) -> Prediction:
    """E[x0 | latents] and E[epsilon | latents] for x0 ~ N(MEAN, STD^2)."""
    variance = (signal * STD) ** 2 + sigma**2
    innovation = (latents - signal * MEAN) / variance
    return Prediction(MEAN + STD**2 * signal * innovation, sigma * innovation)


@pytest.fixture
def exact_prediction() -> Callable[[Tensor, NoiseLevel], Prediction]:
    """The posterior mean at one noise level."""
    return lambda latents, level: posterior(latents, level.signal, level.sigma)


@pytest.fixture
def exact_flow() -> Callable[[Tensor, NoiseLevel, NoiseLevel], Tensor]:
    """Exact solution of the probability-flow ODE: distances from the mean scale with the spread."""

    def flow(latents: Tensor, now: NoiseLevel, after: NoiseLevel) -> Tensor:
        def spread(level: NoiseLevel) -> float:
            return ((level.signal * STD) ** 2 + level.sigma**2) ** 0.5

        return after.signal * MEAN + (latents - now.signal * MEAN) * spread(after) / spread(now)

    return flow


@pytest.fixture
def gaussian_denoiser() -> Callable[..., Denoiser]:
    """``gaussian_denoiser(config, prediction_type)``: the exact denoiser, in the given type."""

    def build(
        config: ScheduleConfig, prediction_type: PredictionType, *, is_consistency: bool = False
    ) -> Denoiser:
        schedule = make_schedule(config)

        def network(latents: Tensor, timesteps: Tensor, cond: Conditioning) -> Tensor:
            alpha, sigma, rescale = (
                value.to(latents.dtype)[:, None, None, None, None]
                for value in (
                    schedule.alpha(timesteps),
                    schedule.sigma(timesteps),
                    schedule.rescale(timesteps),
                )
            )
            signal = alpha * rescale
            pred = posterior(latents, signal, sigma)
            if is_consistency:  # where the ODE through the latents ends
                spread = ((signal * STD) ** 2 + sigma**2).sqrt()
                x0 = MEAN + STD / spread * (latents - signal * MEAN)
                pred = Prediction(x0, (latents - signal * x0) / sigma)
            at = Coefficients(alpha=alpha, sigma=sigma, rescale=rescale)
            return training_target(pred.x0, pred.epsilon, prediction_type, at)

        return Denoiser(network, schedule, prediction_type)

    return build


@pytest.fixture
def noise() -> Callable[..., Tensor]:
    """``noise(b, c, f, h, w, seed=0)``: standard normal latents."""
    return lambda *shape, seed=0: torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def unchecked_types() -> Iterator[None]:
    """Turn the test run's type checks off, to see what a user without them gets."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
