"""``rufous fvd``: two folders of clips as sets: FVD, its content-debiased kin, JEDi, the world's."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rufous.apps.outputs import check_folder
from rufous.apps.progress import step_bar

if TYPE_CHECKING:
    from rufous.evaluation.set_features import VideoFeatures
    from rufous.evaluation.sets import SetComparison


def fvd(
    real: Annotated[Path, typer.Argument(metavar="REAL_DIR", help="Folder of real clips.")],
    generated: Annotated[Path, typer.Argument(metavar="GENERATED_DIR", help="Folder of generated clips.")],
    features: Annotated[
        Literal["i3d", "videomae", "vjepa", "world"] | None,
        typer.Option(help="What clips are compared by; i3d by default."),
    ] = None,
    preset: Annotated[
        Literal["animatelcm-ucf101"] | None, typer.Option(help="A published protocol; it fixes the rest.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="File of the network's weights, or a release for world.")
    ] = None,
    frames: Annotated[int | None, typer.Option(help="Frames of each clip; 16 by default.")] = None,
    stride: Annotated[
        int | None, typer.Option(help="Between the frames that are read; 1 by default.")
    ] = None,
    start: Annotated[
        Literal["first", "random"] | None, typer.Option(help="Where they begin; at the first by default.")
    ] = None,
    clips: Annotated[
        int | None, typer.Option(help="Clips of each folder, drawn at random; all by default.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of what is drawn; 0 by default.")] = None,
    resize: Annotated[
        Literal["squash", "crop"] | None,
        typer.Option(help="How i3d gets a square: the whole frame, by default, or its middle."),
    ] = None,
    ddof: Annotated[
        int | None, typer.Option(min=0, max=1, help="Covariances over n - ddof; as published by default.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for features; by default in ~/.cache/rufous.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compare two folders of clips as sets. Features are kept, so that the same command goes on.

    Clips that cannot be read are left out and named; the exit code is then 1.
    """
    from rufous.checkpoints.published import default_cache
    from rufous.core.devices import pick_device
    from rufous.evaluation import ucf101
    from rufous.evaluation.set_features import i3d_features
    from rufous.evaluation.sets import SetSampling, chosen_clips, compare_sets

    for folder in (real, generated):
        if not folder.is_dir():
            raise ValueError(f"{folder} is no folder: name one with clips")
    cache_dir = cache or default_cache() / "features"
    check_folder(cache_dir)
    on = str(pick_device(device))
    asked = {"num_frames": frames, "stride": stride, "start": start, "num_clips": clips, "seed": seed}
    if preset is None:
        sampling = real_sampling = SetSampling(**{k: v for k, v in asked.items() if v is not None})
        network = _loaded(features or "i3d", weights, resize=resize, device=on)
    else:
        _check_free({**asked, "features": features, "resize": resize, "ddof": ddof})
        sampling, real_sampling = ucf101.GENERATED, ucf101.REAL
        network = i3d_features(weights, resize_mode=ucf101.RESIZE, published=ucf101.I3D_FILE, device=on)
    total = len(chosen_clips(real, real_sampling)) + len(chosen_clips(generated, sampling))
    with step_bar(total, visible=not as_json, what="read") as advance:
        report = compare_sets(
            real,
            generated,
            network,
            sampling=sampling,
            real_sampling=real_sampling,
            ddof=ddof,
            cache_dir=cache_dir,
            on_clip=advance,
        )
    _print(report, as_json=as_json)
    if report.failed:
        raise typer.Exit(1)


def _check_free(asked: Mapping[str, object]) -> None:
    """A protocol stands for itself: what it fixes may not be asked for beside it."""
    if any(value is not None for value in asked.values()):
        raise ValueError(
            "--preset fixes features, frames, stride, start, clips, seed, resize and ddof: leave those out"
        )


def _loaded(
    name: str, weights: Path | None, *, resize: Literal["squash", "crop"] | None, device: str
) -> "VideoFeatures":
    from rufous.evaluation.set_features import i3d_features, load_features

    if name == "i3d":
        return i3d_features(weights, resize_mode=resize or "squash", device=device)
    if resize is not None:
        raise ValueError(f"--resize {resize} is for i3d: {name} has its own pixels")
    return load_features(name, weights, device=device)


def _print(report: "SetComparison", *, as_json: bool) -> None:
    from rufous.core.config import to_json_dict

    if as_json:
        typer.echo(json.dumps(to_json_dict(report), indent=2))
    else:
        for name, value in report.figures.items():
            typer.echo(f"{name:20} {value:.6g}")
        sampled = report.generated_sampling
        typer.echo(
            f"{report.num_real} real and {report.num_generated} generated clips, {sampled.num_frames} frames "
            f"at stride {sampled.stride}; {report.num_features} features of {report.features} "
            f"({report.status}), covariances over n - {report.ddof}; {report.resize}"
        )
    for warning in report.warnings:
        typer.echo(f"warning: {warning}", err=True)
    for clip in report.failed:
        typer.echo(f"left out: {clip.file}: {clip.reason}", err=True)
