"""What the world's generators train on: cached latents and read captions, in batches of clips or images."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from rufous.core.types import Conditioning
from rufous.distillation.denoising import LatentBatch
from rufous.recipes.processes import Processes
from rufous.recipes.world_captions import EncodedCaptions, Text, encode_captions
from rufous.recipes.world_clips import render_clips
from rufous.recipes.world_features import encode_features
from rufous.recipes.world_latents import EncodedClips, WorldLatentsConfig, encode_clips
from rufous.training.batches import ShuffledBatches

Example: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor, str]
"""Latents [c f h w], ``prompt_embeds`` [s d], ``prompt_mask`` [s], features [f e] (or [f 0]), the caption."""


@dataclass(frozen=True)
class CaptionedLatents:
    """Each clip as often as it has captions; with ``single_frames`` one frame of it, chosen by the index."""

    clips: EncodedClips
    captions: EncodedCaptions
    single_frames: bool
    features: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.captions.mask)

    def __getitem__(self, index: int) -> Example:
        clip, caption = divmod(index, self.captions.per_clip)
        latents = self.clips.latents[clip]
        features = np.zeros((latents.shape[1], 0)) if self.features is None else self.features[clip]
        if self.single_frames:
            frame = int(np.random.default_rng(index).integers(latents.shape[1]))
            latents, features = latents[:, frame : frame + 1], features[frame : frame + 1]
        embeds, mask = self.captions[index]
        seen = torch.from_numpy(features.astype(np.float32))
        latents = torch.from_numpy(latents.astype(np.float32))
        return latents, embeds, mask, seen, self.clips.captions[clip][caption]


@dataclass(frozen=True)
class WorldData:
    """One set of clips, encoded and read."""

    clips: EncodedClips
    captions: EncodedCaptions
    text: Text
    processes: Processes
    features: np.ndarray | None = None
    """See ``world_features``; None unless asked for."""

    @property
    def empty(self) -> Conditioning:
        """The empty caption, batch of 1, as long as the captions."""
        return self.captions.fitted(self.text([""], self.clips.fps))

    def batches(
        self, *, batch_size: int, seed: int, single_frames: bool = False
    ) -> ShuffledBatches[Example, LatentBatch]:
        """This process's share of batches of clips, or of single frames; the fps is the clips' own."""
        dataset = CaptionedLatents(self.clips, self.captions, single_frames, self.features)
        return self.processes.batches(dataset, self._collate, batch_size=batch_size, seed=seed, prefetch=2)

    def _collate(self, part: list[Example]) -> LatentBatch:
        device = self.processes.device
        *tensors, prompts = zip(*part, strict=True)
        latents, embeds, mask, features = (torch.stack(each).to(device) for each in tensors)
        fps = torch.full((len(part),), self.clips.fps, device=device)
        cond = Conditioning(prompt_embeds=embeds, prompt_mask=mask, fps=fps)
        seen = features if features.shape[-1] else None
        return LatentBatch(latents=latents, cond=cond, prompts=tuple(prompts), features=seen)


def open_world_data(
    latents: WorldLatentsConfig,
    folder: Path | str,
    text: str,
    processes: Processes,
    *,
    with_features: bool = False,
) -> WorldData:
    """Encode clips and read captions into ``folder``, unless they are there already.

    Args:
        latents: Which clips, and by which autoencoder.
        folder: Of the cached latents and captions.
        text: Release folder with the components ``text_encoder`` and ``tokenizer``.
        processes: The first one encodes, alone.
        with_features: Also what the ``video_text`` model of ``text`` sees in each frame.
    """
    with processes.first_alone():
        clips = encode_clips(latents, Path(folder), processes.device)
        tower = Text(text, processes.device)
        captions = encode_captions(clips.captions, tower, Path(folder))
        features = None
        if with_features:
            rendered = render_clips(latents.clips, Path(latents.clips_dir))
            features = encode_features(rendered, text, Path(folder), processes.device)
    return WorldData(clips, captions, tower, processes, features)
