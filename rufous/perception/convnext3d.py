"""ConvNeXt over frames and time: the aesthetic branch of DOVER.

The spatial network with depthwise kernels of 1 or 3 frames in turn (1, 3, 1, then again). Attribute names are
those of the published checkpoint. Written from the paper and from the facts of the published code
(VQAssessment/DOVER f1ddc96, S-Lab licence 1.0, non-commercial).

Source: Liu et al. 2022 (arXiv:2201.03545), ConvNeXt; Wu et al. 2023 (arXiv:2211.04894), DOVER.

Shapes: b batch, c d channels, f h w frames, lines and columns.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from rufous.core.errors import ConfigError

_EPSILON = 1e-6


@dataclass(frozen=True, kw_only=True)
class ConvNeXt3DConfig:
    """Architecture of one network; the defaults are DOVER's."""

    depths: tuple[int, ...] = (3, 3, 9, 3)
    dims: tuple[int, ...] = (96, 192, 384, 768)
    inflation: tuple[int, ...] = (1, 3, 1)
    """Frames that the kernels of successive blocks of a stage span, over and over."""
    patch_size: tuple[int, int, int] = (2, 4, 4)

    def __post_init__(self) -> None:
        if len(self.depths) != len(self.dims):
            raise ConfigError(f"depths={self.depths} and dims={self.dims} must name as many stages")
        if any(span % 2 == 0 for span in self.inflation):
            raise ConfigError(f"inflation={self.inflation} must be odd numbers of frames")


class ChannelNorm(nn.Module):
    """Layer norm over the channels of a feature map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c f h w"]:
        """Normalise each place by itself."""
        last = rearrange(x, "b c f h w -> b f h w c")
        normed = F.layer_norm(last, self.weight.shape, self.weight, self.bias, _EPSILON)
        return rearrange(normed, "b f h w c -> b c f h w")


class Block(nn.Module):
    """A depthwise convolution and an MLP, scaled by ``gamma`` and added to the input."""

    def __init__(self, width: int, span: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv3d(width, width, (span, 7, 7), padding=(span // 2, 3, 3), groups=width)
        self.norm = nn.LayerNorm(width, eps=_EPSILON)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.pwconv2 = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c f h w"]:
        """One residual update."""
        hidden = self.norm(rearrange(self.dwconv(x), "b c f h w -> b f h w c"))
        hidden = self.gamma * self.pwconv2(F.gelu(self.pwconv1(hidden)))
        return x + rearrange(hidden, "b f h w c -> b c f h w")


class ConvNeXt3D(nn.Module):
    """Features of whole frames."""

    def __init__(self, config: ConvNeXt3DConfig) -> None:
        super().__init__()
        self.config = config
        stem = nn.Sequential(
            nn.Conv3d(3, config.dims[0], config.patch_size, stride=config.patch_size),
            ChannelNorm(config.dims[0]),
        )
        halvings = [
            nn.Sequential(ChannelNorm(narrow), nn.Conv3d(narrow, wide, (1, 2, 2), stride=(1, 2, 2)))
            for narrow, wide in zip(config.dims[:-1], config.dims[1:], strict=True)
        ]
        self.downsample_layers = nn.ModuleList([stem, *halvings])
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width, config.inflation[i % len(config.inflation)]) for i in range(depth)))
            for depth, width in zip(config.depths, config.dims, strict=True)
        )
        self.norm = nn.LayerNorm(config.dims[-1], eps=_EPSILON)

    def forward(self, video: Float[Tensor, "b 3 f h w"]) -> Float[Tensor, "b d f2 h2 w2"]:
        """Feature map of normalised pixels; by default half as many frames, 1/32 of the lines and columns."""
        x = video
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        return rearrange(self.norm(rearrange(x, "b d f h w -> b f h w d")), "b f h w d -> b d f h w")
