"""A tiny decoder for the world's latents, distilled from the world's autoencoder.

    rufous train world_tiny_decoder

Rewards look at pixels, so their gradients run through a decoder; this one is a fraction of the full one's
work. It works for the latents of one autoencoder alone, whose weights its manifest names. Validation compares
both decoders on clips that no run trains on: PSNR, flicker (``distillation.decoding.flicker``) and time.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rufous.checkpoints.release import load_component, save_release
from rufous.distillation.decoding import DecodingObjective, EncodedFrames, compare_decoders
from rufous.networks.tiny_decoder import TinyDecoder, TinyDecoderConfig
from rufous.networks.vae2d import AutoencoderKL
from rufous.recipes.processes import Processes, joined
from rufous.recipes.recipe import Recipe, made_of
from rufous.recipes.releases import Ancestor, ancestry, check_run_dir, hashes, manifest_of
from rufous.recipes.world_clips import RenderedClips, WorldClipsConfig, render_clips
from rufous.recipes.world_latents import EncodedClips, WorldLatentsConfig, encode_clips
from rufous.training.loop import TrainConfig, train
from rufous.training.optim import OptimizerConfig
from rufous.video.frames import from_uint8

VALIDATION_SEED = 9_003


@dataclass(frozen=True, kw_only=True)
class WorldTinyDecoderConfig:
    """Settings of the run."""

    latents: WorldLatentsConfig = field(default_factory=WorldLatentsConfig)
    latents_dir: str = "runs/world_latents"
    width: int = 48
    """Channels of the first stage; those after it have fewer. Stages and factors follow the autoencoder."""
    blocks_per_stage: int = 2
    real_weight: float = 0.25
    edge_weight: float = 6.0
    batch_size: int = 32
    """Frames."""
    num_validation_clips: int = 16
    seed: int = 14
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            num_steps=2000,
            optimizer=OptimizerConfig(
                name="muon", learning_rate=2e-3, schedule="cosine", warmup_steps=30, weight_decay=0.0
            ),
            ema_decay=0.995,
            save_every=200,
            validate_every=200,
        )
    )


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
    autoencoder = load_component(
        config.latents.autoencoder, "autoencoder", dtype=torch.float32, device=device
    )
    network = _initial_network(config, autoencoder).to(device)
    processes.spread(network, methods=("decode_video",))
    batches = processes.batches(
        LatentPairs(clips, encoded),
        lambda part: collate(part, device),
        batch_size=config.batch_size // 2,
        seed=config.seed,
        prefetch=2,
    )
    pixels = held_out_clips(config.latents.clips, config.num_validation_clips, device)
    with torch.no_grad():
        latents = autoencoder.encode_video(pixels)

    def validate(step: int) -> dict[str, float]:
        return compare_decoders(network, autoencoder, latents, pixels)

    def save(step: int, folder: Path) -> None:
        figures = validate(step)
        whole = processes.whole(network, lambda: TinyDecoder(network.config))
        if processes.is_first:
            save_tiny_decoder(config, whole, run_dir / "release", ancestors, figures)

    objective = DecodingObjective(
        network, autoencoder, real_weight=config.real_weight, edge_weight=config.edge_weight
    )
    with contextlib.closing(batches):
        train(
            objective,
            batches,
            config.train,
            run_dir=run_dir,
            device=device,
            save=save,
            validate=validate,
            made_of={**made_of(config), **hashes(ancestors)},
        )
    return run_dir / "release"


def save_tiny_decoder(
    config: WorldTinyDecoderConfig,
    network: TinyDecoder,
    folder: Path,
    ancestors: Sequence[Ancestor],
    figures: dict[str, float],
) -> None:
    """Write a release whose parent is the autoencoder."""
    manifest = manifest_of(
        "world-tiny-decoder",
        config,
        seeds={"training": config.seed, "data": config.latents.clips.seed},
        ancestors=ancestors,
        figures=figures,
    )
    save_release(folder, {"tiny_decoder": network}, manifest, overwrite=True)


def _initial_network(config: WorldTinyDecoderConfig, autoencoder: AutoencoderKL) -> TinyDecoder:
    fitting = TinyDecoderConfig.fitting(
        autoencoder.config, width=config.width, blocks_per_stage=config.blocks_per_stage
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return TinyDecoder(fitting)


RECIPE = Recipe(
    name="world_tiny_decoder",
    summary="A tiny decoder for the world's latents.",
    config=WorldTinyDecoderConfig(),
    run=run,
)
