"""MUSIQ: image quality from patches of the whole frame at several sizes, none of them cropped or squashed.

Key names are those of the published ``musiq_spaq_ckpt-358bb6af.pth``, a PyTorch port of the authors' weights;
outputs equal that port's code on random weights (tests/reference). The weights were never run here.

Short sequences are not filled up: the published code masks what it fills with, to the same numbers.

Source: Ke et al. 2021 (arXiv:2108.05997).

Shapes: b batch, h w pixels, n patches of all sizes together, c channels, d features.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from rufous.core.errors import ConfigError

ROOT_CHANNELS = 64
NUM_GROUPS = 32  # of every group norm


@dataclass(frozen=True, kw_only=True)
class MUSIQConfig:
    """Architecture of one MUSIQ; the defaults are those of the weights trained on SPAQ."""

    patch_size: int = 32
    hidden_size: int = 384
    mlp_dim: int = 1152
    num_heads: int = 6
    num_layers: int = 14
    grid_size: int = 10
    """Positions a side that are told apart, whatever the number of patches."""
    longer_sides: tuple[int, ...] = (224, 384)
    """In pixels, of the smaller copies of a frame that are looked at beside it."""

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads:
            raise ConfigError(f"hidden_size={self.hidden_size} is no multiple of num_heads={self.num_heads}")
        if self.patch_size < 4 or self.patch_size % 4:
            raise ConfigError(f"patch_size={self.patch_size} does not fit MUSIQ: use a multiple of 4")
        if list(self.longer_sides) != sorted(self.longer_sides) or not self.longer_sides:
            raise ConfigError(f"longer_sides={self.longer_sides} must rise, with at least one")

    @classmethod
    def from_reference(cls, fields: Mapping[str, Any]) -> "MUSIQConfig":
        """From the names of the published code's arguments."""
        names = {"spatial_pos_grid_size": "grid_size", "longer_side_lengths": "longer_sides"}
        values = {names.get(name, name): value for name, value in fields.items()}
        if "longer_sides" in values:
            values["longer_sides"] = tuple(sorted(values["longer_sides"]))
        return cls(**values)


MUSIQ_SPAQ = MUSIQConfig()


class StandardizedConv(nn.Module):
    """A convolution whose kernels have mean 0 and deviation 1, padded as TensorFlow's "same"."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        nn.init.kaiming_normal_(self.weight)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d _ _"]:
        """Convolve; sizes are divided by the stride, rounded up."""
        dims = (1, 2, 3)
        kernels = self.weight - self.weight.mean(dims, keepdim=True)
        kernels = kernels / (kernels.std(dims, keepdim=True) + 1e-5)
        return F.conv2d(pad_same(x, self.kernel, self.stride), kernels, stride=self.stride)


class Bottleneck(nn.Module):
    """Three convolutions, each with its norm, and a projected shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = StandardizedConv(in_channels, in_channels, 1)
        self.gn1 = nn.GroupNorm(NUM_GROUPS, in_channels, eps=1e-4)
        self.conv2 = StandardizedConv(in_channels, in_channels, 3)
        self.gn2 = nn.GroupNorm(NUM_GROUPS, in_channels, eps=1e-4)
        self.conv3 = StandardizedConv(in_channels, out_channels, 1)
        self.gn3 = nn.GroupNorm(NUM_GROUPS, out_channels, eps=1e-4)
        self.conv_proj = StandardizedConv(in_channels, out_channels, 1)
        self.gn_proj = nn.GroupNorm(NUM_GROUPS, out_channels, eps=1e-4)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """The sum of both paths, rectified."""
        hidden = F.relu(self.gn1(self.conv1(x)))
        hidden = F.relu(self.gn2(self.conv2(hidden)))
        return F.relu(self.gn3(self.conv3(hidden)) + self.gn_proj(self.conv_proj(x)))


class Attention(nn.Module):
    """Multi-head attention over all patches of a frame."""

    def __init__(self, config: MUSIQConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_heads = config.num_heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Attend."""
        parts = (layer(x) for layer in (self.query, self.key, self.value))
        query, key, value = (rearrange(part, "b n (k d) -> b k n d", k=self.num_heads) for part in parts)
        read = F.scaled_dot_product_attention(query, key, value)
        return self.out(rearrange(read, "b k n d -> b n (k d)"))


class MLP(nn.Module):
    """Two linear layers."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Each patch by itself."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, config: MUSIQConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=1e-6)
        self.attention = Attention(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=1e-6)
        self.mlp = MLP(config.hidden_size, config.mlp_dim)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Two residual updates."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PositionTable(nn.Module):
    """An embedding of each place of the hashed grid."""

    def __init__(self, config: MUSIQConfig) -> None:
        super().__init__()
        self.position_emb = nn.Parameter(0.02 * torch.randn(1, config.grid_size**2, config.hidden_size))


class ScaleTable(nn.Module):
    """An embedding of each size of a frame; the last is the frame's own."""

    def __init__(self, config: MUSIQConfig) -> None:
        super().__init__()
        self.scale_emb = nn.Parameter(0.02 * torch.randn(len(config.longer_sides) + 1, config.hidden_size))


