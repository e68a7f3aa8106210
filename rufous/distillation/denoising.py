"""Plain diffusion training: noise clean latents, predict, compare.

Pre-training uses it, and recovery after pruning.

Shapes: b batch, c channels, f latent frames, h w latent height and width, s text tokens, d text features.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.guidance import without_prompt
from rufous.diffusion.losses import min_snr_weight, mse
from rufous.diffusion.timesteps import check_shift, draw_timesteps
from rufous.distillation.teaching import network_of


@dataclass(frozen=True, kw_only=True)
class LatentBatch:
    """Clean latents of clips (scaled as the network expects) and what describes them."""

    latents: Float[Tensor, "b c f h w"]
    cond: Conditioning
    prompts: tuple[str, ...] | None = None
    """The captions themselves, for rewards."""

    def __len__(self) -> int:
        return len(self.latents)

    def to(self, device: torch.device | str) -> "LatentBatch":
        """Move everything to ``device``."""
        return replace(self, latents=self.latents.to(device), cond=self.cond.to(device))


@dataclass(frozen=True, kw_only=True)
class DenoisingConfig:
    """How plain diffusion training draws noise levels and weighs them."""

    caption_dropout: float = 0.1  # Ho & Salimans 2022 (arXiv:2207.12598): 0.1 to 0.2
    """Share of examples whose caption is replaced by the empty one, so that guidance works later."""
    timestep_distribution: Literal["uniform", "logit_normal"] = "uniform"
    timestep_shift: float = 1.0
    """Above 1 favours noisy timesteps; rectified flow only (see ``diffusion.timesteps.draw_timesteps``)."""
    loss_weighting: Literal["none", "min_snr"] = "none"
    min_snr_gamma: float = 5.0  # Hang et al. 2023 (arXiv:2303.09556), section 3.4

    def __post_init__(self) -> None:
        if not 0.0 <= self.caption_dropout < 1.0:
            raise ValueError(
                f"caption_dropout={self.caption_dropout} is no share: use 0 or more and less than 1"
            )
        if self.min_snr_gamma <= 0.0:
            raise ValueError(
                f"min_snr_gamma={self.min_snr_gamma} is no cap: use a value above 0, for example 5"
            )


class DenoisingObjective:
    """Mean squared error between the network's output and its target at random noise levels.

        loss = mean over examples of  w(t) * mean((output(x_t, t, cond) - target)^2)

    Frames with ``cond.frame_mask`` False are given: they stay clean and carry no loss. Owns nothing but
    the network's weights.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        uncond: Conditioning,
        config: DenoisingConfig | None = None,
    ) -> None:
        """Train the network inside ``denoiser``.

        Args:
            denoiser: Its network must be an ``nn.Module``; it becomes ``trainable``.
            uncond: The empty caption, batch of 1: ``prompt_embeds``, and ``prompt_mask`` if captions have it.
            config: Noise levels, weights and caption dropout; the defaults when None.

        Raises:
            ValueError: The denoiser's network is a plain function, or its schedule allows no timestep shift.
        """
        network = network_of(denoiser, "denoiser")
        self.trainable: nn.Module = network
        self._denoiser = denoiser
        self._uncond = uncond
        self._config = config or DenoisingConfig()
        check_shift(denoiser.schedule, self._config.timestep_shift)

    def loss(
        self, batch: LatentBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Noise the batch, predict, compare.

        Logs the unweighted error, also by quarter of the timesteps: 1 is nearly clean, 4 the noisiest.

        Raises:
            ValueError: The captions do not fit the empty one, or the schedule refuses the timestep settings.
        """
        config, denoiser, latents = self._config, self._denoiser, batch.latents
        cond = drop_captions(batch.cond, self._uncond, config.caption_dropout, generator)
        timesteps = draw_timesteps(
            denoiser.schedule,
            len(batch),
            generator,
            distribution=config.timestep_distribution,
            shift=config.timestep_shift,
        )
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)

        noisy = denoiser.add_noise(latents, noise, timesteps, frame_mask=cond.frame_mask)
        output = denoiser.output(noisy, timesteps, cond)
        error = mse(output, denoiser.target(latents, noise, timesteps), frame_mask=cond.frame_mask)
        loss = (error * self._weight(timesteps)).mean()
        metrics = self._by_quarter(error.detach(), timesteps)
        return loss, metrics

    def after_step(self) -> None:
        """Nothing follows a step."""

    def state_dict(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""

    def _weight(self, timesteps: Tensor) -> Tensor | float:
        if self._config.loss_weighting == "none":
            return 1.0
        log_snr = self._denoiser.schedule.log_snr(timesteps)
        return min_snr_weight(log_snr, self._denoiser.prediction_type, gamma=self._config.min_snr_gamma)

    def _by_quarter(self, error: Tensor, timesteps: Tensor) -> dict[str, Tensor | float]:
        quarter = (4 * timesteps / self._denoiser.schedule.num_train_timesteps).floor().clamp(max=3)
        measured = {f"error_quarter_{i + 1}": torch.where(quarter == i, error, torch.nan) for i in range(4)}
        return {"error": error, **measured}


def drop_captions(
    cond: Conditioning, uncond: Conditioning, rate: float, generator: torch.Generator
) -> Conditioning:
    """Replace the caption of a random share ``rate`` of the examples by the empty one; other fields stay.

    Raises:
        ValueError: The captions are missing, or the empty one differs in length, width or in having a mask.
    """
    if rate == 0.0:
        return cond
    empty = without_prompt(cond, uncond)
    assert cond.prompt_embeds is not None
    assert empty.prompt_embeds is not None
    is_dropped = torch.rand(len(cond.prompt_embeds), generator=generator, device=generator.device) < rate
    embeds = torch.where(rearrange(is_dropped, "b -> b 1 1"), empty.prompt_embeds, cond.prompt_embeds)
    if cond.prompt_mask is None or empty.prompt_mask is None:
        return replace(cond, prompt_embeds=embeds)
    mask = torch.where(rearrange(is_dropped, "b -> b 1"), empty.prompt_mask, cond.prompt_mask)
    return replace(cond, prompt_embeds=embeds, prompt_mask=mask)
