"""Which timesteps a run visits: grids for inference, the shift for large videos, and draws for training.

Counts for T = 1000 training timesteps. The grids of a variance-preserving schedule are whole numbers 0 ..
999; those of rectified flow lie one higher, since its clean data is at 0 instead of -1.
"""

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rufous.diffusion.schedules import RectifiedFlowSchedule, Schedule

TimestepSpacing = Literal["trailing", "leading", "linspace", "lcm", "lcm_even"]

SHIFT_BASE_PX = 512 * 512  # Open-Sora 1.2: no shift for one frame of 512 x 512


def inference_timesteps(
    schedule: Schedule, num_steps: int, spacing: TimestepSpacing = "trailing", *, num_origin_points: int = 50
) -> list[float]:
    """The ``num_steps`` falling timesteps at which the network is called.

    ==========  ============================================  ===============================================
    spacing     4 steps of 1000                               who
    ==========  ============================================  ===============================================
    trailing    999, 749, 499, 249                            arXiv:2305.08891; the only one fit for zero SNR
    leading     751, 501, 251, 1                              Stable Diffusion, VideoCrafter2 (offset 1)
    linspace    999, 666, 333, 0                              DDPM code
    lcm         999, 759, 519, 279                            T2V-Turbo: each floor(50/4)-th of the grid
    lcm_even    999, 759, 499, 259                            AnimateLCM, diffusers: evenly over the grid
    ==========  ============================================  ===============================================

    The grid of the last two has ``num_origin_points`` points 19, 39, .. 999, the points of the distillation.

    Raises:
        ValueError: ``num_steps`` or the spacing does not fit the schedule.
    """
    total = schedule.num_train_timesteps
    _check_steps(num_steps, total)
    if isinstance(schedule, RectifiedFlowSchedule):
        if spacing == "trailing":
            return [total * (1.0 - i / num_steps) for i in range(num_steps)]
        if spacing in ("leading", "linspace"):
            raise ValueError(
                f"timestep_spacing={spacing!r} does not fit rectified flow: use 'trailing' or an lcm grid"
            )
    if spacing in ("lcm", "lcm_even"):
        grid = _lcm_grid(total, num_steps, num_origin_points, even=spacing == "lcm_even")
        return [float(t + 1 + schedule.clean_timestep) for t in grid]
    if spacing == "trailing":
        grid = np.round(np.arange(total, 0, -total / num_steps))[:num_steps] - 1
    elif spacing == "linspace":
        if num_steps == 1:
            raise ValueError(
                "timestep_spacing='linspace' with 1 step would start at timestep 0: use 'trailing'"
            )
        grid = np.round(np.linspace(0, total - 1, num_steps))[::-1]
    else:
        grid = (np.arange(num_steps) * (total // num_steps) + 1)[::-1]
        if grid[0] >= total:
            raise ValueError(
                f"timestep_spacing='leading' with {num_steps} steps reaches timestep {grid[0]}, but the last "
                f"one is {total - 1}: use fewer steps or 'trailing'"
            )
    return [float(t) for t in grid]


def _lcm_grid(total: int, num_steps: int, num_points: int, *, even: bool) -> list[int]:
    if num_points < 1 or total % num_points:
        raise ValueError(
            f"num_origin_points={num_points} does not divide {total} timesteps: "
            "use a divisor, for example 50 or 200"
        )
    if num_steps > num_points:
        raise ValueError(
            f"num_inference_steps={num_steps} is more than the {num_points} points of the distillation grid: "
            f"use 1 to {num_points}"
        )
    falling = [(total // num_points) * i - 1 for i in range(num_points, 0, -1)]
    if even:
        return [falling[num_points * i // num_steps] for i in range(num_steps)]
    return falling[:: num_points // num_steps][:num_steps]


def shift_for_size(height: int, width: int, num_latent_frames: int) -> float:
    """Open-Sora's shift r: larger videos need more noise to hide as much.

        r = sqrt(height * width / 512^2) * sqrt(num_latent_frames)

    The release writes ``5 * floor(num_frames / 17)`` for the last factor, which is the latent length of 17 k
    frames, and 0 for 2 to 16 frames, where every timestep collapses; the true latent length has no such hole.

    Args:
        height: Of the decoded video, pixels.
        width: Of the decoded video, pixels.
        num_latent_frames: Frames of the latents; 1 for an image.

    Raises:
        ValueError: A size below 1.

    Source: Open-Sora 1.2 (arXiv:2412.20404), timestep transform; after Esser et al. 2024 (arXiv:2403.03206),
    eq. 23.
    """
    if min(height, width, num_latent_frames) < 1:
        raise ValueError(
            f"height={height}, width={width}, num_latent_frames={num_latent_frames} is no video: "
            "use 1 or more for each"
        )
    return math.sqrt(height * width / SHIFT_BASE_PX) * math.sqrt(num_latent_frames)


def shift_timesteps(
    timesteps: Float[Tensor, " n"], shift: float | Float[Tensor, " n"], *, num_train_timesteps: int = 1000
) -> Float[Tensor, " n"]:
    """Move timesteps of rectified flow towards noise (shift > 1) or data (shift < 1); 0 and T stay.

        u' = r * u / (1 + (r - 1) * u),  u = t / T

    Use it on draws for training and on inference grids alike.

    Source: Esser et al. 2024 (arXiv:2403.03206), eq. 23; Open-Sora 1.2 (arXiv:2412.20404).
    """
    u = timesteps / num_train_timesteps
    return num_train_timesteps * shift * u / (1.0 + (shift - 1.0) * u)


def draw_timesteps(
    schedule: Schedule,
    batch_size: int,
    generator: torch.Generator,
    *,
    distribution: Literal["uniform", "logit_normal"] = "uniform",
    shift: float = 1.0,
) -> Float[Tensor, " b"]:
    """Timesteps for a training batch, float32, on the generator's device.

    A variance-preserving schedule draws whole numbers 0 .. T-1; rectified flow continuous ones in (0, T),
    then shifted. ``logit_normal`` is ``T * sigmoid(z)``, z standard normal, which favours the middle.

    Raises:
        ValueError: A shift with a variance-preserving schedule, or one that is not positive.

    Source: Ho et al. 2020 (arXiv:2006.11239), uniform; Esser et al. 2024 (arXiv:2403.03206), logit-normal.
    """
    check_shift(schedule, shift)
    total, device = schedule.num_train_timesteps, generator.device
    is_flow = isinstance(schedule, RectifiedFlowSchedule)
    if distribution == "logit_normal":
        u = torch.randn(batch_size, generator=generator, device=device).sigmoid()
    elif is_flow:
        u = torch.rand(batch_size, generator=generator, device=device)
    else:
        return torch.randint(total, (batch_size,), generator=generator, device=device).float()
    if not is_flow:
        return (total * u).floor().clamp(max=total - 1)
    return shift_timesteps(total * u, shift, num_train_timesteps=total)


def check_shift(schedule: Schedule, shift: float) -> None:
    """Refuse a shift that is not positive, and any but 1 for a variance-preserving schedule.

    Raises:
        ValueError: See above.
    """
    if not 0.0 < shift < math.inf:
        raise ValueError(f"timestep_shift={shift} is out of range: use a positive number, 1 for no shift")
    if shift != 1.0 and not isinstance(schedule, RectifiedFlowSchedule):
        raise ValueError(
            f"timestep_shift={shift} is for rectified flow: use 1 with a variance-preserving schedule"
        )


def _check_steps(num_steps: int, total: int) -> None:
    if not 1 <= num_steps <= total:
        raise ValueError(
            f"num_inference_steps={num_steps} is out of range: use a whole number from 1 to {total}"
        )
