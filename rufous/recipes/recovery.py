"""Stage 1 on any clips: a pruned U-Net learns its teacher's output after guidance.

The recipes of the world and of full size share it; they differ in data and settings.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import is_release, load_component, load_config
from rufous.compression.carry_over import paired_stages
from rufous.core.errors import ConfigError
from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.schedules import make_schedule
from rufous.distillation.denoising import LatentBatch
from rufous.distillation.structural import StructuralConfig, StructuralObjective
from rufous.distillation.teaching import network_of
from rufous.networks.unet3d import UNet3D
from rufous.pipelines.loading import component_name
from rufous.recipes.processes import Processes
from rufous.recipes.recipe import made_of
from rufous.recipes.releases import manifest_of, save_student
from rufous.training.batches import BatchSource
from rufous.training.loop import TrainConfig, train


@dataclass(frozen=True, kw_only=True)
class RecoveryConfig:
    """What every recovery has, whatever its data."""

    teacher: str
    """Embedded name or release folder."""
    student: str
    """Release that ``rufous prune`` made of the teacher."""
    objective: StructuralConfig
    train: TrainConfig
    seed: int = 14


def open_teacher(config: RecoveryConfig) -> Path:
    """Folder of the teacher's release.

    Raises:
        ConfigError: There is no student, or it was not made of this teacher.
    """
    if not is_release(config.student):
        raise ConfigError(
            f"student={config.student!r} is no release: make it by "
            f"rufous prune {config.teacher} -o {config.student}, with --budget or --preset"
        )
    teacher = find_release(config.teacher)
    wanted = Manifest.load(teacher).id
    found = [str(parent.manifest_id) for parent in Manifest.load(config.student).parents]
    if wanted not in found:
        raise ConfigError(
            f"student={config.student!r} was made of release {', '.join(found) or 'nothing'}, "
            f"not of {wanted} ({teacher.name}): prune that teacher again"
        )
    return teacher


def recover(
    config: RecoveryConfig,
    *,
    name: str,
    batches: BatchSource[LatentBatch],
    empty: Conditioning,
    run_dir: Path,
    processes: Processes,
) -> Path:
    """Train and write ``run_dir/release``: the teacher's release with the student's U-Net, without guidance.

    Args:
        config: Settings of the recipe, all of which must be equal when the run is resumed.
        name: Of the release.
        batches: Clean latents with captions.
        empty: The empty caption, batch of 1.
        run_dir: Folder of the run.
        processes: Those that share it.
    """
    teacher = open_teacher(config)
    student = load_denoiser(config.student, processes.device)
    network = student.network
    assert isinstance(network, UNet3D)
    original = load_denoiser(teacher, processes.device)
    blocks = (
        paired_stages(network, network_of(original, "teacher")) if config.objective.feature_weight else []
    )
    processes.spread(network)
    objective = StructuralObjective(student, original, empty, config.objective, blocks=blocks)
    diffusion = load_config(teacher, component_name(teacher, "diffusion"))
    plain = replace(diffusion, sampling=replace(diffusion.sampling, guidance_scale=1.0))

    def save(step: int, folder: Path) -> None:
        manifest = manifest_of(
            name,
            config,
            seeds={"training": config.seed},
            parents={"teacher": teacher, "student": Path(config.student)},
            figures={"steps": step},
        )
        save_student(run_dir / "release", teacher, network, plain, manifest, processes)

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
    diffusion: DiffusionConfig = load_config(release, component_name(release, "diffusion"))
    network = load_component(release, component_name(release, "unet"), dtype=torch.float32, device=device)
    return Denoiser(network, make_schedule(diffusion.schedule), diffusion.prediction_type)
