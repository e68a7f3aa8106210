"""UMT ViT-L/16 with a Kinetics-400 head: which of 400 human actions a clip shows.

Every frame gives 14 x 14 tokens (a tubelet is one frame long), and all tokens of all frames attend to each
other. Key names are those of the published ``l16_ptk710_ftk710_ftk400_f16_res224.pth``; outputs equal the
published code's on random weights (tests/reference). The published weights were never run here.

Source: Li et al. 2023 (arXiv:2303.16058), Unmasked Teacher.

Shapes: b batch, f frames, h w pixels, n tokens, d features, a actions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from rufous.core.errors import CheckpointError, ConfigError
from rufous.perception.vit_block import Block

TABLE_FRAMES, TABLE_SIDE = 8, 14  # of the sinusoids that other lengths and sizes are interpolated from


@dataclass(frozen=True, kw_only=True)
class UMTConfig:
    """Architecture of one UMT classifier; the defaults are those of ViT-L/16 on 16 frames."""

    img_size: int = 224
    """Pixels a side."""
    patch_size: int = 16
    all_frames: int = 16
    """The model reads exactly as many."""
    embed_dim: int = 1024
    depth: int = 24
    num_heads: int = 16
    num_classes: int = 400

    def __post_init__(self) -> None:
        if self.embed_dim % self.num_heads or self.embed_dim % 2:
            raise ConfigError(
                f"embed_dim={self.embed_dim} does not fit UMT: "
                f"use an even multiple of num_heads={self.num_heads}"
            )
        if self.img_size % self.patch_size:
            raise ConfigError(f"img_size={self.img_size} is no multiple of patch_size={self.patch_size}")

    @classmethod
    def from_reference(cls, fields: Mapping[str, Any]) -> "UMTConfig":
        """From the arguments of the published code; only a tubelet of one frame is built."""
        values = dict(fields)
        if values.pop("tubelet_size", 1) != 1:
            raise ConfigError(f"tubelet_size={fields['tubelet_size']} is not built: only 1 is")
        return cls(**values)


UMT_L_16_K400 = UMTConfig()


class PatchEmbed(nn.Module):
    """Pixels of each patch of each frame to a token."""

    def __init__(self, config: UMTConfig) -> None:
        super().__init__()
        kernel = (1, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(3, config.embed_dim, kernel, stride=kernel)

    def forward(self, pixels: Float[Tensor, "b 3 f h w"]) -> Float[Tensor, "b n d"]:
        """Tokens, frame by frame."""
        return rearrange(self.proj(pixels), "b d f h w -> b (f h w) d")


class UMT(nn.Module):
    """A classifier of clips."""

    def __init__(self, config: UMTConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.pos_embed = nn.Parameter(sinusoid_positions(config), requires_grad=False)
        self.blocks = nn.ModuleList(
            Block(config.embed_dim, config.num_heads, keys_have_bias=False) for _ in range(config.depth)
        )
        self.fc_norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, pixels: Float[Tensor, "b 3 f h w"]) -> Float[Tensor, "b a"]:
        """Logits of each action.

        Args:
            pixels: RGB, scaled to [0, 1] and then by ImageNet's mean and deviation, of exactly the config's
                length and size. VBench scales the shorter side to 256 bilinearly and crops the middle.

        Raises:
            ValueError: Another length or size.
        """
        config = self.config
        wanted = (config.all_frames, config.img_size, config.img_size)
        if tuple(pixels.shape[2:]) != wanted:
            raise ValueError(
                f"a clip of {tuple(pixels.shape[2:])} frames, rows and columns does not fit: "
                f"this UMT reads exactly {wanted}"
            )
        x = self.patch_embed(pixels) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.fc_norm(x.mean(dim=1)))


def sinusoid_positions(config: UMTConfig) -> Float[Tensor, "1 n d"]:
    """Sines and cosines of each token's index, from a table of 8 frames of 14 x 14.

    Other sizes are interpolated bicubically, other lengths linearly, as in the published code; so the
    positions of 16 frames are no sinusoids of their own.
    """
    num_tokens, width = TABLE_FRAMES * TABLE_SIDE**2, config.embed_dim
    index = torch.arange(num_tokens, dtype=torch.float64, device="cpu")
    pairs = torch.arange(width // 2, dtype=torch.float64, device="cpu")
    angles = index[:, None] * 10000.0 ** (-2 * pairs / width)
    table = rearrange(torch.stack([angles.sin(), angles.cos()]), "two n d -> n (d two)").float()
    side = config.img_size // config.patch_size
    grid = rearrange(table, "(f h w) d -> f d h w", f=TABLE_FRAMES, h=TABLE_SIDE)
    if side != TABLE_SIDE:
        grid = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False)
    lines = rearrange(grid, "f d h w -> (h w) d f")
    if config.all_frames != TABLE_FRAMES:
        lines = F.interpolate(lines, config.all_frames, mode="linear", align_corners=False)
    return rearrange(lines, "n d f -> 1 (f n) d")


def from_published_names(tensors: Mapping[str, Tensor], config: UMTConfig) -> dict[str, Tensor]:
    """The tensors of a published file, with the positions where it has none, as in the published code."""
    return {"pos_embed": sinusoid_positions(config), **tensors}


def read_labels(path: Path | str, *, num_classes: int = 400) -> tuple[str, ...]:
    """Names of the actions in the order of the logits, lower case.

    Args:
        path: VBench's ``kinetics_400_categories.txt``: on each line a name, a tab and the index.
        num_classes: How many there must be.

    Raises:
        CheckpointError: The file is missing, malformed, or does not name each index exactly once.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    names: dict[int, str] = {}
    for number, line in enumerate(filter(str.strip, lines), start=1):
        name, _, index = line.strip().rpartition("\t")
        if not name or not index.isdecimal() or int(index) in names:
            raise CheckpointError(
                f"{path}, line {number}: {line[:80]!r} is not a name, a tab and an index of its own"
            )
        names[int(index)] = name.strip().lower()
    if names.keys() != set(range(num_classes)):
        raise CheckpointError(f"{path} names {len(names)} actions, not each from 0 to {num_classes - 1}")
    return tuple(names[index] for index in range(num_classes))
