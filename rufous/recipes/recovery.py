"""Stage 1 on any clips: a pruned U-Net learns its teacher's output after guidance.

The recipes of the world and of full size share it; they differ in data and settings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

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
from rufous.distillation.teaching import GuidanceRange, network_of
from rufous.networks.unet3d import UNet3D
from rufous.pipelines.loading import component_name
from rufous.recipes.processes import Processes
from rufous.recipes.recipe import made_of
from rufous.recipes.releases import ancestry, check_run_dir, hashes, manifest_of, save_student
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
    notes: Sequence[str] = (),
) -> Path:
    """Train and write ``run_dir/release``: the teacher's release with the student's U-Net, without guidance.

    A student that is told the scale is sampled at the middle one of its range.

    Args:
        config: Settings of the recipe, all of which must be equal when the run is resumed.
        name: Of the release.
        batches: Clean latents with captions.
        empty: The empty caption, batch of 1.
        run_dir: Folder of the run.
        processes: Those that share it.
        notes: Sentences for the manifest.

    Raises:
        CheckpointError: Teacher or student is damaged, or was exchanged during the run.
        ConfigError: ``run_dir`` holds a release of another origin, such as the student itself.
    """
    teacher = open_teacher(config)
    places = {"teacher": teacher, "student": Path(config.student)}
    check_run_dir(run_dir, places)
    ancestors = ancestry(places)
    guidance = config.objective.guidance
    student = with_guidance_embedding(load_denoiser(config.student, processes.device), guidance.embed_dim)
    network = student.network
    assert isinstance(network, UNet3D)
    original = load_denoiser(teacher, processes.device)
    blocks = _blocks(network, network_of(original, "teacher")) if config.objective.feature_weight else []
    processes.spread(network)
    objective = StructuralObjective(student, original, empty, config.objective, blocks=blocks)
    diffusion = load_config(teacher, component_name(teacher, "diffusion"))
    plain = replace(
        diffusion,
        sampling=replace(diffusion.sampling, guidance_scale=1.0),
        embedded_guidance_scale=embedded_scale(guidance),
    )

    def save(step: int, folder: Path) -> None:
        manifest = manifest_of(
            name,
            config,
            seeds={"training": config.seed},
            ancestors=ancestors,
            figures={"steps": step},
            notes=notes,
        )
        save_student(run_dir / "release", teacher, network, plain, manifest, processes)

    train(
        objective,
        batches,
        config.train,
        run_dir=run_dir,
        device=processes.device,
        save=save,
        made_of={**made_of(config), **hashes(ancestors)},
    )
    return run_dir / "release"


def _blocks(student: UNet3D, teacher: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """Pairs to compare, whether the student has a guidance embedding of its own or not."""
    assert isinstance(teacher, UNet3D)
    embed_dim = teacher.config.guidance_embed_dim
    return paired_stages(student, teacher, replace(student.config, guidance_embed_dim=embed_dim))


def load_denoiser(release: str | Path, device: torch.device) -> Denoiser:
    """The U-Net of a release in float32 with its schedule; its weights are trainable."""
    diffusion: DiffusionConfig = load_config(release, component_name(release, "diffusion"))
    network = load_component(release, component_name(release, "unet"), dtype=torch.float32, device=device)
    return Denoiser(network, make_schedule(diffusion.schedule), diffusion.prediction_type)


def with_guidance_embedding(pupil: Denoiser, embed_dim: int | None) -> Denoiser:
    """The same U-Net with a guidance embedding that starts at zero, so that it changes nothing yet.

    Raises:
        ConfigError: It has one of another width, or none is wanted.
    """
    network = pupil.network
    assert isinstance(network, UNet3D)
    has = network.config.guidance_embed_dim
    if has == embed_dim:
        return pupil
    if has is not None:
        raise ConfigError(
            f"guidance.embed_dim={embed_dim}: the network to train has a guidance embedding already, "
            f"so use guidance.embed_dim={has}"
        )
    told = UNet3D(replace(network.config, guidance_embed_dim=embed_dim))
    told.load_state_dict({**told.state_dict(), **network.state_dict()})
    return replace(pupil, network=told.to(next(network.parameters()).device))


def embedded_scale(guidance: GuidanceRange) -> float | None:
    """What a student is told when sampled: the weight w = g - 1 of the middle scale, if it reads one."""
    middle = (guidance.lowest + guidance.highest) / 2
    return None if guidance.embed_dim is None else middle - 1.0
