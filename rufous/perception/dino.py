"""DINO ViT-B/16: one feature vector of each frame, which tells subjects apart without labels.

Written here rather than taken from transformers: the published ``dino_vitbase16_pretrain.pth`` then loads
strictly under its own names, and frames that are not square get the published positions, which transformers
interpolates a little differently. Outputs equal the published code's on random weights (tests/reference). The
published weights were never run here.

Source: Caron et al. 2021 (arXiv:2104.14294).

Shapes: b batch, h w pixels, n tokens, d features.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from rufous.core.errors import ConfigError
from rufous.perception.vit_block import Block

_NUDGE = 0.1  # patches that the published code adds to both sizes before it interpolates positions


@dataclass(frozen=True, kw_only=True)
class DINOConfig:
    """Architecture of one DINO; the defaults are those of ViT-B/16."""

    img_size: int = 224
    """Pixels a side that the positions were trained for; other sizes interpolate them."""
    patch_size: int = 16
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12

    def __post_init__(self) -> None:
        if self.embed_dim % self.num_heads:
            raise ConfigError(f"embed_dim={self.embed_dim} is no multiple of num_heads={self.num_heads}")
        if self.img_size % self.patch_size:
            raise ConfigError(f"img_size={self.img_size} is no multiple of patch_size={self.patch_size}")


DINO_B_16 = DINOConfig()


class PatchEmbed(nn.Module):
    """Pixels of each patch to a token."""

    def __init__(self, config: DINOConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.embed_dim, config.patch_size, stride=config.patch_size)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d y x"]:
        """Tokens where they lie; what does not fill a patch at the right and below is left out."""
        return self.proj(pixels)


class DINO(nn.Module):
    """Features of single frames."""

    def __init__(self, config: DINOConfig) -> None:
        super().__init__()
        self.config = config
        width, num_patches = config.embed_dim, (config.img_size // config.patch_size) ** 2
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, num_patches + 1, width))
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList(Block(width, config.num_heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Features of the class token; not normalised.

        Args:
            pixels: RGB, scaled to [0, 1] and then by ImageNet's mean and deviation, of any size from one
                patch. VBench scales the shorter side to 224, bilinear, not antialiased, and crops nothing.

        Raises:
            ValueError: Frames smaller than a patch.
        """
        size = self.config.patch_size
        if min(pixels.shape[-2:]) < size:
            raise ValueError(
                f"frames of {tuple(pixels.shape[-2:])} are too small: use {size} pixels a side or more"
            )
        patches = self.patch_embed(pixels)
        start = self.cls_token.expand(len(pixels), -1, -1)
        x = torch.cat([start, rearrange(patches, "b d y x -> b (y x) d")], dim=1)
        x = x + self._positions(*pixels.shape[-2:])
        for block in self.blocks:
            x = block(x)
        return self.norm(x[:, 0])

    def _positions(self, height: int, width: int) -> Float[Tensor, "1 n d"]:
        """The trained positions, or what they are between for frames of another size."""
        side, size = self.config.img_size // self.config.patch_size, self.config.patch_size
        rows, columns = height // size, width // size
        if height == width and rows == side:
            return self.pos_embed
        grid = rearrange(self.pos_embed[:, 1:], "1 (y x) d -> 1 d y x", y=side)
        scale = ((rows + _NUDGE) / side, (columns + _NUDGE) / side)
        grid = F.interpolate(grid, scale_factor=scale, mode="bicubic", align_corners=False)
        return torch.cat([self.pos_embed[:, :1], rearrange(grid, "1 d y x -> 1 (y x) d")], dim=1)
