"""ViCLIP: CLIP whose vision tower attends over all patches of 8 frames, each frame with a position.

Key names are those of the published ``ViClip-InternVid-10M-FLT.pth``; both towers' outputs equal the
published code's on random weights (tests/reference). The published weights were never run here. With one
frame and no frame positions the tower is CLIP's own.

Source: Wang et al. 2023 (arXiv:2307.06942), the model of InternVid.

Shapes: b batch, f frames, h w pixels, n patches of a frame, s text tokens, d features, e embedding features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rufous.core.errors import ConfigError
from rufous.networks.layers import call_checkpointed
from rufous.networks.text_encoders import MLP, TextEncoder, TextEncoderConfig
from rufous.perception.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, preprocess
from rufous.perception.prompts import unit


@dataclass(frozen=True, kw_only=True)
class ViCLIPConfig:
    """Architecture of one ViCLIP, and what its pixels go through; the defaults are ViCLIP-L/14's."""

    text: TextEncoderConfig = field(
        default_factory=lambda: TextEncoderConfig(
            context_length=32, width=768, heads=12, layers=12, embed_dim=768, quick_gelu=True, layer="last"
        )
    )
    num_frames: int = 8
    """The model reads exactly as many."""
    patch_size: int = 14
    width: int = 1024
    """Of the vision tower, as are ``heads`` and ``layers``."""
    heads: int = 16
    layers: int = 24
    preprocessing: Preprocessing = field(
        default_factory=lambda: Preprocessing(
            mean=IMAGENET_MEAN, std=IMAGENET_STD
        )  # T2V-Turbo; VBench: CLIP's
    )
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass; the initial value of the attribute of that name."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"width={self.width} is no multiple of heads={self.heads}")
        if self.preprocessing.size % self.patch_size:
            raise ConfigError(
                f"size={self.preprocessing.size} does not fit this ViCLIP: "
                f"use a multiple of patch_size={self.patch_size}"
            )


class VisionBlock(nn.Module):
    """Pre-norm attention over all tokens, and an MLP."""

    def __init__(self, config: ViCLIPConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width)
        self.attn = nn.MultiheadAttention(config.width, config.heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(config.width)
        self.mlp = MLP(config.width, quick_gelu=config.text.quick_gelu)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Two residual updates."""
        hidden = self.ln_1(x)
        x = x + self.attn(hidden, hidden, hidden, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class VisionTransformer(nn.Module):
    """The stack of blocks, under its published name ``transformer.resblocks``."""

    def __init__(self, config: ViCLIPConfig) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(VisionBlock(config) for _ in range(config.layers))


class VisionTower(nn.Module):
    """Normalised frames to one embedding, read from a single class token."""

    def __init__(self, config: ViCLIPConfig) -> None:
        super().__init__()
        self.gradient_checkpointing = config.gradient_checkpointing
        width, patch = config.width, config.patch_size
        num_patches = (config.preprocessing.size // patch) ** 2
        self.conv1 = nn.Conv3d(3, width, (1, patch, patch), stride=(1, patch, patch), bias=False)
        self.class_embedding = nn.Parameter(width**-0.5 * torch.randn(width))
        self.positional_embedding = nn.Parameter(width**-0.5 * torch.randn(num_patches + 1, width))
        self.temporal_positional_embedding = nn.Parameter(torch.zeros(1, config.num_frames, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = VisionTransformer(config)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(width**-0.5 * torch.randn(width, config.text.embed_dim))

    def forward(self, pixels: Float[Tensor, "b 3 f h w"]) -> Float[Tensor, "b e"]:
        """Embedding of each clip; not normalised."""
        patches = rearrange(self.conv1(pixels), "b d f h w -> b f (h w) d")
        times = rearrange(self.temporal_positional_embedding, "1 f d -> 1 f 1 d")
        patches = patches + self.positional_embedding[1:] + times
        start = (self.class_embedding + self.positional_embedding[0]).expand(len(pixels), 1, -1)
        x = self.ln_pre(torch.cat([start, rearrange(patches, "b f n d -> b (f n) d")], dim=1))
        for block in self.transformer.resblocks:
            x = call_checkpointed(block, x, enabled=self.gradient_checkpointing)
        return self.ln_post(x[:, 0]) @ self.proj


class ViCLIP(nn.Module):
    """Unit embeddings of clips and of prompts."""

    def __init__(self, config: ViCLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_encoder = VisionTower(config)
        self.text_encoder = TextEncoder(config.text)

    def encode_video(self, video: Float[Tensor, "b 3 f h w"]) -> Float[Tensor, "b e"]:
        """Unit embeddings of clips in [-1, 1], of any size.

        Raises:
            ValueError: Another number of frames than the config's.
        """
        if video.shape[2] != self.config.num_frames:
            raise ValueError(
                f"{video.shape[2]} frames do not fit: this ViCLIP reads exactly {self.config.num_frames}"
            )
        frames = preprocess(rearrange(video, "b c f h w -> (b f) c h w"), self.config.preprocessing)
        pixels = rearrange(frames, "(b f) c h w -> b c f h w", b=len(video))
        return unit(self.vision_encoder(pixels.to(self.vision_encoder.proj.dtype)))

    def encode_text(self, ids: Int[Tensor, "b s"], mask: Bool[Tensor, "b s"]) -> Float[Tensor, "b e"]:
        """Unit embeddings of prompts; ``mask`` is True up to the end token."""
        return unit(self.text_encoder.pooled(ids, mask.sum(dim=1) - 1))


def from_published_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a published file, without ``temp``, the temperature of its training loss."""
    return {name: tensor for name, tensor in tensors.items() if name != "temp"}
