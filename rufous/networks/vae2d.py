"""Frame-wise KL autoencoder of Stable Diffusion, as VideoCrafter2 uses it: each frame is coded by itself.

Key names are those of the latent-diffusion releases (``encoder.down.0.block.0.norm1`` and so on).

``encode`` and ``decode`` work on unscaled latents; ``encode_video`` and ``decode_video`` apply
``scaling_factor`` and ``shift_factor``, cut long clips into slices of frames, large frames into tiles.
Everything runs under autograd too, so rewards can reach latents through the decoder.

Source: Rombach et al. 2022 (arXiv:2112.10752), appendix G.

Shapes: b batch, c channels, f frames, h w height and width (pixels or latents), n images, z latent channels.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from rufous.core.errors import ConfigError
from rufous.networks.attention import attention
from rufous.networks.layers import call_checkpointed

MIN_LOG_VARIANCE, MAX_LOG_VARIANCE = -30.0, 20.0  # as published; outside, exp overflows in half precision


@dataclass(frozen=True, kw_only=True)
class AutoencoderKLConfig:
    """Architecture and latent scale of one autoencoder."""

    in_channels: int = 3
    out_channels: int = 3
    base_channels: int = 128
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    """Residual blocks per level in the encoder; the decoder has one more."""
    latent_channels: int = 4
    norm_groups: int = 32
    scaling_factor: float = 0.18215  # SD 1.x, VideoCrafter2
    shift_factor: float = 0.0
    """Scaled latents are ``(latents - shift_factor) * scaling_factor``."""
    slice_frames: int = 1
    """Frames coded at once by ``encode_video`` and ``decode_video``; bounds memory, changes no number."""
    tile_size: int | None = None
    """Side in pixels above which frames are cut into tiles, which changes numbers a bit; None never cuts."""
    tile_overlap: float = 0.25
    """Part of a tile's side that it shares with its neighbour, where the two are blended."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass; the initial value of the attribute of that name."""

    def __post_init__(self) -> None:
        for mult in self.channel_mult:
            if mult * self.base_channels % self.norm_groups:
                raise ConfigError(
                    f"width {mult * self.base_channels} is no multiple of norm_groups={self.norm_groups}"
                )
        if self.scaling_factor <= 0 or self.slice_frames < 1:
            raise ConfigError("scaling_factor must be positive and slice_frames at least 1")
        if not 0 < self.tile_overlap < 1:
            raise ConfigError(f"tile_overlap={self.tile_overlap} must lie between 0 and 1")
        if self.tile_size is not None and self.tile_size % (2 * self.vae_scale_factor_spatial):
            raise ConfigError(
                f"tile_size={self.tile_size}: use a multiple of {2 * self.vae_scale_factor_spatial}"
            )

    @property
    def vae_scale_factor_spatial(self) -> int:
        """Pixels per latent, along each side."""
        return 2 ** (len(self.channel_mult) - 1)

    @staticmethod
    def from_reference(
        ddconfig: Mapping[str, Any], *, scaling_factor: float = 0.18215
    ) -> "AutoencoderKLConfig":
        """The config that the published ``first_stage_config.params.ddconfig`` describes.

        Raises:
            ConfigError: A field is unknown, or asks for a part that no release of this family uses.
        """
        known = {*_REFERENCE_NAMES, *_REFERENCE_FIXED, *_REFERENCE_IGNORED}
        if unknown := sorted(set(ddconfig) - known):
            raise ConfigError(
                f"unknown autoencoder fields {', '.join(unknown)}: known are {', '.join(sorted(known))}"
            )
        for name, wanted in _REFERENCE_FIXED.items():
            value = ddconfig.get(name, wanted)
            if (list(value) if isinstance(value, tuple) else value) != wanted:
                raise ConfigError(f"{name}={value!r} is not supported: use {wanted!r}")
        values = {_REFERENCE_NAMES[k]: v for k, v in ddconfig.items() if k in _REFERENCE_NAMES}
        if "channel_mult" in values:
            values["channel_mult"] = tuple(values["channel_mult"])
        return AutoencoderKLConfig(**values, scaling_factor=scaling_factor)


_REFERENCE_NAMES = {
    "in_channels": "in_channels",
    "out_ch": "out_channels",
    "ch": "base_channels",
    "ch_mult": "channel_mult",
    "num_res_blocks": "num_res_blocks",
    "z_channels": "latent_channels",
}
_REFERENCE_FIXED: dict[str, Any] = {"double_z": True, "attn_resolutions": [], "dropout": 0.0}
_REFERENCE_IGNORED = {"resolution"}  # any size that the factor divides works

