"""What the world generators train on: cached latents and read captions, in batches of clips or frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rufous.core.types import Conditioning
from rufous.distillation.denoising import LatentBatch
from rufous.recipes.processes import Processes
from rufous.recipes.text_tower import Text
from rufous.recipes.world_captions import EncodedCaptions, encode_captions
from rufous.recipes.world_latents import EncodedClips, WorldLatentsConfig, encode_clips
from rufous.training.batches import ShuffledBatches
from rufous.world.motion import MOTIONS

LONE_IMAGES = 8
"""One of so many single frames is shown as an image by itself, the first frame of one."""


@dataclass(frozen=True)
class Example:
    """Some or all frames of one clip, with one of its captions."""

    latents: Tensor
    """[c f h w]"""
    prompt_embeds: Tensor
    """[s d]"""
    prompt_mask: Tensor
    """[s]"""
    frame_indices: Tensor
    """[f]"""
    clip_frames: int
    fps: float
    prompt: str


@dataclass(frozen=True)
class CaptionedLatents:
    """Each clip as often as it has captions, or of each so many evenly spaced frames, from every start."""

    clips: EncodedClips
    captions: EncodedCaptions
    num_frames: int | None = None
    """Frames of an example: 1 for images, None for whole clips."""
    repeats: Mapping[str, int] = field(default_factory=dict)
    """How often a clip of a motion counts; once where none is given."""

    def __post_init__(self) -> None:
        if unknown := self.repeats.keys() - set(MOTIONS):
            raise ValueError(f"repeats={unknown} are no motions: use some of {', '.join(MOTIONS)}")
        if self.num_frames is not None and not 1 <= self.num_frames <= self._clip_frames:
            raise ValueError(f"num_frames={self.num_frames}: clips have 1 to {self._clip_frames} frames")

    def __len__(self) -> int:
        return len(self._shown) * self.captions.per_clip * self._stride

    @cached_property
    def _shown(self) -> np.ndarray:
        """Clips by index, each as often as it counts."""
        clips = np.arange(len(self.clips))
        if not self.repeats:
            return clips
        return np.repeat(clips, [self.repeats.get(motion, 1) for motion in self.clips.motions])

    @property
    def _clip_frames(self) -> int:
        return self.clips.latents.shape[2]

    @property
    def _stride(self) -> int:
        return self._clip_frames // (self.num_frames or self._clip_frames)

    def __getitem__(self, index: int) -> Example:
        place, start = divmod(index, self._stride)
        place, caption = divmod(place, self.captions.per_clip)
        clip = int(self._shown[place])
        captioned = clip * self.captions.per_clip + caption
        frames = np.arange(start, self._clip_frames, self._stride)[: self.num_frames]
        latents = self.clips.latents[clip][:, frames].astype(np.float32)
        is_alone = self.num_frames == 1 and captioned % LONE_IMAGES == 0
        embeds, mask = self.captions[captioned]
        return Example(
            latents=torch.from_numpy(latents),
            prompt_embeds=embeds,
            prompt_mask=mask,
            frame_indices=torch.from_numpy((0 if is_alone else frames) * np.ones(len(frames), np.float32)),
            clip_frames=1 if is_alone else self._clip_frames,
            fps=self.clips.fps / (1 if len(frames) == 1 else self._stride),
            prompt=self.clips.captions[clip][caption],
        )


@dataclass(frozen=True)
class WorldData:
    """One set of clips, encoded and read."""

    clips: EncodedClips
    captions: EncodedCaptions
    text: Text
    processes: Processes

    @property
    def empty(self) -> Conditioning:
        """The empty caption, batch of 1."""
        return self.text([""], self.clips.fps)

    def batches(
        self,
        *,
        batch_size: int,
        seed: int,
        num_frames: int | None = None,
        repeats: Mapping[str, int] | None = None,
    ) -> ShuffledBatches[Example, LatentBatch]:
        """This process's share of batches of clips, or of ``num_frames`` frames of each, 1 for images.

        A clip of a motion named in ``repeats`` is shown so many times an epoch, the others once.
        """
        dataset = CaptionedLatents(self.clips, self.captions, num_frames, repeats or {})
        return self.processes.batches(dataset, self._collate, batch_size=batch_size, seed=seed, prefetch=2)

    @property
    def num_examples(self) -> int:
        """Whole clips, each as often as it has captions."""
        return len(CaptionedLatents(self.clips, self.captions))

    def batch_of(self, indices: Sequence[int]) -> LatentBatch:
        """These whole clips, whatever the number of processes."""
        dataset = CaptionedLatents(self.clips, self.captions)
        return self._collate([dataset[index] for index in indices])

    def _collate(self, part: list[Example]) -> LatentBatch:
        device = self.processes.device

        def stacked(name: str) -> Tensor:
            return torch.stack([getattr(example, name) for example in part]).to(device)

        def numbers(name: str) -> Tensor:
            return torch.tensor([float(getattr(example, name)) for example in part], device=device)

        cond = Conditioning(
            prompt_embeds=stacked("prompt_embeds"),
            prompt_mask=stacked("prompt_mask"),
            fps=numbers("fps"),
            frame_indices=stacked("frame_indices"),
            clip_frames=numbers("clip_frames"),
        )
        prompts = tuple(example.prompt for example in part)
        return LatentBatch(latents=stacked("latents"), cond=cond, prompts=prompts)


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
