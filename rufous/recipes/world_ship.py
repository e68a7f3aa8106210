"""A finished release, stored small inside the package, with its measured truth in the manifest.

U-Nets are stored in 8 bits and everything else in bf16, so that teacher and student fit together.
The copy has an id of its own and tells whose it is (``stored_from``). A parent whose copy stands beside it is
named by that copy, so that the chain of what ships closes.

rufous train world_ship source=runs/world_teacher/release target=rufous/models/world-teacher
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rufous.checkpoints.manifest import Manifest, Parent
from rufous.checkpoints.release import component_kinds, is_release, load_component, load_config, save_release
from rufous.core.errors import ConfigError
from rufous.recipes.recipe import Recipe, portable_config

STORED_FROM = "stored_from"


@dataclass(frozen=True, kw_only=True)
class WorldShipConfig:
    """What is shipped, and where to."""

    source: str = "runs/world_teacher/release"
    target: str = "rufous/models/world-teacher"
    truth: str | None = None
    """``truth.json`` of the ``world_truth`` recipe, judged on ``source`` or on the copy at ``target``."""
    licence: str = "Apache-2.0"
    """Of the weights: they were trained on nothing but the procedural world."""
    notes: tuple[str, ...] = ()
    """Sentences for the manifest, for example how the weights came about."""
    int8: tuple[str, ...] = ("unet",)
    """Components that are stored in 8 bits."""
    solver: str | None = None
    """How the copy samples, if not as ``source`` does."""
    guidance_scale: float | None = None
    """Of the copy, if not that of ``source``."""


def run(config: WorldShipConfig, run_dir: Path, device: torch.device) -> Path:
    """Write ``target``; neither ``run_dir`` nor ``device`` is used.

    Raises:
        ConfigError: The truth was judged on another release, or on clips sampled otherwise.
        ValueError: An unknown solver, or no number for the guidance.
    """
    manifest = Manifest.load(config.source)
    kinds = component_kinds(config.source)
    parts = {name: load_component(config.source, name) for name in kinds}
    given = {"solver": config.solver, "guidance_scale": config.guidance_scale}
    changed = {name: value for name, value in given.items() if value is not None}
    for name in (name for name, kind in kinds.items() if kind == "diffusion" and changed):
        parts[name] = replace(parts[name], sampling=replace(parts[name].sampling, **changed))
    figures = {**manifest.figures, **_truth_of(config, manifest.id, parts)}
    made_by = {**portable_config(manifest.config), STORED_FROM: manifest.id}
    notes = (*manifest.notes, *config.notes)
    parents = tuple(_shipped_parent(parent, Path(config.target).parent) for parent in manifest.parents)
    licences = {**manifest.licences, "weights": config.licence}
    manifest = replace(
        manifest, config=made_by, figures=figures, notes=notes, licences=licences, parents=parents
    )
    dtypes = {name: torch.int8 if name in config.int8 else torch.bfloat16 for name in parts}
    save_release(config.target, parts, manifest, dtype=dtypes, overwrite=True)
    return Path(config.target)


def _truth_of(config: WorldShipConfig, source_id: str, parts: Mapping[str, Any]) -> dict[str, Any]:
    """The judged truth, if it is that of what ships."""
    if config.truth is None:
        return {}
    truth = json.loads(Path(config.truth).read_text(encoding="utf-8"))
    judged = {source_id: Path(config.source)}
    if (copy := _copy_of(source_id, Path(config.target))) is not None:
        judged[copy] = Path(config.target)
    folder = judged.get(truth["manifest_id"])
    if folder is None:
        raise ConfigError(
            f"truth={config.truth!r} judged release {truth['manifest_id']}, not {source_id}: "
            f"run world_truth with model={config.source}"
        )
    told = truth.get("config", {})
    overridden = any(
        told.get(name) is not None for name in ("solver", "guidance_scale", "num_inference_steps")
    )
    settings = [name for name, kind in component_kinds(folder).items() if kind == "diffusion"]
    if overridden or any(load_config(folder, name) != parts[name] for name in settings):
        raise ConfigError(
            f"truth={config.truth!r} judged clips that were sampled otherwise than {config.target} samples: "
            f"ship without truth, run world_truth with model={config.target}, and ship again"
        )
    return {"truth": {split: truth[split] for split in ("seen", "held_out")}}


def _shipped_parent(parent: Parent, folder: Path) -> Parent:
    """The parent's copy in ``folder``, if there is one."""
    copy = None if parent.manifest_id is None else _copy_of(parent.manifest_id, folder / parent.name)
    return parent if copy is None else replace(parent, manifest_id=copy)


def _copy_of(manifest_id: str, folder: Path) -> str | None:
    """Id of the release in ``folder``, if it was stored from the one of that id."""
    if not is_release(folder):
        return None
    found = Manifest.load(folder)
    return found.id if found.config.get(STORED_FROM) == manifest_id else None


RECIPE = Recipe(
    name="world_ship",
    summary="A release inside the package, stored small.",
    config=WorldShipConfig(),
    run=run,
)
