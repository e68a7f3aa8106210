"""Consistency models: the boundary condition, and the grid of points on which a student is distilled.

The student's consistency function ``f(x, t) = c_skip(t) * x + c_out(t) * x0(x, t)`` is x itself at t = 0.
Distillation draws a point of a grid, lets the teacher take one DDIM step to the point below, and asks f to
agree at both::

    index = draw_grid_index(batch_size, num_points, generator)
    now, before = grid_timesteps(index, schedule, num_points)
    noisy = denoiser.add_noise(x0, noise, now)
    less_noisy = teacher.add_noise(pred.x0, pred.epsilon, before)     # the DDIM step, eta 0
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from rufous.diffusion.schedules import Schedule

SIGMA_DATA = 0.5  # standard deviation of latents that the boundary condition assumes; LCM and T2V-Turbo
TIMESTEP_SCALING = 10.0  # LCM and T2V-Turbo


@dataclass(frozen=True)
class BoundaryScalings:
    """c_skip and c_out of each sample."""

    skip: Float[Tensor, " b"]
    out: Float[Tensor, " b"]


def boundary_scalings(
    timesteps: Float[Tensor, " b"],
    *,
    sigma_data: float = SIGMA_DATA,
    timestep_scaling: float = TIMESTEP_SCALING,
) -> BoundaryScalings:
    """Factors that make the consistency function the identity at timestep 0.

        c_skip = sigma_data^2 / (s^2 + sigma_data^2)
        c_out = s / sqrt(s^2 + sigma_data^2),  s = timestep_scaling * t

    c_skip is 1 at t = 0, 0.0025 at t = 1 and 7e-6 at t = 19: beyond t = 0 the function is x0 in all but name.

    Returns:
        Both in [0, 1]; float32, or float64 if ``timesteps`` are.

    Source: Song et al. 2023 (arXiv:2303.01469), appendix C, in the form of Luo et al. 2023
    (arXiv:2310.04378), whose c_out has no factor sigma_data.
    """
    s = timestep_scaling * timesteps.to(torch.promote_types(timesteps.dtype, torch.float32))
    norm = s**2 + sigma_data**2
    return BoundaryScalings(skip=sigma_data**2 / norm, out=s * norm.rsqrt())


def consistency_function(
    latents: Float[Tensor, "b c f h w"],
    x0: Float[Tensor, "b c f h w"],
    timesteps: Float[Tensor, " b"],
    *,
    sigma_data: float = SIGMA_DATA,
    timestep_scaling: float = TIMESTEP_SCALING,
) -> Float[Tensor, "b c f h w"]:
    """The clean latents that a consistency model answers: ``c_skip(t) * latents + c_out(t) * x0``.

    Args:
        latents: Noisy latents at ``timesteps``.
        x0: The network's estimate of the clean latents there, ``denoiser(latents, timesteps, cond).x0``.
        timesteps: Timestep of each sample, 0 .. T.
        sigma_data: See :func:`boundary_scalings`.
        timestep_scaling: See :func:`boundary_scalings`.

    Source: arXiv:2303.01469, eq. 5; arXiv:2310.04378, eq. 9.
    """
    scale = boundary_scalings(timesteps, sigma_data=sigma_data, timestep_scaling=timestep_scaling)
    skip, out = (rearrange(value, "b -> b 1 1 1 1").to(x0.dtype) for value in (scale.skip, scale.out))
    return skip * latents + out * x0


def draw_grid_index(batch_size: int, num_points: int, generator: torch.Generator) -> Int[Tensor, " b"]:
    """Uniform indices 0 .. num_points-1 into the distillation grid, on the generator's device."""
    return torch.randint(num_points, (batch_size,), generator=generator, device=generator.device)


def grid_timesteps(
    index: Int[Tensor, " b"], schedule: Schedule, num_points: int = 50
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Timesteps of grid points ``index`` and of the points below them.

    With k = T / num_points, a variance-preserving schedule has ``k * (index + 1) - 1`` (19, 39, .. 999 for 50
    points of 1000) and rectified flow, whose clean data is at 0, ``k * (index + 1)``. The point below is k
    lower, and 0 for the first.

    Trap: for a variance-preserving schedule that 0 is the first *noisy* table entry, not clean data.

    Raises:
        ValueError: ``num_points`` does not divide T.

    Source: T2V-Turbo (arXiv:2405.18750), 50 points; T2V-Turbo-v2 and AnimateLCM use 200 and 100.
    """
    total = schedule.num_train_timesteps
    if num_points < 1 or total % num_points:
        raise ValueError(
            f"num_points={num_points} does not divide {total} timesteps: use a divisor, for example 50 or 200"
        )
    spacing = total // num_points
    timesteps = (spacing * (index + 1)).float() + schedule.clean_timestep
    return timesteps, (timesteps - spacing).clamp(min=0.0)
