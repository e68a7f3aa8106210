"""``rufous evaluate``: a folder of clips, or what a model makes of prompts, measured row by row; and two
compared."""

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rufous.apps.evaluation_rows import (
    check_outside,
    outside_rows,
    row_names,
    without_aim,
    without_unsorted_flickering,
    without_world,
)
from rufous.apps.evaluation_tables import (
    comparison_table,
    print_comparison,
    print_totals,
    rows_table,
    say_what_is_wrong,
)
from rufous.apps.generate import call_options, make_clips, sampled_clips
from rufous.apps.outputs import check_folder
from rufous.apps.progress import step_bar, timed, timing_line
from rufous.apps.sampled_clips import manifests_folder

if TYPE_CHECKING:
    from rufous.evaluation.dimensions.rows import LoadedRows
    from rufous.evaluation.measuring import MeasuredClip
    from rufous.evaluation.paired import PairedComparison
    from rufous.evaluation.results_file import Results
    from rufous.evaluation.vbench.suite import MatchedFolder, SuiteEntry

DEFAULT_OUTPUT = Path("evaluation")
MIN_CLIPS_A_PROCESS = 12
"""Starting a process takes as long as measuring a few clips."""


def evaluate(
    folder: Annotated[
        Path | None, typer.Argument(help="Clips named PROMPT-NUMBER.mp4, or with manifests beside them.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for results.json, report.html and the like; evaluation."),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="File in VBench's layout, or vbench or world; what it lacks is a problem."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Clips that each prompt should have; 5 for a suite, else 1.")
    ] = None,
    rows: Annotated[str | None, typer.Option(help="Rows to measure, with commas between; else all.")] = None,
    model: Annotated[str | None, typer.Option(help="Make the clips first, as generate does.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="For --model: a prompt per line, or .jsonl.")] = None,
    seed: Annotated[int, typer.Option(help="For --model: the same seed gives the same clips.")] = 0,
    steps: Annotated[int | None, typer.Option(help="For --model: denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="For --model: guidance scale.")] = None,
    frames: Annotated[int | None, typer.Option(help="For --model: number of frames.")] = None,
    size: Annotated[str | None, typer.Option(help="For --model: WIDTHxHEIGHT, or one number.")] = None,
    fps: Annotated[float | None, typer.Option(help="For --model: frames per second.")] = None,
    solver: Annotated[str | None, typer.Option(help="For --model: as generate's.")] = None,
    negative: Annotated[str | None, typer.Option(help="For --model: what clips should not show.")] = None,
    dtype: Annotated[str | None, typer.Option(help="For --model: auto, fp32, bf16 or fp16.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="For --model: clips made at once, as generate's.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Earlier results.json, compared clip by clip in the report.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="Compare two results.json and measure nothing; -o writes it as JSON and a page."),
    ] = None,
    detector: Annotated[
        str | None, typer.Option(help="For the proxy rows: folder or hub id; RT-DETR if not given.")
    ] = None,
    captioner: Annotated[
        str | None, typer.Option(help="For the proxy rows: folder or hub id; BLIP if not given.")
    ] = None,
    with_rows: Annotated[
        Path | None,
        typer.Option(help="eval_results.json, folder or zip of another program: rows that join these."),
    ] = None,
    score: Annotated[
        Path | None,
        typer.Option(help="Print VBench's totals of eval_results.json, a folder or a zip; measure nothing."),
    ] = None,
    i2v: Annotated[bool, typer.Option("--i2v", help="For --score: the image-to-video table.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; else as many as pay off.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, tables or timings.")] = False,
) -> None:
    """Measure clips: VBench's rows as far as their weights are here, and truth on prompts of the world.

    The same command again measures only what is new. The exit code is 1 if a file was wrong or missing.
    """
    # 1. what measures nothing, and everything that can be refused before the work
    if compare is not None:
        print_comparison(*compare, output=output, as_json=as_json)
        return
    if score is not None:
        print_totals(score, image_to_video=i2v, as_json=as_json)
        return
    _check_sources(folder, model, prompts, suite)
    if i2v:
        raise ValueError("--i2v says which table --score reads: give --score FILE as well")
    sampling = {"steps": steps, "guidance": guidance, "frames": frames, "size": size, "fps": fps}
    sampling |= {"solver": solver, "negative": negative}
    for name, value in {**sampling, "dtype": dtype, "batch-size": batch_size}.items():
        if model is None and value is not None:
            raise ValueError(f"--{name} is for --model: clips of a folder are made already")
    options = call_options(**sampling)
    output = output or DEFAULT_OUTPUT
    check_folder(output)
    seconds: dict[str, float] = {}
    with timed(seconds, "import"):
        from rufous.core.devices import pick_device
        from rufous.evaluation import results_file
        from rufous.evaluation.dimensions.proxy_rows import proxy_rows
        from rufous.evaluation.dimensions.rows import load_rows
        from rufous.evaluation.static_clips import keep_static
        from rufous.evaluation.vbench.suite import SAMPLES
    entries = _entries(suite, prompts)
    names = row_names(rows, entries if suite is not None else None)
    samples = samples or (1 if suite is None else SAMPLES)
    outside = {} if with_rows is None else outside_rows(with_rows)
    earlier = None if against is None else results_file.read_results(against)
    stand_ins = {"detector": detector, "captioner": captioner}
    stand_ins = {part: chosen for part, chosen in stand_ins.items() if chosen is not None}
    with timed(seconds, "load"):
        aimed, aimless = without_aim(names, entries)
        loaded = load_rows(aimed, pick_device(device), proxy_rows(**stand_ins))
        loaded = replace(loaded, left_out={**loaded.left_out, **aimless})
    if suite is not None:
        loaded = without_unsorted_flickering(loaded)
    check_outside(outside, loaded)
    # 2. the clips
    if model is not None:
        folder = output / "clips"
        clips = sampled_clips([], prompts, suite, folder, samples, seed)
        with timed(seconds, "generate"):
            make_clips(
                clips,
                options,
                model=model,
                device=device,
                dtype=dtype or "auto",
                batch_size=batch_size or 1,
                keep_made=True,
                quiet=quiet,
                seconds={},
            )
    assert folder is not None
    asked = names if rows is not None and suite is not None else None
    matched = _matched(folder, entries, samples=samples, rows=asked)
    if rows is None:
        loaded = without_world(loaded, matched)
    # 3. measure
    with timed(seconds, "measure"):
        measured = _measure(matched, loaded, output / "measures.jsonl", jobs, quiet=quiet)
        problems = list(matched.problems)
        if suite is not None:
            measured, unmoved = keep_static(measured, samples)
            problems += unmoved
    # 4. write and report
    with timed(seconds, "report"):
        results = results_file.collect_results(
            model or folder.name,
            measured,
            loaded,
            problems=problems,
            num_passed_over=len(matched.passed_over),
            world_distance=_world_distance(measured, loaded, output),
            outside=outside,
            run=_run(suite, prompts, with_rows, samples=samples, device=str(pick_device(device))),
        )
        comparison = None if earlier is None else _compared(earlier, results, str(against))
        results_file.write_vbench_files(
            output, "results", measured, loaded, entries=entries if suite is not None else None
        )
        _write(output, results, matched, earlier=earlier, comparison=comparison)
    if as_json:
        typer.echo(json.dumps(results, indent=1))
    elif not quiet:
        typer.echo(rows_table(results))
        if comparison is not None:
            typer.echo(comparison_table(comparison))
        typer.echo(f"{output / 'results.json'}\n{output / 'report.html'}")
    if not quiet:
        say_what_is_wrong(results)
        typer.echo(timing_line(seconds), err=True)
    if results["problems"]:
        raise typer.Exit(1)


def _write(
    output: Path,
    results: "Results",
    matched: "MatchedFolder",
    *,
    earlier: "Results | None",
    comparison: "PairedComparison | None",
) -> None:
    from rufous.evaluation.report_page import write_report
    from rufous.evaluation.results_file import write_results

    write_results(output / "results.json", results)
    clips = {clip.path.name: clip.path for clip in matched.clips}
    write_report(output / "report.html", results, clips=clips, other=earlier, comparison=comparison)


def _check_sources(folder: Path | None, model: str | None, prompts: Path | None, suite: str | None) -> None:
    if (folder is None) == (model is None):
        raise ValueError("give a folder of clips, or --model NAME with --prompts FILE or --suite FILE")
    if model is not None and (prompts is None) == (suite is None):
        raise ValueError("--model needs prompts: give --prompts FILE or --suite FILE, one of both")
    if model is None and prompts is not None:
        raise ValueError("--prompts is for --model: clips of a folder are named by their prompts")
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{folder} is no folder: give a folder of clips")


def _entries(suite: str | None, prompts: Path | None) -> "list[SuiteEntry] | None":
    """The prompts that clips are matched to; None takes clips as they are."""
    from rufous.apps.prompt_files import read_prompts
    from rufous.evaluation.vbench.known_suites import find_suite
    from rufous.evaluation.vbench.suite import SuiteEntry

    if suite is not None:
        return find_suite(suite)
    return None if prompts is None else [SuiteEntry(prompt=line.prompt) for line in read_prompts(prompts)]


def _matched(
    folder: Path, entries: "Sequence[SuiteEntry] | None", *, samples: int, rows: Sequence[str] | None = None
) -> "MatchedFolder":
    """The clips of a folder, matched to prompts; without any, what manifests and names tell."""
    from rufous.evaluation.vbench.suite import match_folder

    if entries is None:
        return match_folder(folder, told_prompts=_told_prompts(folder))
    return match_folder(folder, entries, samples=samples, rows=rows)


def _told_prompts(folder: Path) -> dict[str, str]:
    """Prompts of clips that have a manifest, by file name."""
    from rufous.evaluation.vbench.suite import is_clip_manifest

    told: dict[str, str] = {}
    for path in (*folder.glob("*.json"), *manifests_folder(folder.absolute()).glob("*.json")):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # whatever lies there is not ours
        if is_clip_manifest(values):
            told[values["file"]] = values["prompt"]
    return told


def _measure(
    matched: "MatchedFolder", loaded: "LoadedRows", store: Path, jobs: int | None, *, quiet: bool
) -> "list[MeasuredClip]":
    from rufous.evaluation.measuring import MeasureStore, measure_clips

    is_large = any(row.is_large for row in loaded.rows.values())
    useful = max(1, min(os.cpu_count() or 1, len(matched.clips) // MIN_CLIPS_A_PROCESS))
    if is_large and (jobs or 1) > 1:
        typer.echo(
            "note: one process, since rows with large networks are among these: --jobs is for the others",
            err=True,
        )
    identities = {name: row.key for name, row in loaded.rows.items()}
    with step_bar(len(matched.clips), visible=not quiet) as advance:
        return measure_clips(
            matched.clips,
            {name: row.dimension for name, row in loaded.rows.items()},
            store=MeasureStore(store, identities=identities),
            num_processes=1 if is_large else jobs or useful,
            on_clip=lambda measured: advance(measured.clip.path.name[:40]),
        )


def _world_distance(
    measured: "Sequence[MeasuredClip]", loaded: "LoadedRows", cache_dir: Path
) -> dict[str, Any] | None:
    from rufous.evaluation.dimensions.world import WorldFeatures
    from rufous.evaluation.world_distance import world_distance

    row = loaded.rows.get("world_features")
    if row is None or not isinstance(row.dimension, WorldFeatures):
        return None
    return world_distance(measured, row.dimension.embed, cache_dir=cache_dir, network=row.key)


def _compared(earlier: "Results", results: "Results", against: str) -> "PairedComparison | None":
    """A comparison; that there is nothing to compare is one of the problems of ``results``."""
    from rufous.evaluation.paired import compare_results

    try:
        return compare_results(earlier, results)
    except ValueError as error:
        results["problems"].append({"file": against, "reason": str(error)})
        return None


def _run(
    suite: str | None, prompts: Path | None, with_rows: Path | None, *, samples: int, device: str
) -> dict[str, Any]:
    """When and how it was measured: what another machine needs to do the same."""
    import torch

    from rufous.core.files import sha256_of
    from rufous.evaluation.vbench.known_suites import suite_file

    told: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["rufous", *sys.argv[1:]]),
        "device": device,
        "torch": torch.__version__,
        "av": version("av"),
    }
    if suite is not None or prompts is not None:
        told["samples"] = samples
    files = {"suite": suite and suite_file(suite), "prompts": prompts, "with_rows": with_rows}
    for name, file in files.items():
        if isinstance(file, Path):
            told[name] = {"file": str(file), "sha256": sha256_of(file) if file.is_file() else None}
    if suite is not None and "suite" not in told:
        told["suite"] = {"file": suite, "sha256": None}  # made by this version of rufous
    return told
