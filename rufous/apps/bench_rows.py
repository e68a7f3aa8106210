"""Which rows a command line means: releases by name or folder, and rows of the published line-up."""

import importlib.util
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rufous.apps.model_arguments import ModelArgument, parse_models

if TYPE_CHECKING:
    from rufous.evaluation.benchmark.rows import BenchmarkRow
    from rufous.pipelines.request import GenerationRequest

PROMPT = "a red circle moving left on a white background"
"""Any prompt takes the same time, since all are padded to one length."""


def rows_of(
    arguments: Sequence[str],
    *,
    lineup: str | None,
    with_diffusers: bool,
    steps: str | None,
    guidance: str | None,
    sizes: dict[str, int | None],
) -> tuple[list["BenchmarkRow"], list[str]]:
    """The rows in the order of the command line, the line-up after them, and what is left out and why.

    Args:
        arguments: ``ROW`` or ``ROW:steps=4,guidance=1,solver=lcm,label=TEXT``.
        lineup: A key of ``LINEUPS``, or None.
        with_diffusers: Whether the line-up has its rows of diffusers.
        steps: One value, or one for each row.
        guidance: As ``steps``.
        sizes: ``num_frames``, ``height`` and ``width``, None for the model's own.

    Raises:
        ValueError: A line-up or a value that is not allowed, a row that is given twice, no row at all, or a
            clip that does not fit its model.
        CheckpointError: No such row or release.
        MissingDependencyError: A row of diffusers without diffusers.
    """
    from rufous.evaluation.benchmark.lineup import LINEUPS

    left_out: list[str] = []
    names = list(arguments)
    if lineup is not None:
        if lineup not in LINEUPS:
            raise ValueError(f"--lineup {lineup!r} is unknown: use {', '.join(LINEUPS)}")
        for row in LINEUPS[lineup]:
            if problem := _why_left_out(row, with_diffusers):
                left_out.append(f"{row.name}: {problem}")
            else:
                names.append(row.name)
    if not names:
        raise ValueError("no row: name a release or a row, or use --lineup table2")
    models = parse_models(names, steps=steps, guidance=guidance)
    rows = [_row(each, sizes) for each in models]
    repeated = [name for name, count in Counter(row.name for row in rows).items() if count > 1]
    if repeated:
        raise ValueError(f"{repeated[0]} is given twice: leave one out, or give it a label: ROW:label=TEXT")
    for row in rows:
        resolved(row)
    return rows, left_out


def resolved(row: "BenchmarkRow") -> "GenerationRequest":
    """The clip of a row with nothing left open.

    Raises:
        ValueError: It does not fit the model; names the row.
        CheckpointError: A release that is damaged or lacks a component.
    """
    from rufous.pipelines.request import resolve_request

    try:
        return resolve_request(PROMPT, **_configs(row), **call_options(row))
    except ValueError as error:
        raise type(error)(f"{row.name}: {error}") from error


def call_options(row: "BenchmarkRow") -> dict[str, Any]:
    """The settings of a row as arguments of a pipeline's call."""
    return dict(vars(row.settings))


def _row(argument: ModelArgument, sizes: dict[str, int | None]) -> "BenchmarkRow":
    from rufous.core.errors import CheckpointError
    from rufous.evaluation.benchmark.lineup import LINEUPS
    from rufous.evaluation.benchmark.rows import BenchmarkRow, ClipSettings

    known = {row.name: row for rows in LINEUPS.values() for row in rows}
    settings = ClipSettings(
        num_inference_steps=argument.steps,
        guidance_scale=argument.guidance,
        solver=argument.solver,
        **sizes,
    )
    name = argument.label or argument.model
    if argument.model in known:
        row = known[argument.model]
        if _is_of_diffusers(row):
            _require_diffusers()
        changed = (
            row.published_s if settings == ClipSettings() else None
        )  # the paper's is of its own settings
        return replace(row, name=name, settings=settings, published_s=changed)
    try:
        folder = _release_folder(argument.model)
    except CheckpointError as error:
        raise CheckpointError(f"{error} (rows of the line-up: {', '.join(known)})") from error
    return BenchmarkRow(name=name, model=str(folder), settings=settings)


def _release_folder(name: str) -> Path:
    """Nothing is fetched for a benchmark."""
    from rufous.checkpoints.lookup import local_release
    from rufous.checkpoints.release import is_release
    from rufous.core.errors import CheckpointError

    folder = local_release(name)
    if not is_release(folder):
        raise CheckpointError(f"{folder} is no release: use a folder that `rufous generate --model` takes")
    return folder.resolve()


def _configs(row: "BenchmarkRow") -> dict[str, Any]:
    """The configs that say which clips a model can make."""
    from rufous.checkpoints.release import load_config
    from rufous.evaluation.benchmark.rows import Architecture, DiffusersArchitecture
    from rufous.networks.unet3d import UNet3DConfig
    from rufous.networks.vae2d import AutoencoderKLConfig
    from rufous.pipelines.loading import component_names

    model = row.model
    if isinstance(model, Architecture):
        return {"diffusion": model.diffusion, "unet": model.unet, "autoencoder": model.autoencoder}
    if isinstance(model, DiffusersArchitecture):  # as deep as ours, so the same sizes fit
        levels = len(model.unet.get("block_out_channels", range(4)))
        pixels = len(model.autoencoder.get("block_out_channels", (64,)))
        return {
            "diffusion": model.diffusion,
            "unet": UNet3DConfig(channel_mult=(1,) * levels),
            "autoencoder": AutoencoderKLConfig(channel_mult=(1,) * pixels),
        }
    names = component_names(Path(model))
    return {part: load_config(Path(model), names[part]) for part in ("diffusion", "unet", "autoencoder")}


def _why_left_out(row: "BenchmarkRow", with_diffusers: bool) -> str | None:
    if not _is_of_diffusers(row):
        return None
    if not with_diffusers:
        return "left out by --no-diffusers"
    return None if _has_diffusers() else "diffusers is not installed: pip install 'rufous[diffusers]'"


def _is_of_diffusers(row: "BenchmarkRow") -> bool:
    from rufous.evaluation.benchmark.rows import DiffusersArchitecture

    return isinstance(row.model, DiffusersArchitecture)


def _has_diffusers() -> bool:
    return importlib.util.find_spec("diffusers") is not None


def _require_diffusers() -> None:
    from rufous.core.optional import require

    if not _has_diffusers():
        require("diffusers", extra="diffusers")
