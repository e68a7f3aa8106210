"""Swin-3D whose position bias knows fragments: the technical branch of DOVER, first of FAST-VQA.

Its frames are mosaics of crops, so two neighbouring tokens may come from far apart. Within a window the bias
between two tokens is a mixture of two tables, by a gate that counts how many fragments lie between them:

    gate = |difference of fragment rows| + |difference of fragment columns|
    bias = gate * relative_position_bias + (1 - gate) * fragment_position_bias

The gate is not limited to 1. Attribute names are those of the published checkpoint. Written from the papers
and from the facts of the published code (VQAssessment/DOVER f1ddc96, S-Lab licence 1.0, non-commercial).

Source: Liu et al. 2022 (arXiv:2106.13230), Video Swin; Wu et al. 2022 (arXiv:2207.02595), FAST-VQA, sec. 3.3.

Shapes: b batch, c channels, f h w frames and lines and columns of tokens, g windows, n tokens of a window,
k heads, d features.
"""

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from rufous.core.errors import ConfigError

Size: TypeAlias = tuple[int, int, int]
"""Frames, lines and columns."""

_APART = -100.0  # added where two tokens meet only because the shift wraps around; as published


@dataclass(frozen=True, kw_only=True)
class GatedSwinConfig:
    """Architecture of one network; the defaults are DOVER's."""

    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    window_size: Size = (8, 7, 7)
    frag_biases: tuple[bool, ...] = (True, True, True, False)
    """Which stages have a second table; the others use the relative positions alone."""
    patch_size: Size = (2, 4, 4)

    def __post_init__(self) -> None:
        if not len(self.depths) == len(self.num_heads) == len(self.frag_biases):
            raise ConfigError(
                f"depths={self.depths}, num_heads={self.num_heads} and frag_biases={self.frag_biases} "
                "must name as many stages"
            )
        if wrong := [k for i, k in enumerate(self.num_heads) if self.embed_dim * 2**i % k]:
            raise ConfigError(f"num_heads={wrong[0]} does not divide the width of its stage")

    @property
    def num_features(self) -> int:
        """Channels of the output."""
        return self.embed_dim * 2 ** (len(self.depths) - 1)


class Windows(NamedTuple):
    """How one stage cuts its tokens into windows."""

    size: Size
    """Of a window; never larger than the tokens there are."""
    shift: Size
    padded: Size
    """Tokens with the zeros that fill the last windows."""
    gate: Float[Tensor, "g 1 n n"]
    mask: Float[Tensor, "g 1 n n"] | None


class WindowAttention(nn.Module):
    """Attention among the tokens of each window."""

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, window_size: Size, *, has_fragments: bool) -> None:
        super().__init__()
        self.heads = heads
        num_offsets = math.prod(2 * side - 1 for side in window_size)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(num_offsets, heads))
        if has_fragments:
            self.fragment_position_bias_table = nn.Parameter(torch.zeros(num_offsets, heads))
        self.has_fragments = has_fragments
        self.register_buffer("relative_position_index", offset_numbers(window_size))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "bg n d"], windows: Windows) -> Float[Tensor, "bg n d"]:
        """Mix the tokens of each window."""
        q, k, v = rearrange(
            self.qkv(x), "(b g) n (three k d) -> three b g k n d", three=3, k=self.heads, g=len(windows.gate)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=self._bias(x.shape[1], windows))
        return self.proj(rearrange(mixed, "b g k n d -> (b g) n (k d)"))

    def _bias(self, tokens: int, windows: Windows) -> Float[Tensor, "g k n n"]:
        # of a smaller window the first rows and columns count, whatever their places: as published
        numbers = self.relative_position_index[:tokens, :tokens]
        bias = rearrange(self.relative_position_bias_table[numbers], "n m k -> 1 k n m")
        if self.has_fragments:
            inside = rearrange(self.fragment_position_bias_table[numbers], "n m k -> 1 k n m")
            bias = bias * windows.gate + inside * (1 - windows.gate)
        else:
            bias = bias.expand(len(windows.gate), -1, -1, -1)
        return bias if windows.mask is None else bias + windows.mask


