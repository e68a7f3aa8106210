"""A small contrastive video-text model: convolutional frame tower, temporal transformer, text tower.

The frame tower serves single frames (looks) and whole clips (looks and motion), each through its own head.
Its last map is flattened, not pooled, because motion is a change of place.
Source: the two-tower set-up of Radford et al. 2021 (arXiv:2103.00020).

Shapes: b batch, f frames, h w pixels, s text tokens, d frame features, e embedding features.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rufous.core.errors import ConfigError
from rufous.networks.text_encoders import TextEncoder, TextEncoderConfig

DOWNSAMPLING = 16  # four strided convolutions


@dataclass(frozen=True, kw_only=True)
class VideoTextConfig:
    """Architecture of one video-text model."""

    text: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    image_size: int = 64
    """Side in pixels at which frames are read; others are resized first."""
    channels: tuple[int, int, int, int] = (24, 48, 64, 96)
    norm_groups: int = 8
    frame_width: int = 128
    temporal_layers: int = 2
    temporal_heads: int = 4
    max_frames: int = 64

    def __post_init__(self) -> None:
        if self.image_size % DOWNSAMPLING:
            raise ConfigError(
                f"image_size={self.image_size}: use a multiple of {DOWNSAMPLING}, for example 64"
            )
        if self.frame_width % self.temporal_heads:
            raise ConfigError(f"frame_width={self.frame_width} is no multiple of {self.temporal_heads} heads")


class FrameTower(nn.Module):
    """Frames to features by four strided convolutions and one linear map of everything they left."""

    def __init__(self, config: VideoTextConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in config.channels:
            layers += [nn.Conv2d(before, width, 4, stride=2, padding=1)]
            layers += [nn.GroupNorm(config.norm_groups, width), nn.SiLU()]
            before = width
        side = config.image_size // DOWNSAMPLING
        self.convolutions = nn.Sequential(*layers)
        self.projection = nn.Linear(before * side * side, config.frame_width)

    def forward(self, frames: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """Features of frames in [-1, 1]."""
        return self.projection(self.convolutions(frames).flatten(1))


class VideoTextModel(nn.Module):
    """Embeds clips, frames and captions into one space: unit vectors, compared by their cosine."""

    def __init__(self, config: VideoTextConfig) -> None:
        super().__init__()
        self.config = config
        width, embed_dim = config.frame_width, config.text.embed_dim
        self.text = TextEncoder(config.text)
        self.frame_tower = FrameTower(config)
        layer = nn.TransformerEncoderLayer(
            width,
            config.temporal_heads,
            4 * width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.temporal = nn.TransformerEncoder(layer, config.temporal_layers, enable_nested_tensor=False)
        self.frame_position = nn.Parameter(0.02 * torch.randn(config.max_frames, width))
        self.video_head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, embed_dim))
        self.image_head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, embed_dim))
        self.logit_scale = nn.Parameter(torch.tensor(2.6593))  # ln(1 / 0.07), where CLIP starts

    def encode_video(self, video: Float[Tensor, "b 3 f h w"]) -> Float[Tensor, "b e"]:
        """Unit embeddings of clips in [-1, 1], of any size.

        Raises:
            ValueError: More frames than ``max_frames``.
        """
        return self.project_video(self.frame_features(video))

    def encode_image(self, frames: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b e"]:
        """Unit embeddings of single frames in [-1, 1], of any size."""
        return self.project_image(self.frame_features(rearrange(frames, "b c h w -> b c 1 h w"))[:, 0])

    def encode_text(self, ids: Int[Tensor, "b s"], mask: Bool[Tensor, "b s"]) -> Float[Tensor, "b e"]:
        """Unit embeddings of captions; ``mask`` is True up to the end token and False on the padding."""
        return F.normalize(self.text.pooled(ids, mask.sum(dim=1) - 1).float(), dim=-1)

    def frame_features(self, video: Float[Tensor, "b 3 f h w"]) -> Float[Tensor, "b f d"]:
        """Features of each frame by itself."""
        frames = rearrange(video, "b c f h w -> (b f) c h w")
        size = (self.config.image_size, self.config.image_size)
        if frames.shape[-2:] != size:
            frames = F.interpolate(frames, size, mode="bilinear", antialias=True, align_corners=False)
        return rearrange(self.frame_tower(frames), "(b f) d -> b f d", b=video.shape[0])

    def project_video(self, features: Float[Tensor, "b f d"]) -> Float[Tensor, "b e"]:
        """Unit clip embeddings from the features of their frames."""
        num_frames = features.shape[1]
        if num_frames > self.config.max_frames:
            raise ValueError(
                f"{num_frames} frames do not fit: this model reads up to {self.config.max_frames}"
            )
        hidden = self.temporal(features + self.frame_position[:num_frames])
        return F.normalize(self.video_head(hidden.mean(dim=1)).float(), dim=-1)

    def project_image(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b e"]:
        """Unit frame embeddings from frame features."""
        return F.normalize(self.image_head(features).float(), dim=-1)
