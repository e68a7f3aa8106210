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
from rufous.diffusion.losses import min_snr_weight, mse
from rufous.diffusion.timesteps import check_shift, draw_timesteps
from rufous.distillation.alignment import FeatureAlignment


@dataclass(frozen=True, kw_only=True)
class LatentBatch:
    """Clean latents of clips (scaled as the network expects) and what describes them."""

    latents: Float[Tensor, "b c f h w"]
    cond: Conditioning
    prompts: tuple[str, ...] | None = None
    """The captions themselves, for rewards."""
    features: Float[Tensor, "b f e"] | None = None
    """What a frozen model sees in each clean frame, for alignment."""

    def __len__(self) -> int:
        return len(self.latents)

    def to(self, device: torch.device | str) -> "LatentBatch":
        """Move everything to ``device``."""
        features = None if self.features is None else self.features.to(device)
        latents, cond = self.latents.to(device), self.cond.to(device)
        return replace(self, latents=latents, cond=cond, features=features)


@dataclass(frozen=True, kw_only=True)
class DenoisingConfig:
    """How plain diffusion training draws noise levels and weighs them."""

    caption_dropout: float = 0.1  # Ho & Salimans 2022 (arXiv:2207.12598): 0.1 to 0.2
    """Share of examples whose caption is replaced by the empty one, so that guidance works later."""
    timestep_distribution: Literal["uniform", "logit_normal"] = "uniform"
    timestep_shift: float = 1.0
    """Above 1 favours noisy timesteps; rectified flow only (see ``diffusion.timesteps.draw_timesteps``)."""
    loss_weighting: Literal["none", "min_snr"] = "none"
    alignment_weight: float = 0.5
    """Of the alignment term, if there is one; REPA uses 0.5."""
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

    Frames with ``cond.frame_mask`` False are given: they stay clean and carry no loss. With an alignment its
    loss is added, and ``trainable`` holds ``network`` and ``alignment``. Owns nothing but their weights.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        uncond: Conditioning,
        config: DenoisingConfig | None = None,
        *,
        alignment: FeatureAlignment | None = None,
    ) -> None:
        """Train the network inside ``denoiser``.

        Args:
            denoiser: Its network must be an ``nn.Module``; it becomes ``trainable``.
            uncond: The empty caption, batch of 1: ``prompt_embeds``, and ``prompt_mask`` if captions have it.
            config: Noise levels, weights and caption dropout; the defaults when None.
            alignment: Of one of the network's blocks; batches must have features then.

        Raises:
            ValueError: The denoiser's network is a plain function, or its schedule allows no timestep shift.
        """
        if not isinstance(denoiser.network, nn.Module):
            raise ValueError("denoiser.network is no nn.Module: there is nothing to train")
        self.trainable: nn.Module = denoiser.network
        if alignment is not None:
            self.trainable = nn.ModuleDict({"network": denoiser.network, "alignment": alignment})
        self._alignment = alignment
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
        if self._alignment is None:
            return loss, metrics
        if batch.features is None:
            raise ValueError("this batch has no features to align with: pass LatentBatch(features=...)")
        aligned = self._alignment.loss(batch.features)
        return loss + config.alignment_weight * aligned, {**metrics, "alignment": aligned.detach()}

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


def _shape(tensor: Tensor | None) -> str:
    return "None" if tensor is None else str(list(tensor.shape))