class TransformerEncoder(nn.Module):
    """Patches with their places and sizes, read through one class token."""

    def __init__(self, config: MUSIQConfig) -> None:
        super().__init__()
        self.posembed_input = PositionTable(config)
        self.scaleembed_input = ScaleTable(config)
        self.cls = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.encoder_norm = nn.LayerNorm(config.hidden_size, eps=1e-6)
        self.transformer = nn.ModuleDict(
            {f"encoderblock_{i}": Block(config) for i in range(config.num_layers)}
        )

    def forward(
        self, patches: Float[Tensor, "b n d"], places: Int[Tensor, " n"], scales: Int[Tensor, " n"]
    ) -> Float[Tensor, "b d"]:
        """Features of the class token."""
        embedded = self.posembed_input.position_emb[0, places] + self.scaleembed_input.scale_emb[scales]
        start = self.cls.expand(len(patches), -1, -1)
        x = torch.cat([start, patches + embedded], dim=1)
        for block in self.transformer.values():
            x = block(x)
        return self.encoder_norm(x[:, 0])


class MUSIQ(nn.Module):
    """Quality of single frames."""

    def __init__(self, config: MUSIQConfig) -> None:
        super().__init__()
        self.config = config
        out_channels = 4 * ROOT_CHANNELS
        self.conv_root = StandardizedConv(3, ROOT_CHANNELS, 7, stride=2)
        self.gn_root = nn.GroupNorm(NUM_GROUPS, ROOT_CHANNELS, eps=1e-6)
        self.block1 = Bottleneck(ROOT_CHANNELS, out_channels)
        self.embedding = nn.Linear(out_channels * (config.patch_size // 4) ** 2, config.hidden_size)
        self.transformer_encoder = TransformerEncoder(config)
        self.head = nn.Linear(config.hidden_size, 1)

    def forward(self, frames: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        """Quality of each frame; with the SPAQ weights about 0 to 100, higher is better.

        Args:
            frames: RGB in [0, 1], of any size. Memory grows with the square of the area: VBench first
                shrinks frames to at most 512 pixels a side.
        """
        parts = list(self._patches(2 * frames - 1))
        patches = torch.cat([patches for patches, _ in parts], dim=1)
        places = torch.cat([places for _, places in parts])
        lengths = torch.tensor([len(places) for _, places in parts], device=frames.device)
        scales = torch.arange(len(parts), device=frames.device).repeat_interleave(lengths)
        tokens = rearrange(self._tokens(patches.flatten(0, 1)), "(b n) d -> b n d", b=len(frames))
        return self.head(self.transformer_encoder(tokens, places, scales))[:, 0]

    def _tokens(self, patches: Float[Tensor, "m 3 p p"]) -> Float[Tensor, "m d"]:
        """What a small convolutional network sees in each patch."""
        hidden = F.relu(self.gn_root(self.conv_root(patches)))
        hidden = self.block1(F.max_pool2d(pad_same(hidden, 3, 2), 3, stride=2))
        return self.embedding(rearrange(hidden, "m c h w -> m (h w c)"))

    def _patches(
        self, frames: Float[Tensor, "b 3 h w"]
    ) -> Iterator[tuple[Float[Tensor, "b n 3 p p"], Int[Tensor, " n"]]]:
        """Patches and their places, of each smaller copy and of the frames themselves."""
        size = self.config.patch_size
        for longer_side in (*self.config.longer_sides, None):
            copies = frames if longer_side is None else _resize_longer_side(frames, longer_side)
            rows, columns = (math.ceil(side / size) for side in copies.shape[-2:])
            cut = F.unfold(pad_same(copies, size, size), size, stride=size)
            patches = rearrange(cut, "b (c i j) n -> b n c i j", c=3, i=size)
            yield patches, hashed_places(rows, columns, self.config.grid_size).to(frames.device)


def hashed_places(rows: int, columns: int, grid_size: int) -> Int[Tensor, " n"]:
    """Where each of ``rows`` x ``columns`` patches falls on a grid of ``grid_size`` places a side.

    place(i, j) = floor(i * grid_size / rows) * grid_size + floor(j * grid_size / columns)

    With more than 200 patches a side the published float arithmetic is off by one at a few; so is this.
    """
    places = torch.arange(grid_size, dtype=torch.float32)[None, None]
    i, j = (F.interpolate(places, count, mode="nearest").flatten().long() for count in (rows, columns))
    return (i[:, None] * grid_size + j).flatten()


def pad_same(x: Float[Tensor, "b c h w"], kernel: int, stride: int) -> Float[Tensor, "b c _ _"]:
    """Zeros around ``x`` so that a window of ``kernel`` at ``stride`` covers it all, as in TensorFlow."""
    rows, columns = (max(0, (math.ceil(side / stride) - 1) * stride + kernel - side) for side in x.shape[-2:])
    return F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))


def _resize_longer_side(frames: Float[Tensor, "b c h w"], side: int) -> Float[Tensor, "b c _ _"]:
    """Bicubic without antialiasing, as in the PyTorch port; the authors' code used a Gaussian."""
    height, width = frames.shape[-2:]
    ratio = side / max(height, width)
    size = (round(height * ratio), round(width * ratio))
    if min(size) < 1:
        raise ValueError(f"frames of {height} x {width} are too narrow for MUSIQ")
    return F.interpolate(frames, size, mode="bicubic", align_corners=False)
