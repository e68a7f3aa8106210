"""Stage 1 on the world: a pruned U-Net learns its teacher's output after guidance.

    rufous prune world-teacher -o runs/world_pruned --budget=-45%
    rufous train world_recovery

Against the published first stage: it starts from the teacher's own weights, the teacher runs in eval mode,
the clip's fps reaches all passes, blocks are compared too, and clips of 16 and of 26 frames take turns.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, load_config
from rufous.compression.carry_over import paired_stages
from rufous.core.errors import ConfigError
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.schedules import make_schedule
from rufous.distillation.structural import StructuralConfig, StructuralObjective
from rufous.distillation.teaching import GuidanceRange
from rufous.networks.unet3d import UNet3D
from rufous.recipes.processes import Processes, joined
from rufous.recipes.recipe import Recipe, made_of
from rufous.recipes.releases import manifest_of, save_student
from rufous.recipes.world_sets import SIXTEEN, TWENTY_SIX, WorldSet, alternating, open_sets
from rufous.training.loop import TrainConfig, train
from rufous.training.optim import OptimizerConfig


@dataclass(frozen=True, kw_only=True)
class WorldRecoveryConfig:
    """Settings of the run."""

    teacher: str = "world-teacher"
    """Embedded name or release folder."""
    student: str = "runs/world_pruned"
    """Release that ``rufous prune`` made of it."""
    sets: tuple[WorldSet, ...] = (SIXTEEN, TWENTY_SIX)
    objective: StructuralConfig = field(
        default_factory=lambda: StructuralConfig(guidance=GuidanceRange(3.0, 3.0), feature_weight=0.5)
    )
    """The guidance is the teacher's own, so that the student needs none."""
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            num_steps=3000,
            optimizer=OptimizerConfig(
                name="muon", learning_rate=1e-3, warmup_steps=50, schedule="wsd", decay_steps=1000
            ),
            ema_decay=0.998,
            save_every=250,
        )
    )
    seed: int = 14


def run(config: WorldRecoveryConfig, run_dir: Path, device: torch.device) -> Path:
    """Train and write ``run_dir/release``, the teacher's release with the student's U-Net.

    Raises:
        ConfigError: The student was not made of this teacher.
    """
    teacher = find_release(config.teacher)
    _check_parent(Path(config.student), teacher)
    with joined(device) as processes:
        return _train(config, teacher, run_dir, processes)


def _train(config: WorldRecoveryConfig, teacher: Path, run_dir: Path, processes: Processes) -> Path:
    data = open_sets(config.sets, teacher, processes)
    student = load_denoiser(config.student, processes.device)
    network = student.network
    assert isinstance(network, UNet3D)
    original = load_denoiser(teacher, processes.device)
    blocks = shared_stages(network, original.network) if config.objective.feature_weight else []
    processes.spread(network)
    objective = StructuralObjective(student, original, data[0].empty, config.objective, blocks=blocks)
    diffusion = load_config(teacher, "diffusion")
    plain = replace(diffusion, sampling=replace(diffusion.sampling, guidance_scale=1.0))

    def save(step: int, folder: Path) -> None:
        manifest = manifest_of(
            "world-recovered",
            config,
            seeds={"training": config.seed},
            parents={"teacher": teacher, "student": Path(config.student)},
            figures={"steps": step},
        )
        save_student(run_dir / "release", teacher, network, plain, manifest, processes)

    with alternating(config.sets, data, config.seed) as batches:
        train(
            objective,
            batches,
            config.train,
            run_dir=run_dir,
            device=processes.device,
            save=save,
            made_of=made_of(config),
        )
    return run_dir / "release"


def load_denoiser(release: str | Path, device: torch.device) -> Denoiser:
    """The U-Net of a release in float32 with its schedule; its weights are trainable."""
    diffusion: DiffusionConfig = load_config(release, "diffusion")
    network = load_component(release, "unet", dtype=torch.float32, device=device)
    return Denoiser(network, make_schedule(diffusion.schedule), diffusion.prediction_type)


def shared_stages(student: nn.Module, teacher: Any) -> list[tuple[nn.Module, nn.Module]]:
    """The stages that both networks run, as pairs to compare, whatever numbers they bear in the student."""
    return paired_stages(student, teacher)


def _check_parent(student: Path, teacher: Path) -> None:
    wanted = Manifest.load(teacher).id
    found = [str(parent.manifest_id) for parent in Manifest.load(student).parents]
    if wanted not in found:
        raise ConfigError(
            f"student={str(student)!r} was made of release {', '.join(found) or 'nothing'}, not of {wanted} "
            f"({teacher.name}): prune that teacher again"
        )


SMALL = WorldRecoveryConfig()
RECIPE = Recipe(
    name="world_recovery",
    summary="Stage 1: a pruned U-Net recovers by its teacher's guided output.",
    config=SMALL,
    presets={"small": SMALL},
    run=run,
)
