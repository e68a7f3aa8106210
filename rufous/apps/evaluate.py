"""``rufous evaluate``: a folder of clips, or what a model makes of prompts, measured row by row; and two
compared."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rufous.apps.outputs import check_folder
from rufous.apps.progress import step_bar, timed, timing_line
from rufous.apps.sampled_clips import manifests_folder

if TYPE_CHECKING:
    from rufous.evaluation.dimensions.rows import LoadedRows
    from rufous.evaluation.measuring import MeasuredClip
    from rufous.evaluation.paired import PairedComparison
    from rufous.evaluation.results_file import Results
    from rufous.evaluation.vbench.suite import MatchedFolder

DEFAULT_OUTPUT = Path("evaluation")
SHOWN_PROBLEMS = 20
MIN_CLIPS_A_PROCESS = 12
"""Starting a process takes as long as measuring a few clips."""


def evaluate(
    folder: Annotated[
        Path | None, typer.Argument(help="Clips named PROMPT-NUMBER.mp4, or with manifests beside them.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for results.json, report.html and what they need.")
    ] = DEFAULT_OUTPUT,
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
    against: Annotated[
        Path | None, typer.Option(help="Earlier results.json, compared clip by clip in the report.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Compare two results.json and measure nothing.")
    ] = None,
    detector: Annotated[
        str | None, typer.Option(help="For the proxy rows: folder or hub id; RT-DETR if not given.")
    ] = None,
    captioner: Annotated[
        str | None, typer.Option(help="For the proxy rows: folder or hub id; BLIP if not given.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; else as many as pay off.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, tables or timings.")] = False,
) -> None:
    """Measure clips: VBench's rows as far as their weights are here, and truth on prompts of the world.

    The same command again measures only what is new. The exit code is 1 if a file was wrong or missing.
    """
    seconds: dict[str, float] = {}
    if compare is not None:
        _print_comparison(*compare, as_json=as_json)
        return
    # 1. everything that can be refused before the work
    _check_sources(folder, model, prompts, suite)
    sampling = {"steps": steps, "guidance": guidance, "frames": frames, "size": size, "fps": fps}
    sampling |= {"solver": solver, "negative": negative, "dtype": dtype}
    sampling = {name: value for name, value in sampling.items() if value is not None}
    if sampling and model is None:
        raise ValueError(f"--{next(iter(sampling))} is for --model: clips of a folder are made already")
    check_folder(output)
    with timed(seconds, "import"):
        from rufous.core.devices import pick_device
        from rufous.evaluation import paired, report_page, results_file
        from rufous.evaluation.dimensions.proxy_rows import proxy_rows
        from rufous.evaluation.dimensions.rows import ROWS, load_rows
    stand_ins = {"detector": detector, "captioner": captioner}
    stand_ins = {part: chosen for part, chosen in stand_ins.items() if chosen is not None}
    names = list(ROWS) if rows is None else [name.strip() for name in rows.split(",")]
    with timed(seconds, "load"):
        loaded = load_rows(names, pick_device(device), proxy_rows(**stand_ins))
    earlier = None if against is None else results_file.read_results(against)
    # 2. the clips
    if model is not None:
        folder = output / "clips"
        with timed(seconds, "generate"):
            _generate(
                folder,
                suite=suite,
                prompts=prompts,
                model=model,
                samples=samples,
                seed=seed,
                device=device,
                quiet=quiet,
                **sampling,
            )
    assert folder is not None
    matched = _matched(folder, suite, prompts if model is not None else None, samples)
    if rows is None:
        loaded = _without_world(loaded, matched)
    # 3. measure
    with timed(seconds, "measure"):
        measured = _measure(matched, loaded, output / "measures.jsonl", jobs, quiet=quiet)
    # 4. write and report
    with timed(seconds, "report"):
        results = results_file.collect_results(
            model or folder.name,
            measured,
            loaded,
            problems=matched.problems,
            world_distance=_world_distance(measured, loaded, output),
        )
        results_file.write_results(output / "results.json", results)
        results_file.write_vbench_files(output, "results", measured, loaded)
        comparison = None if earlier is None else paired.compare_results(earlier, results)
        report_page.write_report(
            output / "report.html",
            results,
            clips={clip.path.name: clip.path for clip in matched.clips},
            other=earlier,
            comparison=comparison,
        )
    if as_json:
        typer.echo(json.dumps(results, indent=1))
    elif not quiet:
        typer.echo(_table(results))
        if comparison is not None:
            typer.echo(_comparison_table(comparison))
        typer.echo(f"{output / 'results.json'}\n{output / 'report.html'}")
    if not quiet:
        _say_what_is_wrong(results)
        typer.echo(timing_line(seconds), err=True)
    if results["problems"]:
        raise typer.Exit(1)


def _check_sources(folder: Path | None, model: str | None, prompts: Path | None, suite: str | None) -> None:
    from rufous.evaluation.vbench.known_suites import find_suite

    if (folder is None) == (model is None):
        raise ValueError("give a folder of clips, or --model NAME with --prompts FILE or --suite FILE")
    if model is not None and (prompts is None) == (suite is None):
        raise ValueError("--model needs prompts: give --prompts FILE or --suite FILE, one of both")
    if model is None and prompts is not None:
        raise ValueError("--prompts is for --model: clips of a folder are named by their prompts")
    if suite is not None:
        find_suite(suite)
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{folder} is no folder: give a folder of clips")


def _generate(folder: Path, **chosen: Any) -> None:
    """Make the clips that are not there yet."""
    from rufous.apps.generate import generate

    if chosen["samples"] is None and chosen["suite"] is None:
        chosen["samples"] = 1
    generate(output=folder, **chosen)


def _matched(folder: Path, suite: str | None, prompts: Path | None, samples: int | None) -> "MatchedFolder":
    from rufous.evaluation.vbench.known_suites import find_suite
    from rufous.evaluation.vbench.suite import SAMPLES, SuiteEntry, match_folder

    if suite is not None:
        return match_folder(folder, find_suite(suite), samples=samples or SAMPLES)
    if prompts is None:
        return match_folder(folder, told_prompts=_told_prompts(folder))
    from dataclasses import replace

    from rufous.apps.prompt_files import read_prompts

    entries = [SuiteEntry(prompt=line.prompt) for line in read_prompts(prompts)]
    matched = match_folder(folder, entries, samples=samples or 1)
    # a list of prompts names no dimensions: every row applies
    return replace(matched, clips=tuple(replace(clip, dimensions=None) for clip in matched.clips))


def _told_prompts(folder: Path) -> dict[str, str]:
    """Prompts of clips that have a manifest, by file name."""
    told: dict[str, str] = {}
    for path in (*folder.glob("*.json"), *manifests_folder(folder.absolute()).glob("*.json")):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # whatever lies there is not ours
        if (
            isinstance(values, dict)
            and isinstance(values.get("prompt"), str)
            and isinstance(values.get("file"), str)
        ):
            told[values["file"]] = values["prompt"]
    return told


def _without_world(loaded: "LoadedRows", matched: "MatchedFolder") -> "LoadedRows":
    """Without the rows of the world where no prompt is in its grammar: their figures would mean nothing."""
    from rufous.evaluation.dimensions.rows import LoadedRows
    from rufous.evaluation.measuring import WORLD
    from rufous.world.captions import parse_caption

    if any(parse_caption(clip.prompt) is not None for clip in matched.clips):
        return loaded
    reason = "no prompt is in the world's grammar"
    kept = {name: row for name, row in loaded.rows.items() if not name.startswith(WORLD)}
    return LoadedRows(kept, {**loaded.left_out, **{n: reason for n in loaded.rows if n not in kept}})


def _measure(
    matched: "MatchedFolder", loaded: "LoadedRows", store: Path, jobs: int | None, *, quiet: bool
) -> "list[MeasuredClip]":
    from rufous.evaluation.measuring import MeasureStore, measure_clips

    is_large = any(row.is_large for row in loaded.rows.values())
    useful = max(1, min(os.cpu_count() or 1, len(matched.clips) // MIN_CLIPS_A_PROCESS))
    identities = {name: row.identity for name, row in loaded.rows.items()}
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
    from rufous.evaluation.dimensions.decoded_clip import read_clip
    from rufous.evaluation.dimensions.world import WorldFeatures
    from rufous.evaluation.world_distance import world_distance

    row = loaded.rows.get("world_features")
    first = next((each for each in measured if "world_features" in each.scores), None)
    if row is None or first is None or not isinstance(row.dimension, WorldFeatures):
        return None
    clip = read_clip(first.clip.path)
    return world_distance(
        measured,
        row.dimension.embed,
        num_frames=len(clip.frames),
        fps=clip.fps,
        cache_dir=cache_dir,
        network=row.identity,
    )


def _table(results: "Results") -> str:
    """The rows as aligned text."""
    lines = [("row", "score", "95 % interval", "clips", "label")]
    for name, row in results["rows"].items():
        score, interval = row["score"], row["interval_95"]
        shown = "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"
        value = "-" if score is None else f"{score:.4f}"
        lines.append((name, value, shown, str(row["num_clips"]), row["label"]))
    for name, row in results["world"].get("attributes", {}).items():
        lines.append((f"world right: {name}", f"{row['right']:.4f}", "", str(int(row["count"])), "exact"))
    if distance := results["world"].get("frechet"):
        floor = f"real to real {distance['floor']:.4f}"
        lines.append(
            ("world Frechet distance", f"{distance['distance']:.4f}", floor, str(distance["num_clips"]), "")
        )
    return _aligned(lines)


def _comparison_table(comparison: "PairedComparison") -> str:
    lines = [("row", "pairs", "first", "second", "")]
    for row in comparison.rows:
        lines.append((row.row, str(row.num_pairs), f"{row.first:.4f}", f"{row.second:.4f}", row.sentence))
    lines += [(row, "", "", "", f"left out: {reason}") for row, reason in comparison.left_out.items()]
    return _aligned(lines)


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _print_comparison(first: Path, second: Path, *, as_json: bool) -> None:
    from rufous.core.config import to_json_dict
    from rufous.evaluation.paired import compare_results
    from rufous.evaluation.results_file import read_results

    comparison = compare_results(read_results(first), read_results(second))
    if as_json:
        rows = [{**to_json_dict(row), "in_words": row.sentence} for row in comparison.rows]
        typer.echo(json.dumps({"rows": rows, "left_out": dict(comparison.left_out)}, indent=1))
    else:
        typer.echo(_comparison_table(comparison))


def _say_what_is_wrong(results: "Results") -> None:
    for row, reason in results["left_out"].items():
        typer.echo(f"left out {row}: {reason}", err=True)
    problems = results["problems"]
    for problem in problems[:SHOWN_PROBLEMS]:
        typer.echo(f"{problem['file']}: {problem['reason']}", err=True)
    if len(problems) > SHOWN_PROBLEMS:
        typer.echo(f"and {len(problems) - SHOWN_PROBLEMS} more problems, in results.json", err=True)