SD_KL_F8 = AutoencoderKLConfig()


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """Gaussian over unscaled latents, independent in every element."""

    mean: Float[Tensor, "n z h w"]
    logvar: Float[Tensor, "n z h w"]

    def mode(self) -> Float[Tensor, "n z h w"]:
        """The most likely latents."""
        return self.mean

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "n z h w"]:
        """Latents drawn with ``generator``, which lives on the CPU or on the device of the latents."""
        device = self.mean.device if generator is None else generator.device
        noise = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype, device=device)
        return self.mean + torch.exp(0.5 * self.logvar) * noise.to(self.mean.device)

    def kl(self) -> Float[Tensor, " n"]:
        """Divergence from the standard normal, in nats, summed over each image."""
        terms = self.mean.square() + self.logvar.exp() - 1.0 - self.logvar
        return 0.5 * terms.flatten(1).sum(dim=1)


class ResnetBlock(nn.Module):
    """Two 3x3 convolutions with a residual."""

    def __init__(self, in_channels: int, out_channels: int, norm_groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(norm_groups, in_channels, eps=1e-6)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(norm_groups, out_channels, eps=1e-6)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        same = in_channels == out_channels
        self.nin_shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n o h w"]:
        """Residual update."""
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return self.nin_shortcut(x) + hidden


class AttnBlock(nn.Module):
    """Single-head attention over all pixels of one image."""

    def __init__(self, channels: int, norm_groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(norm_groups, channels, eps=1e-6)
        self.q, self.k, self.v = (nn.Conv2d(channels, channels, 1) for _ in range(3))
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Residual update."""
        hidden = self.norm(x)
        q, k, v = (rearrange(conv(hidden), "n c h w -> n 1 (h w) c") for conv in (self.q, self.k, self.v))
        mixed = attention(q, k, v)
        return x + self.proj_out(rearrange(mixed, "n 1 (h w) c -> n c h w", h=x.shape[2]))


class Downsample(nn.Module):
    """Half the height and width; zeros are padded at the right and the bottom only, as published."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
        """Strided convolution."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Twice the height and width: nearest neighbour, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
        """Nearest neighbour, then a convolution."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def _blocks(widths: list[int], config: AutoencoderKLConfig) -> nn.ModuleList:
    """Residual blocks from each width to the next."""
    return nn.ModuleList(
        ResnetBlock(before, after, config.norm_groups) for before, after in itertools.pairwise(widths)
    )


class DownLevel(nn.Module):
    """Residual blocks of one resolution, then the way to the next (nothing at the last)."""

    def __init__(self, widths: list[int], config: AutoencoderKLConfig, *, is_last: bool) -> None:
        super().__init__()
        self.block = _blocks(widths, config)
        self.downsample = nn.Identity() if is_last else Downsample(widths[-1])

    def forward(self, x: Float[Tensor, "n c h w"], checkpointed: bool) -> Float[Tensor, "n o h2 w2"]:
        """Blocks, then half the size."""
        for block in self.block:
            x = call_checkpointed(block, x, enabled=checkpointed)
        return self.downsample(x)


class UpLevel(nn.Module):
    """Residual blocks of one resolution, then the way to the next (nothing at the last)."""

    def __init__(self, widths: list[int], config: AutoencoderKLConfig, *, is_last: bool) -> None:
        super().__init__()
        self.block = _blocks(widths, config)
        self.upsample = nn.Identity() if is_last else Upsample(widths[-1])

    def forward(self, x: Float[Tensor, "n c h w"], checkpointed: bool) -> Float[Tensor, "n o h2 w2"]:
        """Blocks, then twice the size."""
        for block in self.block:
            x = call_checkpointed(block, x, enabled=checkpointed)
        return self.upsample(x)


def _middle(width: int, config: AutoencoderKLConfig) -> nn.Sequential:
    """ResBlock, attention, ResBlock, under their published names."""
    middle = nn.Sequential()
    middle.add_module("block_1", ResnetBlock(width, width, config.norm_groups))
    middle.add_module("attn_1", AttnBlock(width, config.norm_groups))
    middle.add_module("block_2", ResnetBlock(width, width, config.norm_groups))
    return middle


class Encoder(nn.Module):
    """Images to the parameters of a Gaussian over latents."""

    def __init__(self, config: AutoencoderKLConfig) -> None:
        super().__init__()
        widths = [mult * config.base_channels for mult in config.channel_mult]
        self.conv_in = nn.Conv2d(config.in_channels, config.base_channels, 3, padding=1)
        self.down = nn.ModuleList()
        before = config.base_channels
        for i, width in enumerate(widths):
            level_widths = [before] + [width] * config.num_res_blocks
            self.down.append(DownLevel(level_widths, config, is_last=i == len(widths) - 1))
            before = width
        self.mid = _middle(before, config)
        self.norm_out = nn.GroupNorm(config.norm_groups, before, eps=1e-6)
        self.conv_out = nn.Conv2d(before, 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "n c h w"], checkpointed: bool = False) -> Float[Tensor, "n z2 h2 w2"]:
        """Mean and log-variance before ``quant_conv``, joined on the channels."""
        x = self.conv_in(x)
        for level in self.down:
            x = level(x, checkpointed)
        x = call_checkpointed(self.mid, x, enabled=checkpointed)
        return self.conv_out(F.silu(self.norm_out(x)))


class Decoder(nn.Module):
    """Latents to images; ``up.0`` is the level of full resolution, as published."""

    def __init__(self, config: AutoencoderKLConfig) -> None:
        super().__init__()
        widths = [mult * config.base_channels for mult in config.channel_mult]
        before = widths[-1]
        self.conv_in = nn.Conv2d(config.latent_channels, before, 3, padding=1)
        self.mid = _middle(before, config)
        levels: list[nn.Module] = []
        for i, width in reversed(list(enumerate(widths))):
            level_widths = [before] + [width] * (config.num_res_blocks + 1)
            levels.insert(0, UpLevel(level_widths, config, is_last=i == 0))
            before = width
        self.up = nn.ModuleList(levels)
        self.norm_out = nn.GroupNorm(config.norm_groups, before, eps=1e-6)
        self.conv_out = nn.Conv2d(before, config.out_channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "n z h w"], checkpointed: bool = False) -> Float[Tensor, "n c h2 w2"]:
        """Images from latents that went through ``post_quant_conv``."""
        x = call_checkpointed(self.mid, self.conv_in(x), enabled=checkpointed)
        for level in reversed(self.up):
            x = level(x, checkpointed)
        return self.conv_out(F.silu(self.norm_out(x)))


