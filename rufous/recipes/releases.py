"""What recipes write: manifests that name every parent, and releases of students."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.manifest import Manifest, Parent
from rufous.checkpoints.release import component_kinds, save_release
from rufous.networks.unet3d import UNet3D
from rufous.pipelines.loading import component_name
from rufous.recipes.processes import Processes
from rufous.recipes.recipe import portable_config


def manifest_of(
    name: str,
    config: Any,
    *,
    seeds: Mapping[str, int],
    parents: Mapping[str, Path],
    figures: Mapping[str, float | int],
) -> Manifest:
    """The manifest of what a recipe made.

    Args:
        name: Of the release.
        config: Settings of the recipe.
        seeds: By what they were for.
        parents: Releases that shaped it, by role; named by the hashes that they have now.
        figures: What was measured.
    """
    loaded = {role: Manifest.load(folder) for role, folder in parents.items()}
    return Manifest(
        name=name,
        config=portable_config(config),
        seeds=dict(seeds),
        parents=tuple(
            Parent(name=found.name, manifest_id=found.id, role=role) for role, found in loaded.items()
        ),
        licences={"weights": "Apache-2.0"},
        figures=dict(figures),
    )


def save_student(
    folder: Path,
    teacher: Path,
    network: UNet3D,
    diffusion: DiffusionConfig,
    manifest: Manifest,
    processes: Processes,
) -> None:
    """Write the teacher's release with another U-Net and other sampling settings.

    Every process must call this, as each gives its share of a sharded network; the first one writes.
    """
    whole = processes.whole(network, lambda: UNet3D(network.config))
    if processes.is_first:
        parts: dict[str, object] = {name: teacher / name for name in component_kinds(teacher)}
        parts[component_name(teacher, "unet")] = whole
        parts[component_name(teacher, "diffusion")] = diffusion
        save_release(folder, parts, manifest, overwrite=True)
