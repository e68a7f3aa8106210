"""A release to a pruned release: the same components, the network smaller, the report beside them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import nn

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.manifest import Manifest, Parent
from rufous.checkpoints.release import (
    check_target,
    component_kinds,
    load_component,
    load_config,
    save_release,
)
from rufous.compression.blocks import NAMED_BLOCKS
from rufous.compression.calls import ClipSize, NetworkCall
from rufous.compression.carry_over import carry_over
from rufous.compression.prune import PruneConfig, prune
from rufous.compression.report import PruningReport, importance_picture, report_page
from rufous.core.config import to_json_dict
from rufous.core.errors import CheckpointError
from rufous.networks.text_encoders import TextEncoderConfig
from rufous.networks.vae2d import AutoencoderKLConfig


def prune_release(
    source: Path | str,
    output: Path | str,
    config: PruneConfig,
    *,
    network: nn.Module | None = None,
    data: Callable[[], Sequence[NetworkCall]] | None = None,
    seeds: Mapping[str, int] | None = None,
    overwrite: bool = False,
) -> tuple[Manifest, PruningReport]:
    """Write a release with the network of ``source`` pruned, and ``pruning.json``, ``pruning.md`` in it.

    The student's weights are stored tensors of the source, bit for bit, whatever ``network`` computes in.
    With measured importance there is an ``importance.svg`` too. The manifest's name is the teacher's with
    ``-pruned``.

    Args:
        source: Release folder with one network that names its blocks; its other components are copied.
        output: Release folder to make.
        config: What to prune to.
        network: The same network where and in the dtype it is to be measured; None: as stored, on the CPU.
        data: See ``prune``.
        seeds: Of ``data``, for the manifest.
        overwrite: Replace a release that stands at ``output``.

    Returns:
        The manifest as written, and the report.

    Raises:
        CheckpointError: A damaged source, or something stands at ``output``.
        ValueError: As ``prune``, or ``output`` is ``source``.
        ConfigError, FloatingPointError: As ``prune``.
    """
    source, output = Path(source), Path(output)
    name = prunable_component(source)
    if output.resolve() == source.resolve():
        raise ValueError(f"{output} is the release to prune itself: choose another folder")
    check_target(output, overwrite=overwrite)
    stored = load_component(source, name)
    student, report = prune(
        stored if network is None else network,
        config,
        size=clip_size(source),
        data=data,
        stored_dtype=next(stored.parameters()).dtype,
    )
    parts: dict[str, object] = {each: source / each for each in component_kinds(source)}
    parts[name] = carry_over(stored, student.config)
    manifest = _manifest(Manifest.load(source), config, report, dict(seeds or {}))
    documents = {
        "pruning.json": json.dumps(to_json_dict(report), indent=1) + "\n",
        "pruning.md": report_page(report, name=manifest.name, teacher=_title(manifest.parents[0])),
    }
    if report.num_calls:
        documents["importance.svg"] = importance_picture(report)
    return save_release(output, parts, manifest, documents=documents, overwrite=overwrite), report


def prunable_component(folder: Path | str) -> str:
    """Name of the one network in a release that names its blocks.

    Raises:
        CheckpointError: There is none, or several.
    """
    found = [name for name, kind in component_kinds(folder).items() if kind in NAMED_BLOCKS]
    if len(found) != 1:
        raise CheckpointError(
            f"{folder} has {len(found)} networks that can be pruned: a release to prune has exactly one, "
            f"of the kind {' or '.join(NAMED_BLOCKS)}"
        )
    return found[0]


def clip_size(folder: Path | str) -> ClipSize:
    """Latents and text of one clip at the release's own size; what it does not say is VideoCrafter2's."""
    configs = [load_config(folder, name) for name in component_kinds(folder)]
    found = {type(config): config for config in configs}
    size, clip = ClipSize(), found.get(DiffusionConfig)
    autoencoder, text = found.get(AutoencoderKLConfig), found.get(TextEncoderConfig)
    factor = autoencoder.vae_scale_factor_spatial if autoencoder else 8
    return ClipSize(
        num_frames=clip.num_frames if clip else size.num_frames,
        height=clip.height // factor if clip else size.height,
        width=clip.width // factor if clip else size.width,
        num_tokens=text.context_length if text else size.num_tokens,
    )


def _manifest(
    teacher: Manifest, config: PruneConfig, report: PruningReport, seeds: dict[str, int]
) -> Manifest:
    return Manifest(
        name=f"{teacher.name}-pruned",
        config=to_json_dict(config),
        seeds=seeds,
        parents=(Parent(name=teacher.name, manifest_id=teacher.id, role="teacher"),),
        licences=teacher.licences,
        figures={"pruning": {"before": to_json_dict(report.before), "after": to_json_dict(report.after)}},
        notes=(f"pruned to {report.goal}, not trained since: recover it before use",),
    )


def _title(parent: Parent) -> str:
    return f"{parent.name} ({parent.manifest_id})"
