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
    wrong_ids: Int[Tensor, "b n s"] | None = None
    """For each clip n captions that are nearly right, if there are any."""
    wrong_mask: Bool[Tensor, "b n s"] | None = None
    again_ids: Int[Tensor, "b s"] | None = None
    """Another caption of each clip, in other words, if there is one."""
    again_mask: Bool[Tensor, "b s"] | None = None

    def __len__(self) -> int:
        return len(self.ids)


class ContrastiveObjective:
    """Symmetric cross-entropy over the batch, for whole clips and for one random frame of each.

    The frame term sees no motion, so its captions are told apart by looks alone: it teaches the frame tower
    looks early, and its head is the image-text score.
    Captions that are nearly right, if the batch brings them, are further candidates for their own clip. Two
    captions of one clip, if it brings them, must find each other too: the text tower then tells shapes and
    motions apart before the frame tower sees them, and what is left for that one is nearly classification.
    Source: Radford et al. 2021 (arXiv:2103.00020), figure 3; Yuksekgonul et al. 2023 (arXiv:2210.01936) for
    the wrong captions, Gao et al. 2021 (arXiv:2104.08821), section 4, for pairs of captions with them.
    """

    def __init__(
        self, network: VideoTextModel, *, image_weight: float = 0.5, text_weight: float = 0.5
    ) -> None:
        self.trainable = network
        self._image_weight = image_weight
        self._text_weight = text_weight

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
        wrong = _encode_wrong(network, batch)
        scale = network.logit_scale.float().clamp(max=MAX_LOG_SCALE).exp()
        video_loss, video_accuracy = _contrast(scale * video, text, wrong)
        image_loss, image_accuracy = _contrast(scale * image, text, wrong)
        metrics: dict[str, Tensor | float] = {
            "video_loss": video_loss.detach(),
            "image_loss": image_loss.detach(),
            "video_accuracy": video_accuracy,
            "image_accuracy": image_accuracy,
        }
        loss = video_loss + self._image_weight * image_loss
        if self._text_weight and batch.again_ids is not None and batch.again_mask is not None:
            again = network.encode_text(batch.again_ids, batch.again_mask)
            text_loss, metrics["text_accuracy"] = _contrast(scale * again, text, wrong)
            metrics["text_loss"] = text_loss.detach()
            loss = loss + self._text_weight * text_loss
        return loss, metrics

    def after_step(self) -> None:
        """Nothing follows a step."""

    def state_dict(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""


def _encode_wrong(network: VideoTextModel, batch: CaptionedVideos) -> Float[Tensor, "b n e"] | None:
    if batch.wrong_ids is None or batch.wrong_mask is None:
        return None
    count = batch.wrong_ids.shape[1]
    embeds = network.encode_text(batch.wrong_ids.flatten(0, 1), batch.wrong_mask.flatten(0, 1))
    return embeds.unflatten(0, (-1, count))


def _contrast(
    seen: Float[Tensor, "b e"], text: Float[Tensor, "b e"], wrong: Float[Tensor, "b n e"] | None
) -> tuple[Tensor, Tensor]:
    """Mean of both directions' cross-entropies, and the share of captions that find their own clip."""
    logits = seen @ text.T
    candidates = logits
    if wrong is not None:
        candidates = torch.cat([logits, torch.einsum("be,bne->bn", seen, wrong)], dim=1)
    target = torch.arange(len(logits), device=logits.device)
    loss = (F.cross_entropy(candidates, target) + F.cross_entropy(logits.T, target)) / 2
    return loss, (logits.detach().argmax(dim=0) == target).float().mean()
