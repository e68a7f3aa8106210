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
from rufous.recipes.world_latents import EncodedClips, WorldLatentsConfig, encode_clips
from rufous.training.batches import ShuffledBatches

Example: TypeAlias = tuple[Tensor, Tensor, Tensor, str]
"""Latents [c f h w], ``prompt_embeds`` [s d], ``prompt_mask`` [s] and the caption."""


@dataclass(frozen=True)
class CaptionedLatents:
    """Each clip as often as it has captions; with ``single_frames`` one frame of it, chosen by the index."""

    clips: EncodedClips
    captions: EncodedCaptions
    single_frames: bool

    def __len__(self) -> int:
        return len(self.captions.mask)

    def __getitem__(self, index: int) -> Example:
        clip, caption = divmod(index, self.captions.per_clip)
        latents = self.clips.latents[clip]
        if self.single_frames:
            frame = int(np.random.default_rng(index).integers(latents.shape[1]))
            latents = latents[:, frame : frame + 1]
        embeds, mask = self.captions[index]
        return torch.from_numpy(latents.astype(np.float32)), embeds, mask, self.clips.captions[clip][caption]


@dataclass(frozen=True)
class WorldData:
    """One set of clips, encoded and read."""

    clips: EncodedClips
    captions: EncodedCaptions
    text: Text
    processes: Processes

    @property
    def empty(self) -> Conditioning:
        """The empty caption, batch of 1, as long as the captions."""
        return self.captions.fitted(self.text([""], self.clips.fps))

    def batches(
        self, *, batch_size: int, seed: int, single_frames: bool = False
    ) -> ShuffledBatches[Example, LatentBatch]:
        """This process's share of batches of clips, or of single frames; the fps is the clips' own."""
        dataset = CaptionedLatents(self.clips, self.captions, single_frames)
        return self.processes.batches(dataset, self._collate, batch_size=batch_size, seed=seed, prefetch=2)

    def _collate(self, part: list[Example]) -> LatentBatch:
        device = self.processes.device
        *tensors, prompts = zip(*part, strict=True)
        latents, embeds, mask = (torch.stack(each).to(device) for each in tensors)
        fps = torch.full((len(part),), self.clips.fps, device=device)
        cond = Conditioning(prompt_embeds=embeds, prompt_mask=mask, fps=fps)
        return LatentBatch(latents=latents, cond=cond, prompts=tuple(prompts))


def open_world_data(
    latents: WorldLatentsConfig, folder: Path | str, text: str, processes: Processes
) -> WorldData:
    """Encode clips and read captions into ``folder``, unless they are there already.

    Args:
        latents: Which clips, and by which autoencoder.
        folder: Of the cached latents and captions.
        text: Release folder with the components ``text_encoder`` and ``tokenizer``.
        processes: The first one encodes, alone.
    """
    with processes.first_alone():
        clips = encode_clips(latents, Path(folder), processes.device)
        tower = Text(text, processes.device)
        captions = encode_captions(clips.captions, tower, Path(folder))
    return WorldData(clips, captions, tower, processes)
