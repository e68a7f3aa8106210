"""CLIPSIM: how well the frames of a clip show its prompt, by OpenCLIP ViT-H/14.

There is no canonical code. As in AnimateLCM's evaluation, the cosine of image and text is averaged over all
frames of a clip, then over clips, and the prompt is cut at 77 tokens; published figures are 100 times this,
which is what CLIP's logit is. Frames are resized by way of pictures, as transformers' processor of this model
does. VBench has no such dimension.

Source: Wu et al. 2021 (arXiv:2104.14806) for the name; Wang et al. 2024 (arXiv:2402.00769) for the network.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from rufous.checkpoints.published import PublishedFile
from rufous.checkpoints.tokenizers import clip_tokenizer
from rufous.checkpoints.weights import find_weights, load_published
from rufous.core.files import sha256_of
from rufous.evaluation.dimensions.consistency import Embed, EmbedText, embedded
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore, Label
from rufous.evaluation.dimensions.loaded_row import LoadedRow
from rufous.evaluation.dimensions.published_rows import on_device, texts
from rufous.evaluation.dimensions.resizing import clip_picture_pixels
from rufous.perception.clip import CLIP, VIT_H_14, from_published_names
from rufous.perception.prompts import Tokenizer, check_tokenizer

CLIP_FILE = PublishedFile(hub_id="laion/CLIP-ViT-H-14-laion2B-s32B-b79K", file="model.safetensors")


@dataclass(frozen=True, kw_only=True)
class Clipsim:
    """Mean cosine of CLIP ViT-H/14 between the frames and the prompt; real clips have about 0.25 to 0.31."""

    embed: Embed
    """From preprocessed frames [n 3 side side] to unit embeddings."""
    embed_text: EmbedText
    side: int = 224
    """Pixels a side of what ``embed`` reads."""
    name: str = "clipsim"
    label: Label = "parity-random"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 2

    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score a clip that has a prompt."""
        if not clip.prompt:
            raise ValueError("the clip has no prompt to compare it with: name it by its prompt")
        images = embedded(self.embed, clip.frames, lambda frames: clip_picture_pixels(frames, self.side))
        mean = float((images @ self.embed_text([clip.prompt])[0]).double().mean())
        return ClipScore(value=mean, details={"clipsim": 100.0 * mean})


def clipsim_of(network: CLIP, tokenizer: Tokenizer, device: torch.device) -> Clipsim:
    """The row on a network that is on ``device``.

    Raises:
        ConfigError: The tokenizer does not fit.
    """
    check_tokenizer(tokenizer, network.config.text, name="clipsim")
    return Clipsim(
        embed=on_device(network.encode_pixels, device),
        embed_text=texts(network, tokenizer, device),
        side=network.config.preprocessing.size,
    )


def load_clipsim(device: torch.device, path: Path | str | None = None) -> LoadedRow:
    """The row on OpenCLIP ViT-H/14, trained on LAION-2B.

    Args:
        device: Where the network runs.
        path: ``model.safetensors``; None to look where weights are kept.

    Raises:
        CheckpointError: A file is missing or does not fit.
    """
    found = find_weights(CLIP_FILE, path)
    tokenizer = clip_tokenizer()
    network = load_published(
        lambda tensors: (CLIP(VIT_H_14), from_published_names(tensors)), found, device=device
    )
    return LoadedRow(clipsim_of(network, tokenizer, device), identity=sha256_of(found), is_large=True)
