"""The one sampling loop: from noise to clean latents with any solver, schedule and guidance."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.guidance import GuidanceConfig, guided_prediction
from rufous.diffusion.schedules import NoiseLevel, Schedule
from rufous.diffusion.solvers import SOLVERS, Generators, History
from rufous.diffusion.timesteps import TimestepSpacing, check_shift, inference_timesteps, shift_timesteps

StepCallback = Callable[[int, float, Tensor, Tensor], None]
"""``callback(step_index, timestep, latents, pred_x0)`` after each step, with the latents it led to."""


class Cancelled(Exception):  # noqa: N818 - asked for, so not an error
    """Raise it from ``callback_on_step_end`` to stop :func:`sample`; it reaches sample's caller."""


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How latents are sampled; contradictions are refused here, before the first network call."""

    solver: Literal["ddim", "euler", "dpmpp_2m", "dpmpp_2m_sde", "lcm"] = "ddim"
    num_inference_steps: int = 50
    guidance_scale: float = 1.0
    """g in ``uncond + g * (cond - uncond)``; 1: no second pass, as ``cond.guidance_embeds`` needs."""
    guidance_rescale: float = 0.0
    """0 to 1; see :func:`~rufous.diffusion.guidance.rescale_guidance`."""
    guidance_interval: tuple[float, float] | None = None
    """Guide only where lowest <= timestep < highest; None: everywhere."""
    guidance_in_one_call: bool = True
    """False: two network calls of b in place of one of 2b, for less memory."""
    eta: float = 0.0
    """Fresh noise of ddim, 0 to 1; VideoCrafter2's published samples use 1."""
    timestep_spacing: TimestepSpacing = "trailing"
    num_origin_points: int = 50
    """Points of the distillation grid; read by the two lcm spacings."""
    timestep_shift: float = 1.0
    """r of :func:`~rufous.diffusion.timesteps.shift_for_size`; rectified flow only."""
    strength: float = 1.0
    """Share of the steps that is run, the last ones, to the nearest step; below 1 it is video to video."""
    final_level: Literal["clean", "first"] = "clean"
    """Where the last step ends: clean data, or timestep 0 and its bit of noise (VideoCrafter2)."""

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise ValueError(f"solver={self.solver!r} is unknown: use one of {', '.join(SOLVERS)}")
        steps = self.num_inference_steps
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"num_inference_steps={steps!r} is out of range: use a whole number from 1")
        if not 0.0 <= self.eta <= 1.0:
            raise ValueError(f"eta={self.eta} is out of range: use a number from 0 (deterministic) to 1")
        if self.eta > 0.0 and self.solver != "ddim":
            raise ValueError(f"eta={self.eta} has no meaning for {self.solver}: use eta=0, or solver='ddim'")
        if not 0.0 < self.strength <= 1.0:
            raise ValueError(f"strength={self.strength} is out of range: use a number above 0, up to 1")
        if self.final_level == "first" and self.solver == "lcm":
            raise ValueError(
                "final_level='first' has no meaning for lcm, whose last step is clean: use 'clean'"
            )
        self.guidance()

    def guidance(self) -> GuidanceConfig:
        """The guidance part, validated."""
        return GuidanceConfig(
            scale=self.guidance_scale,
            rescale=self.guidance_rescale,
            interval=self.guidance_interval,
            one_call=self.guidance_in_one_call,
        )


