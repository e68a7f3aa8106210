"""The world's autoencoder: 8x8 pixels to one latent of 8 channels, for both levels of the world.

    rufous train world_autoencoder

Its latents are as fine as what it must keep: which of 8 shapes a thing of 13 pixels has, and where it is to
a fraction of a pixel. Groups of norms are few because a norm over a single channel wipes out brightness, and
with it the colour of plain backgrounds.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, save_release
from rufous.core.config import to_json_dict
from rufous.core.console import logger
from rufous.distillation.autoencoding import AutoencodingObjective, psnr
from rufous.networks.vae2d import AutoencoderKL, AutoencoderKLConfig
from rufous.recipes.recipe import Recipe
from rufous.training.batches import ShuffledBatches
from rufous.training.loop import TrainConfig, train
from rufous.training.optim import OptimizerConfig
from rufous.video.frames import from_uint8
from rufous.world.render import render
from rufous.world.scene import sample_scene

_log = logger(__name__)
VALIDATION_SEED = 9_001

WORLD_AUTOENCODER = AutoencoderKLConfig(
    base_channels=32,
    channel_mult=(1, 1, 2, 3),
    num_res_blocks=1,
    latent_channels=8,
    norm_groups=8,
    scaling_factor=1.0,
    slice_frames=16,
)


@dataclass(frozen=True, kw_only=True)
class WorldAutoencoderConfig:
    """Settings of the run."""

    network: AutoencoderKLConfig = WORLD_AUTOENCODER
    size: int = 64
    batch_size: int = 32
    kl_weight: float = 1e-5
    seed: int = 11
    init_from: str | None = None
    """Release folder whose ``autoencoder`` the run starts from."""
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            num_steps=2400,
            optimizer=OptimizerConfig(
                name="muon", learning_rate=3e-3, schedule="cosine", warmup_steps=30, weight_decay=0.0
            ),
            ema_decay=0.999,
            save_every=200,
            validate_every=200,
        )
    )


@dataclass(frozen=True)
class WorldFrames:
    """Pairs of frames of the world's clips by index, both levels in turn, values in [0, 255]."""

    seed: int
    size: int
    length: int = 4_000_000

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Tensor:
        rng = np.random.default_rng([self.seed, index])
        scene = sample_scene(rng, level="core" if index % 2 else "full", split="any")
        return render(
            scene, num_frames=2, fps=float(rng.uniform(0.5, 2.5)), height=self.size, width=self.size
        )


def to_pixels(frames: list[Tensor], device: torch.device) -> Float[Tensor, "n 3 h w"]:
    """Join frames with values in [0, 255] to one batch in [-1, 1]."""
    return from_uint8(torch.cat(frames).to(device))


def run(config: WorldAutoencoderConfig, run_dir: Path, device: torch.device) -> Path:
    """Train, measure the latents' spread and write ``run_dir/release`` with the component ``autoencoder``."""
    network = _initial_network(config).to(device)
    frames = WorldFrames(config.seed, config.size)
    batches = ShuffledBatches(
        frames,
        lambda part: to_pixels(part, device),
        batch_size=config.batch_size // 2,
        seed=config.seed,
        prefetch=4,
    )
    held = WorldFrames(VALIDATION_SEED, config.size)
    held_out = to_pixels([held[i] for i in range(64)], device)

    def validate(step: int) -> dict[str, float]:
        output = network.decode(network.encode(held_out).mode())
        return {"psnr_held_out": float(psnr(output, held_out))}

    def save(step: int, folder: Path) -> None:
        save_autoencoder(config, network, held_out, run_dir / "release", validate(step))

    objective = AutoencodingObjective(network, kl_weight=config.kl_weight)
    train(objective, batches, config.train, run_dir=run_dir, device=device, save=save, validate=validate)
    return run_dir / "release"


def save_autoencoder(
    config: WorldAutoencoderConfig,
    network: AutoencoderKL,
    pixels: Float[Tensor, "n 3 h w"],
    folder: Path,
    figures: dict[str, float],
) -> None:
    """Write a release whose latents have mean 0 and deviation 1 over ``pixels``."""
    latents = network.encode(pixels).mode().float()
    scaled = replace(
        config.network, scaling_factor=1 / float(latents.std()), shift_factor=float(latents.mean())
    )
    copy = AutoencoderKL(scaled)
    copy.load_state_dict(network.state_dict())
    manifest = Manifest(
        name="world-autoencoder", config=to_json_dict(config), seeds={"data": config.seed}, figures=figures
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
    torch.nn.init.constant_(network.quant_conv.bias[config.network.latent_channels :], -5.0)
    return network


RECIPE = Recipe(
    name="world_autoencoder",
    summary="The world's autoencoder, 8x8 pixels to one latent.",
    config=WorldAutoencoderConfig(),
    run=run,
)