class AutoencoderKL(nn.Module):
    """Codes frames to latents and back; see the module docstring for which methods scale the latents."""

    def __init__(self, config: AutoencoderKLConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = config.gradient_checkpointing
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = nn.Conv2d(2 * config.latent_channels, 2 * config.latent_channels, 1)
        self.post_quant_conv = nn.Conv2d(config.latent_channels, config.latent_channels, 1)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights; inputs are cast to it."""
        return self.quant_conv.weight.dtype

    def encode(self, pixels: Float[Tensor, "n c h w"]) -> Posterior:
        """Distribution of unscaled latents of images in [-1, 1].

        Raises:
            ValueError: Height or width is no multiple of ``vae_scale_factor_spatial``.
        """
        self._check_size(pixels)
        x = _laid_out(pixels.to(self.dtype))
        moments = self.quant_conv(self.encoder(x, self.gradient_checkpointing))
        mean, logvar = moments.chunk(2, dim=1)
        return Posterior(mean=mean, logvar=logvar.clamp(MIN_LOG_VARIANCE, MAX_LOG_VARIANCE))

    def decode(self, latents: Float[Tensor, "n z h w"]) -> Float[Tensor, "n c h2 w2"]:
        """Images, about [-1, 1] but not clamped, from unscaled latents."""
        x = _laid_out(latents.to(self.dtype))
        return self.decoder(self.post_quant_conv(x), self.gradient_checkpointing)

    def encode_video(
        self, video: Float[Tensor, "b c f h w"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b z f h2 w2"]:
        """Scaled latents of a clip in [-1, 1]: a posterior sample if ``generator`` is given, else its mode.

        The draw does not depend on ``slice_frames``.

        Raises:
            ValueError: Height or width is no multiple of ``vae_scale_factor_spatial``.
        """
        self._check_size(video)
        scale = self.config.vae_scale_factor_spatial
        moments = self._map_frames(video, self._moments, unit_in=scale, unit_out=1)
        mean, logvar = moments.chunk(2, dim=1)
        posterior = Posterior(mean=mean, logvar=logvar)
        latents = posterior.mode() if generator is None else posterior.sample(generator)
        latents = (latents - self.config.shift_factor) * self.config.scaling_factor
        return rearrange(latents, "(b f) z h w -> b z f h w", b=video.shape[0])

    def decode_video(self, latents: Float[Tensor, "b z f h w"]) -> Float[Tensor, "b c f h2 w2"]:
        """Clip, about [-1, 1] but not clamped, from scaled latents."""
        unscaled = latents / self.config.scaling_factor + self.config.shift_factor
        scale = self.config.vae_scale_factor_spatial
        frames = self._map_frames(unscaled, self.decode, unit_in=1, unit_out=scale)
        return rearrange(frames, "(b f) c h w -> b c f h w", b=latents.shape[0])

    def _moments(self, pixels: Tensor) -> Tensor:
        posterior = self.encode(pixels)
        return torch.cat([posterior.mean, posterior.logvar], dim=1)

    def _map_frames(
        self, video: Tensor, code: Callable[[Tensor], Tensor], *, unit_in: int, unit_out: int
    ) -> Tensor:
        """Code all frames, ``slice_frames`` at a time; a unit is the side of one latent before or after."""
        slices = rearrange(video, "b c f h w -> (b f) c h w").split(self.config.slice_frames)
        pixels = max(video.shape[-2:]) // unit_in * self.config.vae_scale_factor_spatial
        if self.config.tile_size is None or pixels <= self.config.tile_size:
            return torch.cat([code(frames) for frames in slices])
        tile = self.config.tile_size // self.config.vae_scale_factor_spatial
        overlap = max(1, int(tile * self.config.tile_overlap))
        return torch.cat(
            [
                _code_tiled(x, code, tile=tile, overlap=overlap, unit_in=unit_in, unit_out=unit_out)
                for x in slices
            ]
        )

    def _check_size(self, pixels: Tensor) -> None:
        factor = self.config.vae_scale_factor_spatial
        height, width = pixels.shape[-2:]
        if height % factor or width % factor:
            raise ValueError(f"{height}x{width} pixels do not fit this VAE: use multiples of {factor}")


def _laid_out(x: Tensor) -> Tensor:
    """Channels last for inference; as it is for training, whose backward that layout doubles in time."""
    return x if torch.is_grad_enabled() else x.contiguous(memory_format=torch.channels_last)


def _code_tiled(
    x: Tensor, code: Callable[[Tensor], Tensor], *, tile: int, overlap: int, unit_in: int, unit_out: int
) -> Tensor:
    """Code overlapping tiles and average them, each with a weight that falls linearly to its inner edges.

    All lengths count latents; ``unit_in`` and ``unit_out`` are a latent's side before and after coding.
    """
    height, width = (side // unit_in for side in x.shape[-2:])
    total, weights = torch.zeros((), device=x.device), torch.zeros((), device=x.device)
    for top in _tile_starts(height, tile, overlap):
        for left in _tile_starts(width, tile, overlap):
            bottom, right = min(top + tile, height), min(left + tile, width)
            part = code(x[..., top * unit_in : bottom * unit_in, left * unit_in : right * unit_in])
            rows = _ramp(part.shape[-2], overlap * unit_out, first=top == 0, last=bottom == height)
            columns = _ramp(part.shape[-1], overlap * unit_out, first=left == 0, last=right == width)
            weight = (rows[:, None] * columns).to(part.device)
            # padded sums instead of writing in place, which autograd would refuse
            margins = [unit_out * side for side in (left, width - right, top, height - bottom)]
            total = total + F.pad(part * weight, margins)
            weights = weights + F.pad(weight, margins)
    return total / weights


def _tile_starts(size: int, tile: int, overlap: int) -> list[int]:
    """Starts of tiles that cover ``size``; the last one ends at the edge."""
    if size <= tile:
        return [0]
    starts = list(range(0, size - tile, tile - overlap))
    return [*starts, size - tile]


def _ramp(size: int, border: int, *, first: bool, last: bool) -> Tensor:
    """Weights 1, falling linearly over ``border`` elements to every side that has a neighbour."""
    ramp = torch.ones(size)
    slope = torch.arange(1, border + 1) / (border + 1)
    if not first:
        ramp[:border] *= slope
    if not last:
        ramp[-border:] *= slope.flip(0)
    return ramp
