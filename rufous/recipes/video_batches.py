"""Batches for full-size distillation: clips of video files, encoded as they are read, with their captions.

The frozen autoencoder and the text tower run in the thread that reads ahead; nothing is kept on disk. The
mean of the autoencoder's posterior is taken, where the published trainers draw from it.
"""

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from rufous.checkpoints.release import load_component
from rufous.core.devices import autocast, has_native_bf16
from rufous.core.types import Conditioning
from rufous.data.records import ClipRecord, read_clip_list
from rufous.data.video_clips import ClipSampling, TrainingClip, VideoClips
from rufous.distillation.denoising import LatentBatch
from rufous.networks.vae2d import AutoencoderKL
from rufous.pipelines.loading import component_names
from rufous.recipes.processes import Processes
from rufous.recipes.text_tower import Text
from rufous.recipes.varying_lengths import varied
from rufous.training.batches import InterleavedBatches, ShuffledBatches
from rufous.video.frames import from_uint8


@dataclass(frozen=True, kw_only=True)
class VideoSet:
    """How clips are cut from the files, and how many a batch has on all processes together."""

    sampling: ClipSampling = field(default_factory=ClipSampling)
    batch_size: int = 16
    shortest: int | None = None
    """Each batch is cut to a length from here to the sampling's; None leaves all of them whole."""


@dataclass(frozen=True, kw_only=True)
class VideoDataConfig:
    """Which files, and cuts of which lengths take turns."""

    clips: str = "clips.csv"
    """List of files and captions, see ``data.records.read_clip_list``."""
    root: str | None = None
    """Folder that the list's paths are in; None for the list's own."""
    sets: tuple[VideoSet, ...] = (VideoSet(),)

    def records(self) -> list[ClipRecord]:
        """The clips of the list.

        Raises:
            ValueError: The list cannot be read.
        """
        return read_clip_list(self.clips, root=self.root)


@dataclass(frozen=True)
class VideoData:
    """The files of one config, and what encodes them."""

    records: Sequence[ClipRecord]
    autoencoder: AutoencoderKL
    text: Text
    processes: Processes

    @property
    def empty(self) -> Conditioning:
        """The empty caption, batch of 1."""
        return replace(self.text([""], 1.0), fps=None)

    def batches(self, part: VideoSet, seed: int) -> ShuffledBatches[TrainingClip, LatentBatch]:
        """This process's share of batches of one set."""
        clips = VideoClips(self.records, part.sampling, seed=seed)
        return self.processes.batches(clips, self._collate, batch_size=part.batch_size, seed=seed, prefetch=2)

    @torch.no_grad()
    def _collate(self, clips: list[TrainingClip]) -> LatentBatch:
        device = self.processes.device
        frames = torch.stack([clip.frames for clip in clips]).to(device)
        dtype = torch.bfloat16 if has_native_bf16(device) else torch.float32
        with autocast(device, dtype):
            latents = self.autoencoder.encode_video(from_uint8(frames).transpose(1, 2))
        captions = [clip.caption for clip in clips]
        fps = torch.tensor([clip.fps for clip in clips], device=device)
        cond = replace(self.text(captions, 1.0), fps=fps)
        return LatentBatch(latents=latents.float(), cond=cond, prompts=tuple(captions))


def open_videos(records: Sequence[ClipRecord], release: Path, processes: Processes) -> VideoData:
    """The files of a list, with a release's autoencoder and text tower.

    Raises:
        CheckpointError: The release lacks a component.
    """
    name = component_names(release)["autoencoder"]
    autoencoder = load_component(release, name, dtype=torch.float32, device=processes.device)
    autoencoder.requires_grad_(False)
    return VideoData(records, autoencoder, Text(str(release), processes.device), processes)


@contextlib.contextmanager
def alternating_videos(
    config: VideoDataConfig, data: VideoData, seed: int
) -> Generator[InterleavedBatches[LatentBatch], None, None]:
    """A batch of each set in turn, read ahead while the block runs."""
    with contextlib.ExitStack() as stack:
        sources = [
            stack.enter_context(contextlib.closing(data.batches(part, seed + index)))
            for index, part in enumerate(config.sets)
        ]
        shortest = [part.shortest for part in config.sets]
        yield InterleavedBatches(varied(sources, shortest, seed=seed))
