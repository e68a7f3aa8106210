"""CLIPSIM: how well the frames of a clip show its prompt, by OpenCLIP ViT-H/14.

There is no canonical code. Here, as in AnimateLCM's evaluation: 100 times the cosine of image and text, which
is what CLIP's logit is, averaged over all frames that are given; the prompt is cut at 77 tokens. VBench has
no such dimension.

Source: Wu et al. 2021 (arXiv:2104.14806) for the name; Wang et al. 2024 (arXiv:2402.00769) for the network.

Shapes: f frames, h w pixels.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from jaxtyping import UInt8
from torch import Tensor

from rufous.checkpoints.published import PublishedFile
from rufous.checkpoints.tokenizers import clip_tokenizer
from rufous.checkpoints.weights import find_weights, load_published
from rufous.evaluation.sets import FailedClip, SetSampling, chosen_clips, clip_indices
from rufous.perception.clip import CLIP, VIT_H_14, from_published_names
from rufous.perception.prompts import Tokenizer, check_tokenizer, encode_prompts
from rufous.video.frames import from_uint8
from rufous.video.read import read_frames, timeline_of

CLIP_FILE = PublishedFile(hub_id="laion/CLIP-ViT-H-14-laion2B-s32B-b79K", file="model.safetensors")
_FRAMES_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class SetClipsim:
    """CLIPSIM of a folder."""

    clipsim: float
    """Mean over clips of the mean over frames of 100 times the cosine."""
    by_file: dict[str, float]
    failed: tuple[FailedClip, ...]


class Clipsim:
    """Owns a frozen CLIP and its tokenizer."""

    def __init__(self, network: CLIP, tokenizer: Tokenizer) -> None:
        """Put the network in eval mode.

        Raises:
            ConfigError: The tokenizer does not fit.
        """
        check_tokenizer(tokenizer, network.config.text, name="clipsim")
        self._network, self._tokenizer = network.eval(), tokenizer

    @torch.no_grad()
    def score(self, frames: UInt8[Tensor, "f 3 h w"], prompt: str) -> float:
        """Mean over the frames of 100 times the cosine, in [-100, 100]; real clips have about 25 to 31.

        Raises:
            FloatingPointError: The network gives no finite number.
        """
        device = self._network.model.logit_scale.device
        text = encode_prompts(
            self._network,
            self._tokenizer,
            [prompt],
            context_length=self._network.config.text.context_length,
            device=device,
        )
        parts = (from_uint8(part).to(device) for part in frames.split(_FRAMES_AT_ONCE))
        images = torch.cat([self._network.encode_image(part) for part in parts])
        mean = float(100.0 * (images @ text.T).double().mean())
        if not math.isfinite(mean):
            raise FloatingPointError("CLIP gives NaN or infinity: its weights are damaged, or overflow")
        return mean

    def score_folder(
        self, folder: Path | str, prompts: Mapping[str, str], sampling: SetSampling | None = None
    ) -> SetClipsim:
        """CLIPSIM of the clips of a folder whose prompts are known, each decoded once.

        Args:
            folder: Searched with its sub-folders.
            prompts: By the clip's name below ``folder``, with its suffix, for example "archery/03.mp4".
            sampling: Which frames; None for the first 16.

        Raises:
            ValueError: No clips, or none that can be scored.
        """
        sampled, scores, failed = sampling or SetSampling(), dict[str, float](), list[FailedClip]()
        for path in chosen_clips(Path(folder), sampled):
            name = path.relative_to(folder).as_posix()
            if name not in prompts:
                failed.append(FailedClip(name, "no prompt is given for it"))
                continue
            try:
                timeline = timeline_of(path)
                indices = clip_indices(name, len(timeline.index.pts), sampled)
                scores[name] = self.score(read_frames(timeline, indices)[0], prompts[name])
            except (ValueError, OSError, FloatingPointError) as error:
                failed.append(FailedClip(name, str(error)))
        if not scores:
            raise ValueError(f"{folder}: no clip can be scored. {failed[0].file}: {failed[0].reason}")
        return SetClipsim(clipsim=fmean(scores.values()), by_file=scores, failed=tuple(failed))


def load_clipsim(
    path: Path | str | None = None,
    *,
    tokenizer: Path | str | None = None,
    device: torch.device | str = "cpu",
) -> Clipsim:
    """OpenCLIP ViT-H/14, trained on LAION-2B.

    Args:
        path: ``model.safetensors``; None to look where weights are kept.
        tokenizer: Folder with CLIP's ``vocab.json`` and ``merges.txt``; None to look there as well.
        device: Where the network runs.

    Raises:
        CheckpointError: A file is missing or does not fit.
    """
    network = load_published(
        lambda tensors: (CLIP(VIT_H_14), from_published_names(tensors)),
        find_weights(CLIP_FILE, path),
        device=device,
    )
    return Clipsim(network, clip_tokenizer(tokenizer))
