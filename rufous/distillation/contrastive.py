"""Contrastive training of a video-text model: each caption must find its clip among the batch, and vice versa."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rufous.perception.video_text import VideoTextModel


@dataclass(frozen=True)
class ContrastiveBatch:
    """Captioned clips; pixels in [-1, 1]."""

    video: Float[Tensor, "b 3 f h w"]
    ids: Int[Tensor, "b s"]
    mask: Bool[Tensor, "b s"]


class ContrastiveObjective:
    """Symmetric cross-entropy over the batch, for whole clips and for one random frame of each.

    The frame term sees no motion, so its captions can be told apart by looks alone; it makes the frame tower
    learn looks early, and its head is the image-text score.
    Source: Radford et al. 2021 (arXiv:2103.00020), figure 3.
    """

    def __init__(self, model: VideoTextModel, *, image_weight: float = 0.5) -> None:
        self.trainable = model
        self.image_weight = image_weight

    def loss(self, batch: ContrastiveBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and retrieval accuracies of one batch."""
        model = self.trainable
        features = model.frame_features(batch.video)
        count, num_frames = features.shape[:2]
        chosen = torch.randint(num_frames, (count,), generator=generator, device=generator.device).to(features.device)
        image = F.normalize(model.image_head(features[torch.arange(count, device=features.device), chosen]).float(), dim=-1)
        video, text = model.pool_frames(features), model.encode_text(batch.ids, batch.mask)
        scale = model.logit_scale.float().clamp(max=4.6052).exp()  # at most 100, as CLIP
        video_loss, video_accuracy = _symmetric_cross_entropy(scale * video @ text.T)
        image_loss, image_accuracy = _symmetric_cross_entropy(scale * image @ text.T)
        metrics = {
            "video_loss": video_loss.detach(),
            "image_loss": image_loss.detach(),
            "video_accuracy": video_accuracy,
            "image_accuracy": image_accuracy,
        }
        return video_loss + self.image_weight * image_loss, metrics

    def after_step(self) -> None:
        """Nothing to do after a step."""

    def state_dict(self) -> dict[str, Any]:
        """No state beside the model."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """No state beside the model."""


def _symmetric_cross_entropy(logits: Float[Tensor, "b b"]) -> tuple[Tensor, Tensor]:
    target = torch.arange(len(logits), device=logits.device)
    loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    return loss, (logits.detach().argmax(dim=1) == target).float().mean()
