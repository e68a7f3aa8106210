"""How well single frames show the prompt: the cosine of image and text embeddings, averaged over frames.

Source: Radford et al. 2021 (arXiv:2103.00020) for the score; Li et al. 2024 (arXiv:2405.18750), T2V-Turbo,
for its use as a reward, without the logit scale. Published weights were never run here: loading is tested on
random weights under the published names.

Shapes: b batch, f frames, h w pixels, e embedding features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from rufous.checkpoints.published import PublishedFile
from rufous.checkpoints.tokenizers import clip_tokenizer
from rufous.networks.layers import call_checkpointed
from rufous.networks.video_text import VideoTextModel
from rufous.perception.clip import CLIP, VIT_H_14, VIT_L_14, CLIPConfig
from rufous.perception.preprocessing import Preprocessing
from rufous.perception.prompts import Tokenizer, check_tokenizer, encode_prompts
from rufous.rewards.pairs import load_clip
from rufous.rewards.reward import check_clips


@dataclass(frozen=True)
class PublishedClip:
    """A published CLIP: its architecture and its file, under transformers' names or open_clip's."""

    config: CLIPConfig
    file: PublishedFile


PUBLISHED_CLIPS = {
    "clip_l_14": PublishedClip(
        VIT_L_14, PublishedFile(hub_id="openai/clip-vit-large-patch14", file="model.safetensors")
    ),
    "hpsv2.1": PublishedClip(
        replace(VIT_H_14, preprocessing=Preprocessing(fit="pad")),
        PublishedFile(hub_id="xswu/HPSv2", file="HPS_v2.1_compressed.pt"),
    ),
    "pickscore": PublishedClip(
        VIT_H_14, PublishedFile(hub_id="yuvalkirstain/PickScore_v1", file="model.safetensors")
    ),
}
"""OpenAI's CLIP, and two that were fine-tuned on what people prefer among generated images. HPSv2's image
transform pads to a square; the others crop. HPSv2 prints its cosine times 100, about 20 to 35; PickScore
multiplies by the exponential of its logit scale.

Source: HPSv2, Wu et al. 2023 (arXiv:2306.09341); PickScore, Kirstain et al. 2023 (arXiv:2305.01569).
"""


class ImageTextReward:
    """Mean cosine between the frames of a clip and its prompt, in [-1, 1]. Owns a frozen network."""

    def __init__(
        self,
        name: str,
        network: CLIP | VideoTextModel,
        tokenizer: Tokenizer,
        *,
        slice_frames: int | None = None,
    ) -> None:
        """Freeze ``network`` in place.

        Args:
            name: Under which it is logged.
            network: Its image tower sees each frame by itself.
            tokenizer: The one its text tower was trained with.
            slice_frames: Embed as many frames of a batch at once and compute them again for the backward
                pass, which bounds memory; None embeds all and keeps their activations.

        Raises:
            ConfigError: The tokenizer does not fit.
            ValueError: ``slice_frames`` below 1.
        """
        check_tokenizer(tokenizer, network.config.text, name=name)
        if slice_frames is not None and slice_frames < 1:
            raise ValueError(f"slice_frames={slice_frames}: use 1 or more, or None")
        self.name = name
        self.network = network.eval().requires_grad_(False)
        self._tokenizer = tokenizer
        self._slice_frames = slice_frames

    def score(self, video: Float[Tensor, "b 3 f h w"], prompts: Sequence[str]) -> Float[Tensor, " b"]:
        """Mean cosine of each clip.

        Raises:
            ValueError: Clips and prompts do not match.
        """
        check_clips(video, prompts, name=self.name)
        text = encode_prompts(
            self.network,
            self._tokenizer,
            prompts,
            context_length=self.network.config.text.context_length,
            device=video.device,
        )
        embeddings = self._embed(rearrange(video, "b c f h w -> (b f) c h w"))
        images = rearrange(embeddings, "(b f) e -> b f e", b=len(video))
        # a product and a sum, since autocast would compute a matrix product in half precision
        return (images * rearrange(text, "b e -> b 1 e")).sum(dim=-1).mean(dim=1)

    def _embed(self, frames: Tensor) -> Tensor:
        if self._slice_frames is None:
            return self.network.encode_image(frames)
        slices = frames.split(self._slice_frames)
        return torch.cat(
            [call_checkpointed(self.network.encode_image, part, enabled=True) for part in slices]
        )


def published_clip(
    name: str,
    path: Path | str | None = None,
    *,
    tokenizer: Path | str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> ImageTextReward:
    """One of ``PUBLISHED_CLIPS``, scored by its bare cosine.

    Args:
        name: Which.
        path: Its file; None to look where weights are kept.
        tokenizer: Folder with CLIP's ``vocab.json`` and ``merges.txt``; None to look there as well.
        device: Where the weights go.
        dtype: Of the weights.

    Raises:
        CheckpointError: A file is missing or does not fit.
    """
    published = PUBLISHED_CLIPS[name]
    network = load_clip(published.config, published.file, path, device=device, dtype=dtype)
    return ImageTextReward(name, network, clip_tokenizer(tokenizer), slice_frames=1)
