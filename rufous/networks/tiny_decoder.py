"""A small convolutional decoder: scaled latents to pixels, for rewards and previews.

No norms, no attention, and nothing at full resolution but the last shuffle: each stage runs at the size of
its input, then a convolution makes the pixels of the next. It is distilled from a full decoder
(``recipes.world_tiny_decoder``).

Source: sub-pixel convolution, Shi et al. 2016 (arXiv:1609.05158).

Shapes: b batch, z latent channels, c channels, f frames, h w height and width, n images.
"""

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from rufous.core.errors import ConfigError
from rufous.networks.layers import zero_
from rufous.networks.vae2d import AutoencoderKLConfig


@dataclass(frozen=True, kw_only=True)
class TinyDecoderConfig:
    """Architecture of one tiny decoder; the defaults fit Stable Diffusion's latents."""

    latent_channels: int = 4
    out_channels: int = 3
    widths: tuple[int, ...] = (64, 48, 32)
    """Channels of each stage, from the latents on."""
    factors: tuple[int, ...] = (2, 2, 2)
    """How much larger each stage makes its sides."""
    blocks_per_stage: int = 2

    def __post_init__(self) -> None:
        if not self.widths or len(self.widths) != len(self.factors):
            raise ConfigError(
                f"{len(self.widths)} widths need as many factors, at least 1, not {len(self.factors)}"
            )
        if min(*self.widths, *self.factors, self.latent_channels, self.out_channels) < 1:
            raise ConfigError("widths, factors and channels must be positive")
        if self.blocks_per_stage < 0:
            raise ConfigError(f"blocks_per_stage={self.blocks_per_stage}: use 0 or more")

    @property
    def vae_scale_factor_spatial(self) -> int:
        """Pixels per latent, along each side."""
        return math.prod(self.factors)

    def check_fits(self, autoencoder: AutoencoderKLConfig) -> None:
        """Refuse an autoencoder of other latents.

        Raises:
            ConfigError: The two differ in latent channels or in pixels per latent.
        """
        tiny, full = (
            (config.latent_channels, config.vae_scale_factor_spatial) for config in (self, autoencoder)
        )
        if tiny != full:
            raise ConfigError(
                f"a tiny decoder of {tiny[0]} latent channels and {tiny[1]} pixels per latent does not fit "
                f"this autoencoder, which has {full[0]} and {full[1]}: use TinyDecoderConfig.fitting"
            )

    @staticmethod
    def fitting(
        autoencoder: AutoencoderKLConfig, *, width: int = 64, blocks_per_stage: int = 2
    ) -> "TinyDecoderConfig":
        """A tiny decoder for the latents of an autoencoder: ``width`` channels, fewer from stage to stage."""
        num_stages = max(1, len(autoencoder.channel_mult) - 1)
        return TinyDecoderConfig(
            latent_channels=autoencoder.latent_channels,
            out_channels=autoencoder.out_channels,
            widths=tuple(max(1, width // (i + 1)) for i in range(num_stages)),
            factors=(2,) * (len(autoencoder.channel_mult) - 1) or (1,),
            blocks_per_stage=blocks_per_stage,
        )


class TinyBlock(nn.Module):
    """Two 3x3 convolutions with a residual; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = zero_(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Residual update."""
        return x + self.conv2(F.silu(self.conv1(F.silu(x))))


class TinyStage(nn.Module):
    """Blocks at one resolution, then the way to the next."""

    def __init__(self, in_channels: int, out_channels: int, factor: int, num_blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(TinyBlock(in_channels) for _ in range(num_blocks)))
        self.conv_up = nn.Conv2d(in_channels, out_channels * factor**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(factor)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n o h2 w2"]:
        """Larger by the factor."""
        return self.shuffle(self.conv_up(F.silu(self.blocks(x))))


class TinyDecoder(nn.Module):
    """Decodes each frame by itself, from latents scaled as the generator uses them."""

    def __init__(self, config: TinyDecoderConfig) -> None:
        super().__init__()
        self.config = config
        widths = (*config.widths, config.out_channels)
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.stages = nn.ModuleList(
            TinyStage(before, after, factor, config.blocks_per_stage)
            for (before, after), factor in zip(itertools.pairwise(widths), config.factors, strict=True)
        )

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights; inputs are cast to it."""
        return self.conv_in.weight.dtype

    def forward(self, latents: Float[Tensor, "n z h w"]) -> Float[Tensor, "n c h2 w2"]:
        """Images, about [-1, 1] but not clamped, from scaled latents.

        Raises:
            ValueError: Another number of latent channels than the config's.
        """
        if latents.shape[1] != self.config.latent_channels:
            raise ValueError(
                f"{latents.shape[1]} latent channels do not fit this tiny decoder, which reads "
                f"{self.config.latent_channels}: use the one that was distilled for this autoencoder"
            )
        x = self.conv_in(latents.to(self.dtype))
        for stage in self.stages:
            x = stage(x)
        return x

    def decode_video(self, latents: Float[Tensor, "b z f h w"]) -> Float[Tensor, "b c f h2 w2"]:
        """Clip, about [-1, 1] but not clamped, from scaled latents, as ``AutoencoderKL.decode_video``."""
        images = self(rearrange(latents, "b z f h w -> (b f) z h w"))
        return rearrange(images, "(b f) c h w -> b c f h w", b=len(latents))
