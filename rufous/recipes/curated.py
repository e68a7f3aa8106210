"""Train a generator on a curated set: buckets of sizes and lengths, from a manifest to a release.

    rufous train curated start=videocrafter2 data.manifest=OUT/manifest.parquet
    rufous train curated --preset world data.manifest=OUT/manifest.parquet
    torchrun --nproc_per_node 4 -m rufous train curated start=videocrafter2 data.manifest=OUT/manifest.parquet

Plain diffusion training of the U-Net of ``start``, whose autoencoder and text tower stay frozen;
``fresh=true`` begins with random weights of its architecture, or of ``network``. Batches are those of each
process: a bucket's ``batch_size`` says what fits one GPU.

Unverified at full scale: only reduced runs on random weights and on the world are tested.
"""

import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.release import load_config
from rufous.data.buckets import BucketConfig, BucketRule
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.schedules import make_schedule
from rufous.distillation.denoising import DenoisingConfig, DenoisingObjective
from rufous.networks.unet3d import UNet3D, UNet3DConfig
from rufous.pipelines.loading import component_name
from rufous.recipes.curated_batches import CuratedDataConfig, open_curated, read_clips
from rufous.recipes.processes import joined
from rufous.recipes.recipe import Recipe, made_of
from rufous.recipes.recovery import load_denoiser
from rufous.recipes.releases import ancestry, check_run_dir, hashes, manifest_of, save_student
from rufous.training.loop import TrainConfig, train
from rufous.training.optim import OptimizerConfig


@dataclass(frozen=True, kw_only=True)
class CuratedConfig:
    """Settings of the run."""

    start: str = "videocrafter2"
    """Embedded name or release folder: autoencoder, text tower, and the U-Net that is trained on."""
    fresh: bool = False
    """Begin with random weights."""
    network: UNet3DConfig | None = None
    """Architecture to begin with instead of that of ``start``; with ``fresh`` only."""
    data: CuratedDataConfig = field(default_factory=CuratedDataConfig)
    objective: DenoisingConfig = field(default_factory=DenoisingConfig)
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            num_steps=20_000,
            optimizer=OptimizerConfig(learning_rate=1e-5, warmup_steps=500),
            ema_decay=0.999,
            save_every=1_000,
        )
    )
    seed: int = 15

    def __post_init__(self) -> None:
        if self.network is not None and not self.fresh:
            raise ValueError("network is given, but fresh=False: weights of start fit its own network alone")


def run(config: CuratedConfig, run_dir: Path, device: torch.device) -> Path:
    """Train and write ``run_dir/release``, the release of ``start`` with the U-Net that was trained.

    Raises:
        ValueError: The manifest cannot be read, or fills no batch for each process.
        CheckpointError: No such release, or a cache of other clips.
        ConfigError: ``run_dir`` holds a release of another origin.
    """
    clips = read_clips(config.data, seed=config.seed)  # before a release is downloaded
    start = find_release(config.start)
    places = {"start": start}
    check_run_dir(run_dir, places)
    ancestors = ancestry(places)
    with joined(device) as processes:
        data = open_curated(config.data, clips, start, processes)
        denoiser = _denoiser(config, start, processes.device)
        network = denoiser.network
        assert isinstance(network, UNet3D)
        processes.spread(network)
        objective = DenoisingObjective(denoiser, data.empty, config.objective)
        diffusion = load_config(start, component_name(start, "diffusion"))

        def save(step: int, folder: Path) -> None:
            manifest = manifest_of(
                f"{ancestors[0].parent.name}-curated",
                config,
                seeds={"training": config.seed},
                ancestors=ancestors,
                figures={"steps": step, "clips": len(clips)},
            )
            save_student(run_dir / "release", start, network, diffusion, manifest, processes)

        made = made_of(replace(config, data=config.data.settled))
        with contextlib.closing(data.batches(config.seed)) as batches:
            train(
                objective,
                batches,
                config.train,
                run_dir=run_dir,
                device=processes.device,
                save=save,
                made_of={**made, **hashes(ancestors), "clips_sha256": clips.fingerprint},
            )
    return run_dir / "release"


def _denoiser(config: CuratedConfig, start: Path, device: torch.device) -> Denoiser:
    if not config.fresh:
        return load_denoiser(start, device)
    diffusion = load_config(start, component_name(start, "diffusion"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = UNet3D(config.network or load_config(start, component_name(start, "unet")))
    return Denoiser(network.to(device), make_schedule(diffusion.schedule), diffusion.prediction_type)


FULL = CuratedConfig()
WORLD = CuratedConfig(
    start="world-teacher",
    data=CuratedDataConfig(
        buckets=BucketConfig(
            rules=(BucketRule(resolution="64x64", num_frames=16, batch_size=4),), aspects=("1:1",), multiple=8
        ),
        cache_dir="runs/curated_cache/{set}",
    ),
    train=TrainConfig(
        num_steps=500, optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=20), ema_decay=0.99
    ),
)
"""The embedded teacher goes on with clips of your own at its own size, on a CPU."""

RECIPE = Recipe(
    name="curated",
    summary="A generator trained on a curated set, in buckets of sizes and lengths.",
    config=FULL,
    presets={"full": FULL, "world": WORLD},
    run=run,
)
