"""The world's autoencoder: 4x4 pixels to one latent of 4 channels, for both levels of the world.

    rufous train world_autoencoder

Its latents are as fine as what it must keep: which of 8 shapes a thing of 13 pixels has, and where it is to
a fraction of a pixel. With 8x8 pixels to a latent, small rings and crosses lost their insides. Groups of
norms are few because a norm over a single channel wipes out brightness, and with it the colour of plain
backgrounds.
"""

import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, save_release
from rufous.core.errors import ConfigError
from rufous.distillation.autoencoding import AutoencodingObjective, psnr
from rufous.networks.vae2d import AutoencoderKL, AutoencoderKLConfig
from rufous.recipes.processes import Processes, joined
from rufous.recipes.recipe import Recipe, made_of, portable_config
from rufous.recipes.releases import check_run_dir
from rufous.recipes.world_clips import RenderedClips, WorldClipsConfig, render_clips
from rufous.training.loop import TrainConfig, train
from rufous.training.optim import OptimizerConfig
from rufous.video.frames import from_uint8
from rufous.world.dataset import WorldClips
from rufous.world.scene import Level

VALIDATION_SEED = 9_001

WORLD_AUTOENCODER = AutoencoderKLConfig(
    base_channels=32,
    channel_mult=(1, 1, 2),
    num_res_blocks=1,
    latent_channels=4,
    norm_groups=8,
    scaling_factor=1.0,
    slice_frames=16,
)


CORE = WorldClipsConfig()
FULL = WorldClipsConfig(level="full", seed=2)


@dataclass(frozen=True, kw_only=True)
class WorldAutoencoderConfig:
    """Settings of the run."""

    network: AutoencoderKLConfig = WORLD_AUTOENCODER
    clips: tuple[WorldClipsConfig, ...] = (CORE, FULL)
    clips_dirs: tuple[str, ...] = ("runs/world_clips", "runs/world_clips_full")
    """Where each of ``clips`` is rendered to, or found."""
    batch_size: int = 32
    kl_weight: float = 1e-5
    edge_weight: float = 6.0
    train_encoder: bool = True
    """False sharpens the decoder alone; latents, and generators trained on them, stay what they are."""
    seed: int = 11
    init_from: str | None = None
    """Release folder whose ``autoencoder`` the run starts from."""
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            num_steps=4000,
            optimizer=OptimizerConfig(
                name="muon", learning_rate=2e-3, schedule="cosine", warmup_steps=30, weight_decay=0.0
            ),
            ema_decay=0.995,
            save_every=200,
            validate_every=200,
        )
    )

    def __post_init__(self) -> None:
        if len(self.clips) != len(self.clips_dirs):
            raise ConfigError(f"{len(self.clips)} clips need as many clips_dirs, not {len(self.clips_dirs)}")


@dataclass(frozen=True)
class FramePairs:
    """Two frames of a rendered clip by index, values in [0, 255]; each clip ``repeats`` times an epoch."""

    sources: tuple[RenderedClips, ...]
    repeats: int = 8

    def __len__(self) -> int:
        return self.repeats * sum(len(source) for source in self.sources)

    def __getitem__(self, index: int) -> Tensor:
        clip = index // self.repeats
        for source in self.sources:
            if clip < len(source):
                break
            clip -= len(source)
        frames = np.random.default_rng(index).choice(source.frames.shape[1], size=2, replace=False)
        return torch.from_numpy(source.frames[clip, np.sort(frames)])


def to_pixels(frames: list[Tensor], device: torch.device) -> Float[Tensor, "n 3 h w"]:
    """Join frames with values in [0, 255] to one batch in [-1, 1]."""
    return from_uint8(torch.cat(frames).to(device))


def held_out_frames(size: int, device: torch.device) -> Float[Tensor, "64 3 h w"]:
    """The first and the last frame of 32 clips that no run trains on, both levels in turn."""
    levels: tuple[Level, ...] = ("core", "full")
    world = WorldClips(seed=VALIDATION_SEED, split="any", height=size, width=size)
    worlds = [replace(world, level=level) for level in levels]
    clips = [worlds[index % 2][index].frames for index in range(32)]
    return to_pixels([frames[[0, -1]] for frames in clips], device)