class MLP(nn.Module):
    """Two linear maps with GELU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """Map each token by itself."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Windowed attention and an MLP, each after a norm and added to its input."""

    def __init__(self, width: int, heads: int, window_size: Size, *, has_fragments: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window_size, has_fragments=has_fragments)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = MLP(width)

    def forward(self, x: Float[Tensor, "b f h w d"], windows: Windows) -> Float[Tensor, "b f h w d"]:
        """Two residual updates."""
        size = x.shape[1:4]
        cut = into_windows(_padded(self.norm1(x), windows.padded), windows)
        x = x + from_windows(self.attn(cut, windows), windows)[:, : size[0], : size[1], : size[2]]
        return x + self.mlp(self.norm2(x))


class PatchMerging(nn.Module):
    """Four neighbours of a frame become one token, twice as wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Float[Tensor, "b f h w d"]) -> Float[Tensor, "b f h2 w2 d2"]:
        """Halve lines and columns; zeros fill odd ones."""
        height, width = x.shape[2:4]
        x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
        joined = rearrange(x, "b f (h p) (w q) d -> b f h w (q p d)", p=2, q=2)
        return self.reduction(self.norm(joined))


class Stage(nn.Module):
    """Blocks that shift their windows in turn, then a merge unless it is the last stage."""

    def __init__(self, config: GatedSwinConfig, number: int) -> None:
        super().__init__()
        width = config.embed_dim * 2**number
        self.window_size = config.window_size
        self.blocks = nn.ModuleList(
            Block(
                width,
                config.num_heads[number],
                config.window_size,
                has_fragments=config.frag_biases[number],
            )
            for _ in range(config.depths[number])
        )
        self.downsample = PatchMerging(width) if number + 1 < len(config.depths) else None

    def forward(self, x: Float[Tensor, "b f h w d"]) -> Float[Tensor, "b f h2 w2 d2"]:
        """All blocks, then the merge."""
        frames, height, width = x.shape[1:4]
        kinds = [
            windows_of((frames, height, width), self.window_size, is_shifted=is_shifted, device=x.device)
            for is_shifted in (False, True)
        ]
        for block, windows in zip(self.blocks, itertools.cycle(kinds), strict=False):
            x = block(x, windows)
        return x if self.downsample is None else self.downsample(x)


class PatchEmbed(nn.Module):
    """Pixels to tokens."""

    def __init__(self, config: GatedSwinConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.proj = nn.Conv3d(3, config.embed_dim, kernel_size=config.patch_size, stride=config.patch_size)
        self.norm = nn.LayerNorm(config.embed_dim)

    def forward(self, video: Float[Tensor, "b 3 f h w"]) -> Float[Tensor, "b f2 h2 w2 d"]:
        """One token for each patch; zeros fill the last ones."""
        frames, height, width = (-n % side for n, side in zip(video.shape[2:], self.patch_size, strict=True))
        patches = self.proj(F.pad(video, (0, width, 0, height, 0, frames)))
        return self.norm(rearrange(patches, "b d f h w -> b f h w d"))


class GatedSwin(nn.Module):
    """Features of mosaics of fragments."""

    def __init__(self, config: GatedSwinConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.layers = nn.ModuleList(Stage(config, number) for number in range(len(config.depths)))
        self.norm = nn.LayerNorm(config.num_features)

    def forward(self, video: Float[Tensor, "b 3 f h w"]) -> Float[Tensor, "b d f2 h2 w2"]:
        """Feature map of normalised pixels; by default half as many frames, 1/32 of the lines and columns."""
        x = self.patch_embed(video)
        for layer in self.layers:
            x = layer(x)
        return rearrange(self.norm(x), "b f h w d -> b d f h w")


def offset_numbers(window_size: Size) -> Int[Tensor, "n n"]:
    """For each two tokens of a window, which row of the table holds their offset."""
    sides = [torch.arange(side, device="cpu") for side in window_size]
    places = torch.stack(torch.meshgrid(*sides, indexing="ij")).flatten(1)
    numbers = torch.zeros(places.shape[1], places.shape[1], dtype=torch.int64, device="cpu")
    for place, side in zip(places, window_size, strict=True):
        numbers = numbers * (2 * side - 1) + place[:, None] - place[None, :] + side - 1
    return numbers


def windows_of(tokens: Size, window_size: Size, *, is_shifted: bool, device: torch.device) -> Windows:
    """Windows over so many tokens; where one window holds an axis, it is not shifted along it."""
    size = _triple(min(n, side) for n, side in zip(tokens, window_size, strict=True))
    shift = _triple(
        side // 2 if is_shifted and n > side else 0 for n, side in zip(tokens, window_size, strict=True)
    )
    padded = _triple(-(-n // side) * side for n, side in zip(tokens, size, strict=True))
    windows = Windows(size, shift, padded, gate=torch.empty(0), mask=None)

    fragments = [_stretched(side, n, device) for side, n in zip(size[1:], padded[1:], strict=True)]
    grid = torch.stack(torch.meshgrid(*fragments, indexing="ij"), dim=-1).expand(1, padded[0], -1, -1, 2)
    places = into_windows(grid, windows)
    gate = (places[:, :, None] - places[:, None, :]).abs().sum(-1)[:, None]
    if not any(shift):
        return windows._replace(gate=gate)

    regions = [_regions(*each, device) for each in zip(padded, size, shift, strict=True)]
    grid = torch.stack(torch.meshgrid(*regions, indexing="ij"), dim=-1)[None]
    parts = into_windows(grid, windows._replace(shift=(0, 0, 0)))
    apart = (parts[:, :, None] != parts[:, None, :]).any(-1)[:, None]
    return windows._replace(gate=gate, mask=_APART * apart)


def into_windows(x: Float[Tensor, "b f h w d"], windows: Windows) -> Float[Tensor, "bg n d"]:
    """Padded tokens, shifted and cut into windows."""
    frames, height, width = windows.size
    return rearrange(
        x.roll([-step for step in windows.shift], (1, 2, 3)),
        "b (f ff) (h hh) (w ww) d -> (b f h w) (ff hh ww) d",
        ff=frames,
        hh=height,
        ww=width,
    )


def from_windows(x: Float[Tensor, "bg n d"], windows: Windows) -> Float[Tensor, "b f h w d"]:
    """The inverse of ``into_windows``."""
    (frames, height, width), padded = windows.size, windows.padded
    whole = rearrange(
        x,
        "(b f h w) (ff hh ww) d -> b (f ff) (h hh) (w ww) d",
        f=padded[0] // frames,
        h=padded[1] // height,
        w=padded[2] // width,
        ff=frames,
        hh=height,
        ww=width,
    )
    return whole.roll(windows.shift, (1, 2, 3))


def _padded(x: Tensor, size: Size) -> Tensor:
    frames, height, width = (to - n for to, n in zip(size, x.shape[1:4], strict=True))
    return F.pad(x, (0, 0, 0, width, 0, height, 0, frames))


def _stretched(fragments: int, tokens: int, device: torch.device) -> Float[Tensor, " n"]:
    """The fragment of each token along one axis, by torch's nearest neighbour as published."""
    numbers = torch.arange(fragments, device=device, dtype=torch.float32)
    return F.interpolate(numbers[None, None], size=tokens)[0, 0]


def _regions(tokens: int, window: int, shift: int, device: torch.device) -> Float[Tensor, " n"]:
    """Which stretch of the axis each shifted token belongs to; stretches do not see each other."""
    places = torch.arange(tokens, device=device)
    later = (places >= tokens - window).float() + (places >= tokens - shift).float()
    return later if shift else torch.zeros_like(later)


def _triple(values) -> Size:  # type: ignore[no-untyped-def]
    first, second, third = values
    return first, second, third
