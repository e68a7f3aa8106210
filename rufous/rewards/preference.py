"""What people prefer: two CLIPs that were fine-tuned on choices between generated images.

Both are OpenCLIP ViT-H/14. The score is the bare cosine, as T2V-Turbo and Hummingbird use them. Published
weights were never run here: loading is tested on random weights under the published names.

Source: HPSv2, Wu et al. 2023 (arXiv:2306.09341); PickScore, Kirstain et al. 2023 (arXiv:2305.01569).
"""

from dataclasses import replace
from pathlib import Path

import torch

from rufous.checkpoints.published import PublishedFile
from rufous.perception.clip import VIT_H_14
from rufous.perception.preprocessing import Preprocessing
from rufous.rewards.image_text import ImageTextReward
from rufous.rewards.pairs import clip_tokenizer, load_clip

HPSV2_1_FILE = PublishedFile(hub_id="xswu/HPSv2", file="HPS_v2.1_compressed.pt")
PICKSCORE_FILE = PublishedFile(hub_id="yuvalkirstain/PickScore_v1", file="model.safetensors")
HPSV2_1 = replace(VIT_H_14, preprocessing=Preprocessing(fit="pad"))
"""HPSv2's image transform pads to a square; PickScore's, and CLIP's own, crops."""


def hpsv2_1(
    path: Path | str | None = None,
    *,
    tokenizer: Path | str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> ImageTextReward:
    """HPSv2.1; published scores are this cosine times 100, about 20 to 35.

    Args:
        path: The file ``HPS_v2.1_compressed.pt``; None to look where weights are kept.
        tokenizer: Folder with CLIP's ``vocab.json`` and ``merges.txt``; None to look there as well.
        device: Where the weights go.
        dtype: Of the weights.

    Raises:
        CheckpointError: A file is missing or does not fit.
    """
    network = load_clip(HPSV2_1, HPSV2_1_FILE, path, device=device, dtype=dtype)
    return ImageTextReward("hpsv2.1", network, clip_tokenizer(tokenizer), slice_frames=1)


def pickscore(
    path: Path | str | None = None,
    *,
    tokenizer: Path | str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> ImageTextReward:
    """PickScore v1; the published score is this cosine times the exponential of the model's logit scale.

    Args:
        path: The file of weights in transformers' names; None to look where weights are kept.
        tokenizer: As for ``hpsv2_1``.
        device: Where the weights go.
        dtype: Of the weights.

    Raises:
        CheckpointError: A file is missing or does not fit.
    """
    network = load_clip(VIT_H_14, PICKSCORE_FILE, path, device=device, dtype=dtype)
    return ImageTextReward("pickscore", network, clip_tokenizer(tokenizer), slice_frames=1)
