"""A network and its schedule as one meaning: noisy latents in, estimates of clean latents and noise out."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from rufous.core.types import Conditioning
from rufous.diffusion.prediction import (
    PREDICTION_TYPES,
    Coefficients,
    Prediction,
    PredictionType,
    prediction_from_output,
    training_target,
)
from rufous.diffusion.schedules import Schedule

Network = Callable[[Tensor, Tensor, Conditioning], Tensor]
"""``network(latents [b c f h w], timesteps [b], cond) -> [b c f h w]``; any callable will do."""


@dataclass(frozen=True, eq=False)
class Denoiser:
    """A network with the schedule and the prediction type its weights were trained for.

    Owns no state. Arithmetic is float32, or float64 if the latents are. The network gets latents and
    timesteps in float32 and casts them itself, after its sinusoids: bfloat16 cannot hold timestep 999.
    ``cond`` is passed on untouched.

    Raises:
        ValueError: An unknown prediction type, or ``epsilon`` with a schedule that reaches alpha = 0.
    """

    network: Network
    schedule: Schedule
    prediction_type: PredictionType = "epsilon"

    def __post_init__(self) -> None:
        if self.prediction_type not in PREDICTION_TYPES:
            raise ValueError(
                f"prediction_type={self.prediction_type!r} is unknown: "
                f"use one of {', '.join(PREDICTION_TYPES)}"
            )
        if self.prediction_type == "epsilon" and self.schedule.reaches_pure_noise:
            raise ValueError(
                "prediction_type='epsilon' does not fit a schedule whose last timestep is pure noise, since "
                "epsilon says nothing about x0 there: use 'v_prediction', 'sample' or 'flow_prediction'"
            )

    def __call__(
        self, latents: Float[Tensor, "b c f h w"], timesteps: Float[Tensor, " b"], cond: Conditioning
    ) -> Prediction:
        """Estimate clean latents and noise; one network call."""
        return self.read(self.output(latents, timesteps, cond), latents, timesteps)

    def output(
        self, latents: Float[Tensor, "b c f h w"], timesteps: Float[Tensor, " b"], cond: Conditioning
    ) -> Float[Tensor, "b c f h w"]:
        """The network's raw output, in float32 or better; its meaning is ``prediction_type``."""
        latents = _precise(latents)
        return self.network(latents, timesteps.float(), cond).to(latents.dtype)

    def read(
        self,
        output: Float[Tensor, "b c f h w"],
        latents: Float[Tensor, "b c f h w"],
        timesteps: Float[Tensor, " b"],
    ) -> Prediction:
        """Turn a raw output (of the network, or guided) at noisy ``latents`` into clean latents and noise."""
        latents = _precise(latents)
        at = self.coefficients(timesteps, latents.dtype)
        return prediction_from_output(_precise(output), latents, self.prediction_type, at)

    def add_noise(
        self,
        x0: Float[Tensor, "b c f h w"],
        noise: Float[Tensor, "b c f h w"],
        timesteps: Float[Tensor, " b"],
        *,
        frame_mask: Bool[Tensor, "b f"] | None = None,
    ) -> Float[Tensor, "b c f h w"]:
        """Noisy latents ``alpha * rescale * x0 + sigma * noise``.

        With the two estimates of a :class:`Prediction` for ``x0`` and ``noise`` it is a DDIM step (eta 0).

        Args:
            x0: Clean latents.
            noise: Standard normal noise.
            timesteps: Noise level of each sample.
            frame_mask: True where a frame is generated; frames with False stay clean (Open-Sora 1.2).
        """
        x0 = _precise(x0)
        at = self.coefficients(timesteps, x0.dtype)
        noisy = at.alpha * at.rescale * x0 + at.sigma * _precise(noise)
        if frame_mask is None:
            return noisy
        return torch.where(rearrange(frame_mask, "b f -> b 1 f 1 1"), noisy, x0)

    def target(
        self,
        x0: Float[Tensor, "b c f h w"],
        noise: Float[Tensor, "b c f h w"],
        timesteps: Float[Tensor, " b"],
    ) -> Float[Tensor, "b c f h w"]:
        """What the network should output at ``add_noise(x0, noise, timesteps)``."""
        x0, noise = _precise(x0), _precise(noise)
        return training_target(x0, noise, self.prediction_type, self.coefficients(timesteps, x0.dtype))

    def coefficients(
        self, timesteps: Float[Tensor, " b"], dtype: torch.dtype = torch.float32
    ) -> Coefficients:
        """alpha, sigma and rescale of each sample, shaped to multiply latents of ``dtype``."""
        alpha, sigma, rescale = (
            rearrange(value.to(dtype), "b -> b 1 1 1 1")
            for value in (
                self.schedule.alpha(timesteps),
                self.schedule.sigma(timesteps),
                self.schedule.rescale(timesteps),
            )
        )
        return Coefficients(alpha=alpha, sigma=sigma, rescale=rescale)


def _precise(x: Tensor) -> Tensor:
    """``x`` in float32, or as it is if that is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
