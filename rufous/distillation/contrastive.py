"""Contrastive training of a video-text model: captions and clips of a batch must find each other."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rufous.networks.video_text import VideoTextModel

MAX_LOG_SCALE = 4.6052  # ln 100, as in CLIP


@dataclass(frozen=True)
class CaptionedVideos:
    """Clips with pixels in [-1, 1], and their captions as token ids."""

    video: Float[Tensor, "b 3 f h w"]
    ids: Int[Tensor, "b s"]
    mask: Bool[Tensor, "b s"]

    def __len__(self) -> int:
        return len(self.ids)


class ContrastiveObjective:
    """Symmetric cross-entropy over the batch, for whole clips and for one random frame of each.

    The frame term sees no motion, so its captions are told apart by looks alone: it teaches the frame tower
    looks early, and its head is the image-text score.
    Source: Radford et al. 2021 (arXiv:2103.00020), figure 3.
    """

    def __init__(self, network: VideoTextModel, *, image_weight: float = 0.5) -> None:
        self.trainable = network
        self._image_weight = image_weight

    def loss(
        self, batch: CaptionedVideos, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Loss of one batch; logs how many captions find their own clip first."""
        network = self.trainable
        features = network.frame_features(batch.video)
        count, num_frames = features.shape[:2]
        chosen = torch.randint(num_frames, (count,), generator=generator, device=features.device)
        image = network.project_image(features[torch.arange(count, device=features.device), chosen])
        video = network.project_video(features)
        text = network.encode_text(batch.ids, batch.mask)
        scale = network.logit_scale.float().clamp(max=MAX_LOG_SCALE).exp()
        video_loss, video_accuracy = _symmetric_cross_entropy(scale * video @ text.T)
        image_loss, image_accuracy = _symmetric_cross_entropy(scale * image @ text.T)
        metrics: dict[str, Tensor | float] = {
            "video_loss": video_loss.detach(),
            "image_loss": image_loss.detach(),
            "video_accuracy": video_accuracy,
            "image_accuracy": image_accuracy,
        }
        return video_loss + self._image_weight * image_loss, metrics

    def after_step(self) -> None:
        """Nothing follows a step."""

    def state_dict(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""


def _symmetric_cross_entropy(logits: Float[Tensor, "b b"]) -> tuple[Tensor, Tensor]:
    target = torch.arange(len(logits), device=logits.device)
    loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    return loss, (logits.detach().argmax(dim=0) == target).float().mean()
