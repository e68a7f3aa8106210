"""Solvers: one function per update rule, all with the same signature, none with a state.

Each takes the latents at ``now``, the prediction there, and the lower noise level ``after``; it returns the
latents at ``after`` and the history that the next call needs (``()`` for a single-step solver). In the
formulas ``signal = alpha * rescale``, so VideoCrafter2's dynamic rescale is one thing for all of them.
Coefficients are float64 numbers, tensors float32 or better, as a
:class:`~rufous.diffusion.denoiser.Denoiser` predicts them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from rufous.diffusion.consistency import boundary_scalings
from rufous.diffusion.prediction import Prediction
from rufous.diffusion.schedules import NoiseLevel

Generators = torch.Generator | Sequence[torch.Generator]
"""One generator for the batch, or one per sample, which makes a sample independent of the batch it is in."""


@dataclass(frozen=True)
class Past:
    """The estimate of the clean latents at an earlier noise level."""

    x0: Float[Tensor, "b c f h w"]
    level: NoiseLevel


History = tuple[Past, ...]
Step = tuple[Float[Tensor, "b c f h w"], History]


class Solver(Protocol):
    """The signature of every solver."""

    def __call__(
        self,
        latents: Float[Tensor, "b c f h w"],
        pred: Prediction,
        now: NoiseLevel,
        after: NoiseLevel,
        history: History = (),
        *,
        eta: float = 0.0,
        generator: Generators | None = None,
    ) -> Step:
        """Latents at ``after``, and the history for the next call."""
        ...


def ddim_step(
    latents: Float[Tensor, "b c f h w"],
    pred: Prediction,
    now: NoiseLevel,
    after: NoiseLevel,
    history: History = (),
    *,
    eta: float = 0.0,
    generator: Generators | None = None,
) -> Step:
    """One DDIM update; ``eta`` from 0 (deterministic) to 1 (DDPM's amount of fresh noise z).

        x_after = signal_after * x0 + sqrt(sigma_after^2 - s^2) * epsilon + s * z
        s = eta * sigma_after * sqrt(1 - (alpha_now * sigma_after / (alpha_after * sigma_now))^2)

    For a variance-preserving schedule s equals the paper's
    ``eta * sigma_after / sigma_now * sqrt(1 - alpha_now^2 / alpha_after^2)``.

    Source: Song et al. 2021 (arXiv:2010.02502), eq. 12 and 16; the rescale: VideoCrafter2 (arXiv:2401.09047).
    """
    ratio = now.alpha * after.sigma / (after.alpha * now.sigma)
    noise_std = eta * after.sigma * math.sqrt(max(0.0, 1.0 - ratio**2))
    direction = math.sqrt(max(0.0, after.sigma**2 - noise_std**2))
    stepped = after.signal * pred.x0 + direction * pred.epsilon
    if noise_std > 0.0:
        stepped = stepped + noise_std * _noise_like(stepped, generator)
    return stepped, ()


def euler_step(
    latents: Float[Tensor, "b c f h w"],
    pred: Prediction,
    now: NoiseLevel,
    after: NoiseLevel,
    history: History = (),
    *,
    eta: float = 0.0,
    generator: Generators | None = None,
) -> Step:
    """One Euler step of the probability-flow ODE ``dx = x0 dsignal + epsilon dsigma``.

        x_after = x_now + (signal_after - signal_now) * x0 + (sigma_after - sigma_now) * epsilon

    For rectified flow this is ``x + v dt`` with ``v = x0 - epsilon``, Open-Sora's sampler. For every schedule
    it equals DDIM with eta 0, as long as x0 and epsilon explain the latents.

    Source: Liu et al. 2022 (arXiv:2209.03003); Open-Sora 1.2 (arXiv:2412.20404).
    """
    change = (after.signal - now.signal) * pred.x0 + (after.sigma - now.sigma) * pred.epsilon
    return latents + change, ()


def dpmpp_2m_step(
    latents: Float[Tensor, "b c f h w"],
    pred: Prediction,
    now: NoiseLevel,
    after: NoiseLevel,
    history: History = (),
    *,
    eta: float = 0.0,
    generator: Generators | None = None,
) -> Step:
    """One DPM-Solver++(2M) step: second order, one network call, deterministic.

        x_after = sigma_after/sigma_now * x_now + signal_after * (1 - exp(-h)) * D
        D = x0 + h / (2 h_last) * (x0 - x0_last),  h = lambda_after - lambda_now,  lambda = log(signal/sigma)

    The first step, the step to clean data and a step from pure noise are first order (D = x0).

    Source: Lu et al. 2022 (arXiv:2211.01095), algorithm 2.
    """
    h = after.half_log_snr - now.half_log_snr
    extrapolated = _extrapolated_x0(pred, now, after, history)
    stepped = after.sigma / now.sigma * latents - after.signal * math.expm1(-h) * extrapolated
    return stepped, (Past(pred.x0, now),)


def dpmpp_2m_sde_step(
    latents: Float[Tensor, "b c f h w"],
    pred: Prediction,
    now: NoiseLevel,
    after: NoiseLevel,
    history: History = (),
    *,
    eta: float = 0.0,
    generator: Generators | None = None,
) -> Step:
    """One SDE-DPM-Solver++(2M) step: second order in the drift, with fresh noise z at each step.

        x_after = sigma_after/sigma_now * exp(-h) * x_now + signal_after * (1 - exp(-2h)) * D
                  + sigma_after * sqrt(1 - exp(-2h)) * z

    D and h are those of :func:`dpmpp_2m_step`.

    Source: Lu et al. 2022 (arXiv:2211.01095), SDE-DPM-Solver++, midpoint form.
    """
    h = after.half_log_snr - now.half_log_snr
    extrapolated = _extrapolated_x0(pred, now, after, history)
    decay = after.sigma / now.sigma * math.exp(-h)
    stepped = decay * latents - after.signal * math.expm1(-2.0 * h) * extrapolated
    noise_std = after.sigma * math.sqrt(-math.expm1(-2.0 * h))
    if noise_std > 0.0:
        stepped = stepped + noise_std * _noise_like(stepped, generator)
    return stepped, (Past(pred.x0, now),)


def lcm_step(
    latents: Float[Tensor, "b c f h w"],
    pred: Prediction,
    now: NoiseLevel,
    after: NoiseLevel,
    history: History = (),
    *,
    eta: float = 0.0,
    generator: Generators | None = None,
) -> Step:
    """One multistep consistency step: estimate clean latents, then noise them afresh to the lower level.

        denoised = c_skip(t) * x_now + c_out(t) * x0
        x_after = signal_after * denoised + sigma_after * z

    At the last step (``after`` is clean) the result is ``denoised``.

    Source: Luo et al. 2023 (arXiv:2310.04378), algorithm 3; boundary scalings as in T2V-Turbo
    (arXiv:2405.18750).
    """
    scale = boundary_scalings(torch.tensor([now.timestep], dtype=torch.float64))
    denoised = float(scale.skip) * latents + float(scale.out) * pred.x0
    if after.sigma == 0.0:
        return after.signal * denoised, ()
    return after.signal * denoised + after.sigma * _noise_like(denoised, generator), ()


def standard_noise(shape: Sequence[int], generator: Generators) -> Tensor:
    """Standard normal float32 noise of ``shape``, drawn on the generator's own device.

    A CPU generator gives the same numbers whatever device the result is then moved to. With one generator per
    sample the numbers do not depend on the batch.

    Raises:
        ValueError: A sequence of generators has another length than ``shape[0]``.
    """
    if isinstance(generator, torch.Generator):
        return torch.randn(tuple(shape), generator=generator, device=generator.device)
    if len(generator) != shape[0]:
        raise ValueError(
            f"{len(generator)} generators do not fit a batch of {shape[0]}: pass one, or one per sample"
        )
    return torch.stack(
        [torch.randn(tuple(shape[1:]), generator=each, device=each.device) for each in generator]
    )


def _extrapolated_x0(pred: Prediction, now: NoiseLevel, after: NoiseLevel, history: History) -> Tensor:
    """D of DPM-Solver++(2M): x0 extrapolated to the middle of the step; plain x0 at both ends."""
    if not history or after.sigma == 0.0:
        return pred.x0
    last = history[-1]
    h_last = now.half_log_snr - last.level.half_log_snr
    if math.isinf(h_last):  # the last step came from pure noise
        return pred.x0
    weight = (after.half_log_snr - now.half_log_snr) / (2.0 * h_last)
    return pred.x0 + weight * (pred.x0 - last.x0)


def _noise_like(latents: Tensor, generator: Generators | None) -> Tensor:
    if generator is None:
        raise ValueError(
            "generator=None, but this step draws noise: pass a torch.Generator, or one per sample"
        )
    return standard_noise(latents.shape, generator).to(latents)


SOLVERS: dict[str, Solver] = {
    "ddim": ddim_step,
    "euler": euler_step,
    "dpmpp_2m": dpmpp_2m_step,
    "dpmpp_2m_sde": dpmpp_2m_sde_step,
    "lcm": lcm_step,
}
