"""A tiny decoder distilled from a release's autoencoder, on any frames.

The recipes of the world and of full size share it; they differ in data. Validation compares both decoders on
clips that the run does not train on: PSNR, flicker (``distillation.decoding.flicker``) and time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rufous.checkpoints.release import load_component, save_release
from rufous.distillation.decoding import DecodingObjective, EncodedFrames, compare_decoders
from rufous.networks.tiny_decoder import TinyDecoder, TinyDecoderConfig
from rufous.networks.vae2d import AutoencoderKL
from rufous.pipelines.loading import component_name
from rufous.recipes.processes import Processes
from rufous.recipes.recipe import made_of
from rufous.recipes.releases import Ancestor, hashes, manifest_of
from rufous.training.batches import BatchSource
from rufous.training.loop import TrainConfig, train
from rufous.training.optim import OptimizerConfig


@dataclass(frozen=True, kw_only=True)
class DecoderDistillationConfig:
    """What every distillation of a decoder has, whatever its data."""

    width: int = 48
    """Channels of the first stage; those after it have fewer. Stages and factors follow the autoencoder."""
    blocks_per_stage: int = 2
    real_weight: float = 0.25
    edge_weight: float = 6.0
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


def full_autoencoder(release: Path | str, device: torch.device) -> AutoencoderKL:
    """The autoencoder of a release in float32, frozen.

    Raises:
        CheckpointError: The release has none, or is damaged.
    """
    name = component_name(release, "autoencoder")
    network: AutoencoderKL = load_component(release, name, dtype=torch.float32, device=device)
    return network.eval().requires_grad_(False)


def distil_decoder(
    config: DecoderDistillationConfig,
    *,
    name: str,
    autoencoder: AutoencoderKL,
    batches: BatchSource[EncodedFrames],
    held_out: Tensor,
    ancestors: Sequence[Ancestor],
    run_dir: Path,
    processes: Processes,
    seeds: Mapping[str, int] | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Train and write ``run_dir/release`` with the component ``tiny_decoder``.

    Args:
        config: Settings of the recipe, all of which must be equal when the run is resumed.
        name: Of the release.
        autoencoder: What it is distilled from; frozen.
        batches: Frames with their latents.
        held_out: Clips [b 3 f h w] in [-1, 1] that both decoders are compared on.
        ancestors: The release of the autoencoder.
        run_dir: Folder of the run, already checked.
        processes: Those that share it.
        seeds: For the manifest, besides that of the training.
        notes: Sentences for the manifest.
    """
    network = _initial_network(config, autoencoder).to(processes.device)
    processes.spread(network, methods=("decode_video",))
    with torch.no_grad():
        latents = torch.cat([autoencoder.encode_video(clip) for clip in held_out.split(1)])

    def validate(step: int) -> dict[str, float]:
        return compare_decoders(network, autoencoder, latents, held_out)

    def save(step: int, folder: Path) -> None:
        figures: dict[str, Any] = {"steps": step, **validate(step)}
        whole = processes.whole(network, lambda: TinyDecoder(network.config))
        if processes.is_first:
            manifest = manifest_of(
                name,
                config,
                seeds={"training": config.seed, **(seeds or {})},
                ancestors=ancestors,
                figures=figures,
                notes=notes,
            )
            save_release(run_dir / "release", {"tiny_decoder": whole}, manifest, overwrite=True)

    train(
        DecodingObjective(
            network, autoencoder, real_weight=config.real_weight, edge_weight=config.edge_weight
        ),
        batches,
        config.train,
        run_dir=run_dir,
        device=processes.device,
        save=save,
        validate=validate,
        made_of={**made_of(config), **hashes(ancestors)},
    )
    return run_dir / "release"


def _initial_network(config: DecoderDistillationConfig, autoencoder: AutoencoderKL) -> TinyDecoder:
    fitting = TinyDecoderConfig.fitting(
        autoencoder.config, width=config.width, blocks_per_stage=config.blocks_per_stage
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return TinyDecoder(fitting)
