"""A tiny decoder for the world's latents, distilled from the world's autoencoder.

    rufous train world_tiny_decoder

Rewards look at pixels, so their gradients run through a decoder; this one is a fraction of the full one's
work. It works for the latents of one autoencoder alone, whose weights its manifest names.
"""

import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rufous.distillation.decoding import EncodedFrames
from rufous.recipes.decoder_distillation import DecoderDistillationConfig, distil_decoder, full_autoencoder
from rufous.recipes.processes import Processes, joined
from rufous.recipes.recipe import Recipe
from rufous.recipes.releases import ancestry, check_run_dir
from rufous.recipes.world_clips import RenderedClips, WorldClipsConfig, render_clips
from rufous.recipes.world_latents import EncodedClips, WorldLatentsConfig, encode_clips
from rufous.video.frames import from_uint8

VALIDATION_SEED = 9_003


@dataclass(frozen=True, kw_only=True)
class WorldTinyDecoderConfig(DecoderDistillationConfig):
    """Settings of the run."""

    latents: WorldLatentsConfig = field(default_factory=WorldLatentsConfig)
    latents_dir: str = "runs/world_latents"
    batch_size: int = 32
    """Frames."""
    num_validation_clips: int = 16


@dataclass(frozen=True)
class LatentPairs:
    """Latents and pixels (uint8) of two frames of a clip by index; each clip ``repeats`` times an epoch."""

    clips: RenderedClips
    encoded: EncodedClips
    repeats: int = 8

    def __len__(self) -> int:
        return self.repeats * len(self.clips)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        clip, frames = index // self.repeats, self.clips.frames.shape[1]
        chosen = np.sort(np.random.default_rng(index).choice(frames, size=2, replace=False))
        latents = self.encoded.latents[clip][:, chosen].astype(np.float32)
        return torch.from_numpy(latents).transpose(0, 1), torch.from_numpy(self.clips.frames[clip, chosen])


def collate(part: list[tuple[Tensor, Tensor]], device: torch.device) -> EncodedFrames:
    """Join pairs of frames to one batch, pixels in [-1, 1]."""
    latents, pixels = (torch.cat(each).to(device) for each in zip(*part, strict=True))
    return EncodedFrames(latents, from_uint8(pixels))


def held_out_clips(config: WorldClipsConfig, count: int, device: torch.device) -> Tensor:
    """Clips [b 3 f h w] in [-1, 1] that no run trains on."""
    clips = replace(config, seed=VALIDATION_SEED, split="any").clips
    frames = torch.stack([clips[index].frames for index in range(count)])
    return from_uint8(frames.to(device)).transpose(1, 2)


def run(config: WorldTinyDecoderConfig, run_dir: Path, device: torch.device) -> Path:
    """Train and write ``run_dir/release`` with the component ``tiny_decoder``."""
    with joined(device) as processes:
        return _train(config, run_dir, processes)


def _train(config: WorldTinyDecoderConfig, run_dir: Path, processes: Processes) -> Path:
    device = processes.device
    places = {"autoencoder": Path(config.latents.autoencoder)}
    check_run_dir(run_dir, places)
    ancestors = ancestry(places)
    with processes.first_alone():
        encoded = encode_clips(config.latents, Path(config.latents_dir), device)
        clips = render_clips(config.latents.clips, Path(config.latents.clips_dir))
    batches = processes.batches(
        LatentPairs(clips, encoded),
        lambda part: collate(part, device),
        batch_size=config.batch_size // 2,
        seed=config.seed,
        prefetch=2,
    )
    with contextlib.closing(batches):
        return distil_decoder(
            config,
            name="world-tiny-decoder",
            autoencoder=full_autoencoder(config.latents.autoencoder, device),
            batches=batches,
            held_out=held_out_clips(config.latents.clips, config.num_validation_clips, device),
            ancestors=ancestors,
            run_dir=run_dir,
            processes=processes,
            seeds={"data": config.latents.clips.seed},
        )


RECIPE = Recipe(
    name="world_tiny_decoder",
    summary="A tiny decoder for the world's latents.",
    config=WorldTinyDecoderConfig(),
    run=run,
)
