"""What recipes write: manifests that name every parent, and releases of students."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.manifest import Manifest, Parent
from rufous.checkpoints.release import component_kinds, save_release, verify_release
from rufous.core.console import logger
from rufous.core.errors import CheckpointError, ConfigError
from rufous.core.files import sha256_of
from rufous.networks.unet3d import UNet3D
from rufous.pipelines.loading import component_name
from rufous.recipes.processes import Processes
from rufous.recipes.recipe import portable_config
from rufous.rewards.feedback import RewardFeedback
from rufous.training.metrics import last_validation
from rufous.training.resume import RELEASE_ID, checkpoints

_ELSEWHERE = "choose another folder by --run-dir"
_log = logger(__name__)


@dataclass(frozen=True)
class Ancestor:
    """A release or a published file that shapes a release, as it was when the run began."""

    place: Path
    parent: Parent
    licences: Mapping[str, str] | None
    """None of a file, which names none."""


def ancestry(places: Mapping[str, Path]) -> tuple[Ancestor, ...]:
    """What shapes a release, by role: release folders and files. All of it is hashed.

    Raises:
        CheckpointError: A release is missing or damaged.
    """
    return tuple(_ancestor(role, place) for role, place in places.items())


def _ancestor(role: str, place: Path) -> Ancestor:
    if place.is_file():
        return Ancestor(place, Parent(name=place.name, sha256=sha256_of(place), role=role), None)
    manifest = verify_release(place)
    return Ancestor(place, Parent(name=manifest.name, manifest_id=manifest.id, role=role), manifest.licences)


def hashes(ancestors: Sequence[Ancestor]) -> dict[str, str]:
    """Of releases and published files, by role: what a run is made of, however its settings name them.

    For ``train``, beside ``recipes.recipe.made_of``, which knows embedded names and plain paths alone.
    """
    parents = [each.parent for each in ancestors]
    releases = {f"{each.role}{RELEASE_ID}": each.manifest_id for each in parents if each.manifest_id}
    return {**releases, **{f"{each.role}.sha256": each.sha256 for each in parents if each.sha256}}


def check_run_dir(
    run_dir: Path,
    places: Mapping[str, Path],
    *,
    writes: Sequence[str] = ("release",),
    begins_in: str = "",
) -> None:
    """Refuse to train where a release would be overwritten that this run did not write, or that it reads.

    Args:
        run_dir: Folder of the run.
        places: What shapes the run's releases, by role, as for ``ancestry``.
        writes: Folders in ``run_dir`` that the run writes as releases.
        begins_in: Folder in ``run_dir`` with the checkpoints of the run's first phase, if it has phases.

    Raises:
        ConfigError: Something stands there without a checkpoint of the run, or is one of ``places``.
    """
    has_begun = bool(checkpoints(run_dir / begins_in / "checkpoints"))
    for target in (run_dir / name for name in writes):
        for role, place in places.items():
            if place.resolve().is_relative_to(target.resolve()):
                raise ConfigError(
                    f"{target} is the {role} of this run, which would overwrite it: {_ELSEWHERE}"
                )
        if target.exists() and not has_begun:
            raise ConfigError(
                f"{target} exists, but there are no checkpoints of a run that wrote it: {_ELSEWHERE}, "
                "or move it away"
            )


def manifest_of(
    name: str,
    config: Any,
    *,
    seeds: Mapping[str, int],
    ancestors: Sequence[Ancestor],
    figures: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> Manifest:
    """The manifest of what a recipe made, under the licences of the releases that it was made of.

    Args:
        name: Of the release.
        config: Settings of the recipe.
        seeds: By what they were for.
        ancestors: What shaped it, read when the run began; all of it is hashed again.
        figures: What was measured, JSON values.
        notes: Sentences beside the one on licences that are not known.

    Raises:
        CheckpointError: Something that shaped it has changed since the run began.
    """
    for each in ancestors:
        if _ancestor(each.parent.role or "", each.place) != each:
            raise CheckpointError(
                f"{each.place}, the {each.parent.role} of this run, was exchanged since the run began: "
                f"put back {each.parent.manifest_id or each.parent.sha256}, and the same command goes on"
            )
    licences, unknown = _inherited(ancestors)
    return Manifest(
        name=name,
        config=portable_config(config),
        seeds=dict(seeds),
        parents=tuple(each.parent for each in ancestors),
        licences=licences,
        figures=dict(figures),
        notes=(*unknown, *notes),
    )


def _inherited(ancestors: Sequence[Ancestor]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Licences by part, all of them where releases disagree; of the weights none if a release names none."""
    releases = {each.parent: each.licences for each in ancestors if each.licences is not None}
    named: dict[str, set[str]] = {}
    for licences in releases.values():
        for part, licence in licences.items():
            named.setdefault(part, set()).add(licence)
    found = {part: ", ".join(sorted(each)) for part, each in named.items()}
    silent = [f"{parent.role} ({parent.name})" for parent, each in releases.items() if "weights" not in each]
    if not silent:
        return found, ()
    others = found.pop("weights", "no licence either")
    return found, (f"licence of the weights unknown: none is named by {', '.join(silent)}; others: {others}",)


def student_figures(step: int, run_dir: Path, feedback: RewardFeedback | None) -> dict[str, Any]:
    """What the manifest of a student says of its training: steps, last validation, feedback and its guard.

    The guard can turn feedback down but not a run back, so a student that has fallen is released all the
    same; then the log says so.
    """
    validated = last_validation(run_dir / "metrics.jsonl")
    figures: dict[str, Any] = {"steps": step, **({"validation": validated} if validated else {})}
    if feedback is None:
        return figures
    if feedback.strayed:
        _log.warning(
            "%s is of a student that had strayed at its last validation: %s; its manifest says so",
            run_dir / "release",
            feedback.strayed,
        )
    return {**figures, "feedback": feedback.figures}


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
