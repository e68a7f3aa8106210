"""Classifier-free guidance in one or two network calls, its rescale, and the embedded guidance scale.

One convention: ``guidance_scale`` g in ``uncond + g * (cond - uncond)``, so that g = 1 is the plain
conditional model. Papers and trainers of latent consistency models write ``cond + w * (cond - uncond)``: that
is g = 1 + w (:func:`guidance_scale_from_lcm_weight`). The number a T2V-Turbo student is *embedded* with is w,
not g.
"""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.prediction import Prediction

MAX_GUIDANCE_SCALE = 100.0  # far above any published use (7 to 16); larger is a unit error


@dataclass(frozen=True, kw_only=True)
class GuidanceConfig:
    """How the conditional and the unconditional output are combined."""

    scale: float = 1.0
    """g in ``uncond + g * (cond - uncond)``; at 1 the unconditional pass is left out."""
    rescale: float = 0.0
    """Share of the output whose spread is set back to the conditional one's; 0 is off, 0.7 is the paper's."""
    interval: tuple[float, float] | None = None
    """Guide only where lowest <= timestep < highest (arXiv:2404.07724); elsewhere as with scale 1."""
    one_call: bool = True
    """Both passes as one batch of 2b; False: two calls, which need less memory."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.scale <= MAX_GUIDANCE_SCALE:  # NaN fails too
            raise ValueError(
                f"guidance_scale={self.scale} is out of range: use a number from 0 to "
                f"{MAX_GUIDANCE_SCALE:g}; 1 turns guidance off, 6 to 12 is usual for an undistilled model"
            )
        if not 0.0 <= self.rescale <= 1.0:
            raise ValueError(
                f"guidance_rescale={self.rescale} is out of range: use 0 (off) to 1, for example 0.7"
            )
        if self.interval is not None and not 0.0 <= self.interval[0] < self.interval[1]:
            raise ValueError(
                f"guidance_interval={self.interval} is empty: use (lowest, highest) timesteps, "
                "for example (200.0, 800.0)"
            )

    def applies_at(self, timestep: float) -> bool:
        """Whether an unconditional pass is needed at ``timestep``."""
        inside = self.interval is None or self.interval[0] <= timestep < self.interval[1]
        return inside and self.scale != 1.0


def classifier_free_guidance(
    cond_output: Float[Tensor, "b c f h w"],
    uncond_output: Float[Tensor, "b c f h w"],
    scale: float | Float[Tensor, " b"],
) -> Float[Tensor, "b c f h w"]:
    """``uncond + scale * (cond - uncond)``, with one scale for all or one per sample.

    Holds for raw outputs and for x0 or epsilon alike, as these are affine in the output at fixed latents.

    Source: Ho and Salimans 2022 (arXiv:2207.12598), in the form of Stable Diffusion.
    """
    if isinstance(scale, Tensor):
        scale = rearrange(scale, "b -> b 1 1 1 1")
    return uncond_output + scale * (cond_output - uncond_output)


def rescale_guidance(
    guided: Float[Tensor, "b c f h w"], cond_output: Float[Tensor, "b c f h w"], share: float
) -> Float[Tensor, "b c f h w"]:
    """Pull the spread of the guided output back to that of the conditional one, against over-exposure.

        share * guided * std(cond) / std(guided) + (1 - share) * guided

    The standard deviation is taken per sample, over everything else.

    Source: Lin et al. 2023 (arXiv:2305.08891), eq. 15 and 16.
    """
    axes = tuple(range(1, guided.ndim))
    ratio = cond_output.std(dim=axes, keepdim=True) / guided.std(dim=axes, keepdim=True)
    return share * guided * ratio + (1.0 - share) * guided


def guided_prediction(
    denoiser: Denoiser,
    latents: Float[Tensor, "b c f h w"],
    timestep: float,
    cond: Conditioning,
    uncond: Conditioning | None,
    config: GuidanceConfig,
) -> Prediction:
    """Estimate clean latents and noise at one timestep, with guidance where ``config`` asks for it.

    Args:
        denoiser: Network and schedule.
        latents: Noisy latents.
        timestep: The one timestep of the whole batch.
        cond: What is wanted.
        uncond: What to move away from (empty or negative prompt), with the same fields as ``cond``; may be
            None if no guidance applies.
        config: Scale, rescale, interval.

    Raises:
        ValueError: Guidance applies but ``uncond`` is None.
    """
    timesteps = torch.full((len(latents),), timestep, dtype=torch.float32, device=latents.device)
    if not config.applies_at(timestep):
        return denoiser(latents, timesteps, cond)
    if uncond is None:
        raise ValueError(
            f"guidance_scale={config.scale} needs an unconditional pass, but uncond is None: "
            "pass the empty prompt's conditioning, or use guidance_scale=1"
        )
    if config.one_call:
        both = Conditioning.concatenate([cond, uncond])
        outputs = denoiser.output(torch.cat([latents, latents]), torch.cat([timesteps, timesteps]), both)
        cond_output, uncond_output = outputs.chunk(2)
    else:
        cond_output = denoiser.output(latents, timesteps, cond)
        uncond_output = denoiser.output(latents, timesteps, uncond)
    guided = classifier_free_guidance(cond_output, uncond_output, config.scale)
    if config.rescale > 0.0:
        guided = rescale_guidance(guided, cond_output, config.rescale)
    return denoiser.read(guided, latents, timesteps)


def guided_output(
    denoiser: Denoiser,
    latents: Float[Tensor, "b c f h w"],
    timesteps: Float[Tensor, " b"],
    cond: Conditioning,
    empty: Conditioning,
    scale: Float[Tensor, " b"],
) -> Float[Tensor, "b c f h w"]:
    """A teacher's raw output after guidance, each sample at its own timestep and scale; one call of 2b.

    Args:
        denoiser: The teacher.
        latents: Noisy latents.
        timesteps: Noise level of each sample.
        cond: What is wanted. The unconditional half differs in the prompt alone, so fps is the same in both.
        empty: The empty prompt, batch of 1.
        scale: g of each sample; 1 is the plain conditional output.
    """
    both = Conditioning.concatenate([cond, without_prompt(cond, empty)])
    outputs = denoiser.output(torch.cat([latents, latents]), torch.cat([timesteps, timesteps]), both)
    cond_output, uncond_output = outputs.chunk(2)
    return classifier_free_guidance(cond_output, uncond_output, scale)


def without_prompt(cond: Conditioning, empty: Conditioning) -> Conditioning:
    """The same conditioning with the empty prompt (batch of 1) in place of every prompt.

    With masks the empty prompt is padded, or loses padding, to have as many tokens as the prompts.

    Raises:
        ValueError: The empty prompt has other tokens or features than the prompts, or only one has a mask.
    """
    if (cond.prompt_mask is None) != (empty.prompt_mask is None):
        raise ValueError("prompt_mask is set on one of prompts and empty prompt: set it on both or neither")
    embeds, nothing, mask = cond.prompt_embeds, empty.prompt_embeds, empty.prompt_mask
    if embeds is not None and nothing is not None and mask is not None:
        nothing, mask = _with_tokens(nothing, mask, embeds.shape[1])
    if embeds is None or nothing is None or embeds.shape[1:] != nothing.shape[1:] or len(nothing) != 1:
        raise ValueError(
            f"the empty prompt's prompt_embeds {_shape(nothing)} do not fit the prompts' {_shape(embeds)}: "
            "use [1 s d] and [b s d], padded alike"
        )
    mask = None if mask is None else mask.expand(len(embeds), -1)
    return replace(cond, prompt_embeds=nothing.to(embeds).expand_as(embeds), prompt_mask=mask)


def _with_tokens(embeds: Tensor, mask: Tensor, num_tokens: int) -> tuple[Tensor, Tensor]:
    """Embeddings [b s d] and their mask [b s] with padding added or taken away; words stay."""
    if embeds.shape[1] == num_tokens:
        return embeds, mask
    num_words = int(mask.any(dim=0).nonzero().max()) + 1 if bool(mask.any()) else 0
    end = max(num_tokens, num_words) - embeds.shape[1]
    return F.pad(embeds, (0, 0, 0, end)), F.pad(mask, (0, end), value=False)


def _shape(tensor: Tensor | None) -> str:
    return "None" if tensor is None else str(list(tensor.shape))


def guidance_scale_from_lcm_weight(weight: float) -> float:
    """The guidance scale g that means the same as ``cond + weight * (cond - uncond)``: ``1 + weight``.

    Source: Luo et al. 2023 (arXiv:2310.04378), eq. 14; T2V-Turbo (arXiv:2405.18750) draws w from 5 to 15.
    """
    return 1.0 + weight


def embed_guidance_scale(weight: Float[Tensor, " b"], dim: int = 256) -> Float[Tensor, "b dim"]:
    """Sinusoids of ``1000 * weight``: the first half sines, the second half cosines.

        frequency_i = exp(-ln(10000) * i / (dim/2 - 1)),  i = 0 .. dim/2 - 1

    Trap: VideoCrafter2's timestep embedding has the cosines first and divides by dim/2.

    Args:
        weight: w of ``cond + w * (cond - uncond)``, one per sample; 7.5 is the usual choice at inference.
        dim: Width, even; 256 in the published students.

    Returns:
        Values in [-1, 1], float32.

    Raises:
        ValueError: ``dim`` is odd or below 4.

    Source: Luo et al. 2023 (arXiv:2310.04378); numbers as in T2V-Turbo (arXiv:2405.18750).
    """
    if dim < 4 or dim % 2:
        raise ValueError(f"dim={dim} has no two equal halves: use an even number from 4, for example 256")
    half = dim // 2
    # The order of these float32 operations matters: angles reach 15000, where one rounding moves a sine by
    # 1e-3, and published students were trained on these roundings.
    step = math.log(10000.0) / (half - 1)
    frequencies = torch.exp(torch.arange(half, dtype=torch.float32, device=weight.device) * -step)
    angles = (1000.0 * weight.float())[:, None] * frequencies[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)
