"""Embeddings of whole clips by the world's video-text model, as its training read them.

Shapes: f frames, h w pixels, n clips, e embedding features.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rufous.networks.video_text import VideoTextModel
from rufous.video.frames import from_uint8

BATCH_SIZE = 16


@torch.no_grad()
def embed(model: VideoTextModel, clips: Sequence[Tensor], frame_stride: int) -> Float[Tensor, "n e"]:
    """Embeddings of uint8 clips [f 3 h w] of one size, every so-manieth frame read, as in the training."""
    model = model.float().eval()
    device = model.frame_position.device
    parts = [
        torch.stack(list(clips[start : start + BATCH_SIZE])) for start in range(0, len(clips), BATCH_SIZE)
    ]
    videos = (from_uint8(part[:, ::frame_stride].to(device).transpose(1, 2)) for part in parts)
    return torch.cat([model.encode_video(video).cpu() for video in videos])