def sampling_timesteps(schedule: Schedule, config: SamplingConfig) -> list[float]:
    """The falling timesteps at which :func:`sample` calls the network; it starts from the noise of the first.

    Raises:
        ValueError: Steps, spacing or shift do not fit the schedule, or ``strength`` leaves no step.
    """
    check_shift(schedule, config.timestep_shift)
    grid = inference_timesteps(
        schedule,
        config.num_inference_steps,
        config.timestep_spacing,
        num_origin_points=config.num_origin_points,
    )
    if config.timestep_shift != 1.0:
        shifted = shift_timesteps(
            torch.tensor(grid, dtype=torch.float64),
            config.timestep_shift,
            num_train_timesteps=schedule.num_train_timesteps,
        )
        grid = [float(t) for t in shifted]
    num_run = round(config.strength * len(grid))
    if num_run == 0:
        raise ValueError(
            f"strength={config.strength} leaves none of {len(grid)} steps: use more of either, "
            f"for example strength={1 / len(grid):g}"
        )
    return grid[len(grid) - num_run :]


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    latents: Float[Tensor, "b c f h w"],
    cond: Conditioning,
    uncond: Conditioning | None,
    config: SamplingConfig,
    *,
    generator: Generators | None,
    callback_on_step_end: StepCallback | None = None,
) -> Float[Tensor, "b c f h w"]:
    """Turn noise into clean latents; no gradients are kept.

    Frames where ``cond.frame_mask`` is False are given: ``latents`` has them clean, and they come back as is.

    Args:
        denoiser: Network, schedule and prediction type.
        latents: Standard normal noise; with ``strength`` below 1, a video under ``denoiser.add_noise`` at
            the first of ``sampling_timesteps``.
        cond: What is wanted.
        uncond: Empty or negative prompt, with the same fields; None if ``guidance_scale`` is 1.
        config: Solver, steps, guidance.
        generator: Source of the solver's noise, one or one per sample; None only for a deterministic solver.
        callback_on_step_end: Called after each step; raises :class:`Cancelled` to stop.

    Returns:
        Clean latents in float32 or better, on the device of ``latents``.

    Raises:
        ValueError: Config, conditioning and schedule do not fit one another.
        FloatingPointError: The latents are not finite; the message names the step.
        Cancelled: The callback asked for it.
    """
    _check_guidance(cond, uncond, config)
    solve, guidance, schedule = SOLVERS[config.solver], config.guidance(), denoiser.schedule
    levels = [schedule.level(t) for t in sampling_timesteps(schedule, config)]
    levels.append(_final_level(schedule, config))
    latents = latents.to(torch.promote_types(latents.dtype, torch.float32))
    given = latents
    history: History = ()
    _check_finite(latents, "before the first step")
    for i, (now, after) in enumerate(itertools.pairwise(levels)):
        pred = guided_prediction(denoiser, latents, now.timestep, cond, uncond, guidance)
        latents, history = solve(latents, pred, now, after, history, eta=config.eta, generator=generator)
        if cond.frame_mask is not None:
            latents = torch.where(rearrange(cond.frame_mask, "b f -> b 1 f 1 1"), latents, given)
        _check_finite(latents, f"after step {i + 1} of {len(levels) - 1} (timestep {now.timestep:g})")
        if callback_on_step_end is not None:
            callback_on_step_end(i, now.timestep, latents, pred.x0)
    return latents


def _final_level(schedule: Schedule, config: SamplingConfig) -> NoiseLevel:
    return schedule.level(schedule.clean_timestep if config.final_level == "clean" else 0.0)


def _check_guidance(cond: Conditioning, uncond: Conditioning | None, config: SamplingConfig) -> None:
    if config.guidance_scale == 1.0:
        return
    if cond.guidance_embeds is not None:
        raise ValueError(
            f"guidance_scale={config.guidance_scale} with cond.guidance_embeds would guide twice: "
            "use guidance_scale=1 for a student that embeds its guidance"
        )
    if uncond is None:
        raise ValueError(
            f"guidance_scale={config.guidance_scale} needs uncond: "
            "pass the conditioning of the empty or negative prompt, or use guidance_scale=1"
        )


def _check_finite(latents: Tensor, when: str) -> None:
    if not bool(torch.isfinite(latents).all()):
        raise FloatingPointError(
            f"latents are not finite {when}: use bf16 or fp32 if this was fp16, else check the weights"
        )
