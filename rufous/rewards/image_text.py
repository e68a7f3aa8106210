"""How well single frames show the prompt: the cosine of image and text embeddings, averaged over frames.

Source: Radford et al. 2021 (arXiv:2103.00020) for the score; Li et al. 2024 (arXiv:2405.18750), T2V-Turbo,
for its use as a reward, without the logit scale.

Shapes: b batch, f frames, h w pixels, e embedding features.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from rufous.checkpoints.published import PublishedFile
from rufous.networks.layers import call_checkpointed
from rufous.networks.video_text import VideoTextModel
from rufous.perception.clip import CLIP, VIT_L_14
from rufous.perception.prompts import Tokenizer, check_tokenizer, encode_prompts
from rufous.rewards.pairs import clip_tokenizer, load_clip, load_world_pair
from rufous.rewards.reward import check_clips

CLIP_L_14_FILE = PublishedFile(hub_id="openai/clip-vit-large-patch14", file="model.safetensors")


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


def world_image_text(
    release: str | Path = "world-video-text", *, device: torch.device | str = "cpu"
) -> ImageTextReward:
    """The image head of the world's own model; looks alone, no motion.

    Raises:
        CheckpointError: No such release, or one without ``video_text`` and ``tokenizer``.
    """
    return ImageTextReward("world_image_text", *load_world_pair(release, device=device))


def clip_l_14(
    path: Path | str | None = None,
    *,
    tokenizer: Path | str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> ImageTextReward:
    """OpenAI's CLIP ViT-L/14, from transformers' file of it.

    Args:
        path: The file; None to look where weights are kept.
        tokenizer: Folder with CLIP's ``vocab.json`` and ``merges.txt``; None to look there as well.
        device: Where the weights go.
        dtype: Of the weights.

    Raises:
        CheckpointError: A file is missing or does not fit.
    """
    network = load_clip(VIT_L_14, CLIP_L_14_FILE, path, device=device, dtype=dtype)
    return ImageTextReward("clip_l_14", network, clip_tokenizer(tokenizer), slice_frames=1)
