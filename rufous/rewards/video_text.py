"""How well a whole clip shows the prompt: the cosine of video and text embeddings.

InternVideo2, which Hummingbird used, is left out: no source at hand describes its attention pooling and its
key names.

Source: Li et al. 2024 (arXiv:2405.18750), T2V-Turbo, for the use as a reward.

Shapes: b batch, f frames, h w pixels, e embedding features.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from rufous.checkpoints.published import PublishedFile
from rufous.checkpoints.tokenizers import clip_tokenizer
from rufous.networks.video_text import VideoTextModel
from rufous.perception.prompts import Tokenizer, check_tokenizer, encode_prompts
from rufous.perception.viclip import ViCLIP, ViCLIPConfig
from rufous.rewards.pairs import load_viclip
from rufous.rewards.reward import check_clips

VICLIP_FILE = PublishedFile(hub_id="OpenGVLab/VBench_Used_Models", file="ViClip-InternVid-10M-FLT.pth")
VICLIP_L_14 = ViCLIPConfig(gradient_checkpointing=True)


class VideoTextReward:
    """Cosine between a clip and its prompt, in [-1, 1]. Owns a frozen network."""

    def __init__(
        self,
        name: str,
        network: ViCLIP | VideoTextModel,
        tokenizer: Tokenizer,
        *,
        frame_stride: int = 1,
    ) -> None:
        """Freeze ``network`` in place.

        Args:
            name: Under which it is logged.
            network: Embeds whole clips.
            tokenizer: The one its text tower was trained with.
            frame_stride: Of the clips that it is given, it reads every so-manieth frame, as in its training.

        Raises:
            ConfigError: The tokenizer does not fit.
            ValueError: ``frame_stride`` below 1.
        """
        check_tokenizer(tokenizer, network.config.text, name=name)
        if frame_stride < 1:
            raise ValueError(f"frame_stride={frame_stride}: use 1 or more")
        self.name = name
        self.network = network.eval().requires_grad_(False)
        self._tokenizer, self._frame_stride = tokenizer, frame_stride

    def score(self, video: Float[Tensor, "b 3 f h w"], prompts: Sequence[str]) -> Float[Tensor, " b"]:
        """Cosine of each clip.

        Raises:
            ValueError: Clips and prompts do not match, or the model reads another number of frames.
        """
        check_clips(video, prompts, name=self.name)
        text = encode_prompts(
            self.network,
            self._tokenizer,
            prompts,
            context_length=self.network.config.text.context_length,
            device=video.device,
        )
        return (self.network.encode_video(video[:, :, :: self._frame_stride]) * text).sum(dim=1)


def viclip(
    path: Path | str | None = None,
    *,
    tokenizer: Path | str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> VideoTextReward:
    """ViCLIP-L/14; give it 8 frames. Its published weights were never run here.

    Args:
        path: The file ``ViClip-InternVid-10M-FLT.pth``; None to look where weights are kept.
        tokenizer: Folder with CLIP's ``vocab.json`` and ``merges.txt``; None to look there as well.
        device: Where the weights go.
        dtype: Of the weights.

    Raises:
        CheckpointError: A file is missing or does not fit.
    """
    network = load_viclip(VICLIP_L_14, VICLIP_FILE, path, device=device, dtype=dtype)
    return VideoTextReward("viclip", network, clip_tokenizer(tokenizer))
