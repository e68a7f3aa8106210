"""Plain diffusion training: noise clean latents, predict, compare. Pre-training and recovery after pruning use it.

Shapes: b batch, c channels, f latent frames, h w latent height and width, s text tokens, d text features.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.prediction import Coefficients, PredictionType
from rufous.diffusion.schedules import RectifiedFlowSchedule, Schedule


@dataclass(frozen=True, kw_only=True)
class LatentBatch:
    """Clean latents of clips (scaled as the network expects) and what describes them."""

    latents: Float[Tensor, "b c f h w"]
    cond: Conditioning

    def __len__(self) -> int:
        return len(self.latents)

    def to(self, device: torch.device | str) -> "LatentBatch":
        """Move everything to ``device``."""
        return LatentBatch(latents=self.latents.to(device), cond=self.cond.to(device))


@dataclass(frozen=True, kw_only=True)
class DenoisingConfig:
    """How plain diffusion training draws noise levels and weighs them."""

    caption_dropout: float = 0.1  # Ho & Salimans 2022 (arXiv:2207.12598): 0.1 to 0.2
    """Share of examples whose caption is replaced by the empty one, so that guidance works later."""
    timestep_sampling: Literal["uniform", "logit_normal"] = "uniform"
    timestep_shift: float = 1.0
    """Above 1 favours noisy timesteps: u becomes shift * u / (1 + (shift - 1) * u)."""
    loss_weighting: Literal["none", "min_snr"] = "none"
    min_snr_gamma: float = 5.0  # Hang et al. 2023 (arXiv:2303.09556), section 3.4

    def __post_init__(self) -> None:
        if not 0.0 <= self.caption_dropout < 1.0:
            raise ValueError(
                f"caption_dropout={self.caption_dropout} is no share: use 0 or more and less than 1"
            )
        if self.timestep_shift <= 0.0 or self.min_snr_gamma <= 0.0:
            raise ValueError("timestep_shift and min_snr_gamma must be above 0")


class DenoisingObjective:
    """Mean squared error between the network's output and its target at random noise levels.

        loss = mean over examples of  w(t) * mean((output(x_t, t, cond) - target)^2)

    Frames with ``cond.frame_mask`` False are given: they stay clean and carry no loss.
    Owns nothing that changes but the network's weights.
    """

    def __init__(
        self, denoiser: Denoiser, uncond: Conditioning, config: DenoisingConfig | None = None
    ) -> None:
        """Train the network inside ``denoiser``.

        Args:
            denoiser: Its network must be an ``nn.Module``; it becomes ``trainable``.
            uncond: The empty caption, batch of 1: ``prompt_embeds`` and, if captions have one, ``prompt_mask``.
            config: Noise levels, weights and caption dropout; the defaults when None.

        Raises:
            ValueError: The denoiser's network is a plain function.
        """
        if not isinstance(denoiser.network, nn.Module):
            raise ValueError("denoiser.network is no nn.Module: there is nothing to train")
        self.trainable: nn.Module = denoiser.network
        self._denoiser = denoiser
        self._uncond = uncond
        self._config = config or DenoisingConfig()

    def loss(
        self, batch: LatentBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Noise the batch, predict, compare; logs the error by quarter of the timesteps (1 nearly clean, 4 noisiest)."""
        config, denoiser, latents = self._config, self._denoiser, batch.latents
        cond = drop_captions(batch.cond, self._uncond, config.caption_dropout, generator)
        timesteps = sample_timesteps(denoiser.schedule, len(batch), config, generator)
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)

        noisy = denoiser.add_noise(latents, noise, timesteps, frame_mask=cond.frame_mask)
        output = denoiser.output(noisy, timesteps, cond)
        error = squared_error(output, denoiser.target(latents, noise, timesteps), cond.frame_mask)
        weighted = error
        if config.loss_weighting == "min_snr":
            at = denoiser.coefficients(timesteps)
            weighted = error * min_snr_weight(denoiser.prediction_type, at, config.min_snr_gamma)
        return weighted.mean(), self._by_quarter(error.detach(), timesteps)

    def after_step(self) -> None:
        """Nothing follows a step."""

    def state_dict(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""

    def _by_quarter(self, error: Tensor, timesteps: Tensor) -> dict[str, Tensor | float]:
        quarter = (4 * timesteps / self._denoiser.schedule.num_train_timesteps).floor().clamp(max=3)
        measured = {f"error_quarter_{i + 1}": torch.where(quarter == i, error, torch.nan) for i in range(4)}
        return {"error": error, **measured}


def sample_timesteps(
    schedule: Schedule, num_samples: int, config: DenoisingConfig, generator: torch.Generator
) -> Float[Tensor, " b"]:
    """Random training timesteps on the generator's device: whole ones for a table, any real ones for rectified flow.

        u ~ U(0, 1)  or  sigmoid(N(0, 1));    u <- shift * u / (1 + (shift - 1) * u);    t = u * T

    Source: Esser et al. 2024 (arXiv:2403.03206), section 3.1 and eq. 23.
    """
    shape, device = (num_samples,), generator.device
    if config.timestep_sampling == "uniform":
        u = torch.rand(shape, generator=generator, device=device)
    else:
        u = torch.randn(shape, generator=generator, device=device).sigmoid()
    u = config.timestep_shift * u / (1.0 + (config.timestep_shift - 1.0) * u)
    timesteps = u * schedule.num_train_timesteps
    if isinstance(schedule, RectifiedFlowSchedule):
        return timesteps
    return timesteps.floor().clamp(max=schedule.num_train_timesteps - 1)  # u may round to 1


def drop_captions(
    cond: Conditioning, uncond: Conditioning, rate: float, generator: torch.Generator
) -> Conditioning:
    """Replace the caption of a random share ``rate`` of the examples by the empty one; other fields stay.

    Raises:
        ValueError: The captions are missing, or the empty one differs in length, width or in having a mask.
    """
    if rate == 0.0:
        return cond
    embeds, empty = cond.prompt_embeds, uncond.prompt_embeds
    if embeds is None or empty is None or embeds.shape[1:] != empty.shape[1:]:
        raise ValueError(
            f"prompt_embeds {_shape(embeds)} and the empty caption's {_shape(empty)} do not fit: "
            "use [b s d] and [1 s d], padded to one length"
        )
    if (cond.prompt_mask is None) != (uncond.prompt_mask is None):
        raise ValueError(
            "prompt_mask is set on one of captions and empty caption: set it on both or on neither"
        )
    is_dropped = torch.rand(len(embeds), generator=generator, device=generator.device) < rate
    cond = replace(
        cond, prompt_embeds=torch.where(rearrange(is_dropped, "b -> b 1 1"), empty.to(embeds), embeds)
    )
    if cond.prompt_mask is None or uncond.prompt_mask is None:
        return cond
    mask = torch.where(rearrange(is_dropped, "b -> b 1"), uncond.prompt_mask, cond.prompt_mask)
    return replace(cond, prompt_mask=mask)


def squared_error(
    output: Float[Tensor, "b c f h w"],
    target: Float[Tensor, "b c f h w"],
    frame_mask: Bool[Tensor, "b f"] | None = None,
) -> Float[Tensor, " b"]:
    """Mean squared error of each example over its generated frames (all without a mask); at least 0."""
    by_frame = reduce((output - target).square(), "b c f h w -> b f", "mean")
    if frame_mask is None:
        return by_frame.mean(dim=1)
    return (by_frame * frame_mask).sum(dim=1) / frame_mask.sum(dim=1)


def min_snr_weight(
    prediction_type: PredictionType, at: Coefficients, gamma: float = 5.0
) -> Float[Tensor, " b"]:
    """Weight on the squared error of the output that weighs the error of x0 by min(SNR, gamma).

        w = min(SNR, gamma) * (d x0 / d output)^2,    SNR = (alpha * rescale / sigma)^2

    For epsilon that is min(SNR, gamma) / SNR, for v_prediction min(SNR, gamma) / (SNR + 1).

    Source: Hang et al. 2023 (arXiv:2303.09556), section 3.4; written for every prediction type.
    """
    snr = (at.alpha * at.rescale / at.sigma).square()
    slope = {
        "epsilon": at.sigma / at.alpha,
        "v_prediction": at.sigma / (at.alpha.square() + at.sigma.square()),
        "flow_prediction": at.sigma / (at.alpha + at.sigma),
        "sample": at.rescale,
    }[prediction_type]
    return rearrange(snr.clamp(max=gamma) * (slope / at.rescale).square(), "b 1 1 1 1 -> b")


def _shape(tensor: Tensor | None) -> str:
    return "None" if tensor is None else str(list(tensor.shape))