def run(config: WorldAutoencoderConfig, run_dir: Path, device: torch.device) -> Path:
    """Train, measure the latents' spread and write ``run_dir/release`` with the component ``autoencoder``."""
    with joined(device) as processes:
        return _train(config, run_dir, processes)


def _train(config: WorldAutoencoderConfig, run_dir: Path, processes: Processes) -> Path:
    device = processes.device
    check_run_dir(run_dir, {} if config.init_from is None else {"start": Path(config.init_from)})
    with processes.first_alone():
        sources = tuple(
            render_clips(clips, Path(folder))
            for clips, folder in zip(config.clips, config.clips_dirs, strict=True)
        )
    network = _initial_network(config).to(device)
    network.encoder.requires_grad_(config.train_encoder)
    network.quant_conv.requires_grad_(config.train_encoder)
    processes.spread(network, methods=("encode", "decode"))
    batches = processes.batches(
        FramePairs(sources),
        lambda part: to_pixels(part, device),
        batch_size=config.batch_size // 2,
        seed=config.seed,
        prefetch=4,
    )
    held_out = held_out_frames(config.clips[0].size, device)

    def validate(step: int) -> dict[str, float]:
        output = network.decode(network.encode(held_out).mode())
        return {"psnr_held_out": float(psnr(output, held_out))}

    def save(step: int, folder: Path) -> None:
        figures = validate(step)
        whole = processes.whole(network, lambda: AutoencoderKL(config.network))
        if processes.is_first:
            save_autoencoder(config, whole, held_out, run_dir / "release", figures)

    objective = AutoencodingObjective(network, kl_weight=config.kl_weight, edge_weight=config.edge_weight)
    with contextlib.closing(batches):
        train(
            objective,
            batches,
            config.train,
            run_dir=run_dir,
            device=device,
            save=save,
            validate=validate,
            made_of=made_of(config),
        )
    return run_dir / "release"


def save_autoencoder(
    config: WorldAutoencoderConfig,
    network: AutoencoderKL,
    pixels: Float[Tensor, "n 3 h w"],
    folder: Path,
    figures: dict[str, float],
) -> None:
    """Write a release whose latents have mean 0 and deviation 1 over ``pixels``.

    With a frozen encoder they keep the scale they had: what reads them was trained on it.
    """
    scaled = network.config
    if config.train_encoder:
        latents = network.encode(pixels).mode().float()
        scale, shift = 1 / float(latents.std()), float(latents.mean())
        scaled = replace(scaled, scaling_factor=scale, shift_factor=shift)
    copy = AutoencoderKL(scaled)
    copy.load_state_dict(network.state_dict())
    manifest = Manifest(
        name="world-autoencoder",
        config=portable_config(config),
        seeds={"training": config.seed, **{f"clips_{clips.level}": clips.seed for clips in config.clips}},
        licences={"weights": "Apache-2.0"},
        figures=figures,
    )
    save_release(folder, {"autoencoder": copy}, manifest, overwrite=True)


def _initial_network(config: WorldAutoencoderConfig) -> AutoencoderKL:
    """A fresh network whose posterior starts narrow, or the one of ``init_from``."""
    if config.init_from is not None:
        return load_component(config.init_from, "autoencoder", dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = AutoencoderKL(config.network)
    # at deviation 1, where it would start, the noise drowns the latents for the first hundreds of steps
    assert network.quant_conv.bias is not None
    torch.nn.init.constant_(network.quant_conv.bias[config.network.latent_channels :], -5.0)
    return network


SMALL = WorldAutoencoderConfig()
LARGE = replace(
    SMALL, batch_size=128, train=replace(SMALL.train, num_steps=8_000, ema_decay=0.999, save_every=1_000)
)
"""For a GPU: four times the frames, twice the steps."""

RECIPE = Recipe(
    name="world_autoencoder",
    summary="The world's autoencoder, 4x4 pixels to one latent.",
    config=SMALL,
    presets={"small": SMALL, "large": LARGE},
    run=run,
)
