"""``rufous curate``: a folder or list of videos to a manifest of clips, measured and filtered."""

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rufous.apps.outputs import check_folder
from rufous.apps.progress import count_bar, step_bar, timed, timing_line

if TYPE_CHECKING:
    from rufous.data.clip import Clip
    from rufous.data.engine import Curated, Progress
    from rufous.data.executor import Executor
    from rufous.data.presets import Plan
    from rufous.data.scan import Scan

DEFAULT_OUTPUT = Path("curated")
SHOWN_PROBLEMS = 20
LINE_EVERY_S = 30.0


def curate(
    source: Annotated[
        Path, typer.Argument(help="Folder of videos, or a list or manifest: .jsonl, .csv or .parquet.")
    ],
    settings: Annotated[
        list[str] | None, typer.Argument(help="Settings of stages: stage.setting=value ...")
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder for manifest.parquet, shards, report.html and the journal."
        ),
    ] = DEFAULT_OUTPUT,
    preset: Annotated[str, typer.Option(help="hummingbird, open-sora-1.2 or probe.")] = "hummingbird",
    stages: Annotated[
        str | None,
        typer.Option(help="Stages and filters with commas between, in place of the preset, in their order."),
    ] = None,
    also: Annotated[
        str | None, typer.Option("--with", help="Stages with commas between, besides the preset's: dover.")
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            help="NAME>=VALUE, NAME<=VALUE, NAME>=N%, NAME>=N%/folder, NAME!=TAG or these @PATTERN.",
        ),
    ] = None,
    root: Annotated[Path | None, typer.Option(help="For a list: the folder its sources lie below.")] = None,
    with_dropped: Annotated[
        bool, typer.Option("--with-dropped", help="Of a manifest: take the rows too that a run dropped.")
    ] = False,
    executor: Annotated[str, typer.Option(help="local or ray.")] = "local",
    address: Annotated[str | None, typer.Option(help="For ray: of a cluster; else one starts here.")] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Workers; else one a core, of a Ray cluster all it has room for."),
    ] = None,
    gpu_jobs: Annotated[
        int | None, typer.Option(min=1, help="For local: workers of stages that need a GPU; else one.")
    ] = None,
    cpus_each: Annotated[
        float | None, typer.Option(help="For ray: cores that a worker asks for; else 0.5.")
    ] = None,
    gpus_each: Annotated[
        float | None, typer.Option(help="For ray: part of a GPU that a worker asks for; else 0.25.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds for the stages of one clip, or to find a film's shots.")
    ] = 600.0,
    export: Annotated[
        list[str] | None,
        typer.Option(help="Also write the kept clips as jsonl, csv, hummingbird, open-sora or webvid."),
    ] = None,
    shards: Annotated[
        bool, typer.Option(help="Write the kept clips into tar files as well, as WebDataset has them.")
    ] = True,
    redo: Annotated[
        str | None, typer.Option(help="Stages with commas between that are done again, with what reads them.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure; say what filters would take.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print run.json.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, tables or timings.")] = False,
) -> None:
    """Measure clips and keep the good ones.

    The same command again does only what is missing. The exit code is 1 if a file was wrong.
    """
    seconds: dict[str, float] = {}
    # 1. everything that can be refused before the work
    check_folder(output)
    with timed(seconds, "import"):
        from rufous.data.clip_shards import write_clip_shards
        from rufous.data.curation_report import write_report
        from rufous.data.engine import curate as carry_out
        from rufous.data.journal import Journal
        from rufous.data.manifest import write_manifest
        from rufous.data.run_lock import locked
        from rufous.data.scan import scan
    _check_exports(export or [])
    _check_source(source, output)
    with timed(seconds, "scan"):
        found = scan(source, root=root, with_dropped=with_dropped)
    plan = _plan(preset, stages, also, settings or [], filters or [], timeout, found.clips)
    for_ray = {"address": address, "cpus_each": cpus_each, "gpus_each": gpus_each}
    workers = _executor(executor, {"num_workers": jobs, "gpu_workers": gpu_jobs, **for_ray}, timeout)
    if not quiet:
        _say_left_out(plan, found)
    made_with = _made_with(plan, preset if stages is None else None)
    for name, licence in made_with["licences"].items():  # a worker's log may be seen by nobody
        typer.echo(f"{name}: {licence}", err=True)
    manifest, not_cut = output / "manifest.parquet", dict[str, str]()
    # 2. the work
    with locked(output), _stopped_by_signal():
        with timed(seconds, "journal"):
            journal = Journal(output / "journal.jsonl")
        try:
            with timed(seconds, "curate"), _progress(len(found.clips), quiet=quiet) as on_progress:
                curated = carry_out(
                    found.clips,
                    plan.steps,
                    root=found.root,
                    executor=workers,
                    journal=journal,
                    is_dry_run=dry_run,
                    redo=_names(redo),
                    on_progress=on_progress,
                )
            summary = _summary(found, curated, made_with, is_dry_run=dry_run)
            told = output / ("dry_run.json" if dry_run else "run.json")
            if not dry_run:
                with timed(seconds, "write"):
                    write_manifest(manifest, curated.clips, metadata=made_with)
                    _write_json(told, summary)  # whoever trains from the one reads the root in the other
            if shards and not dry_run:
                with (
                    timed(seconds, "shards"),
                    step_bar(len(curated.kept), visible=not quiet, what="shards") as advance,
                ):
                    packed = write_clip_shards(
                        output / "shards",
                        curated.kept,
                        root=found.root,
                        executor=workers,
                        on_progress=lambda clip: advance(clip.source[-40:]),
                    )
                not_cut |= packed.failed
        finally:
            journal.close()
            workers.close()
        # 3. report
        with timed(seconds, "report"):
            summary["not_in_shards"] = not_cut
            _write_json(told, summary)
            page = output / ("dry_run.html" if dry_run else "report.html")
            write_report(
                page,
                curated,
                title=f"Curation of {source.name or source}",
                root=found.root,
                problems=found.problems,
                left_out=plan.left_out,
                is_dry_run=dry_run,
            )
            not_exported = {} if dry_run else _write_exports(output, curated, export or [])
    if as_json:
        typer.echo(json.dumps(summary, indent=1))
    elif not quiet:
        typer.echo(_table(curated))
        typer.echo("\n".join(map(str, [*([] if dry_run else [manifest]), page])))
    if not quiet:
        for kind, reason in not_exported.items():
            typer.echo(f"--export {kind} was not written: {reason}", err=True)
        _say_what_is_wrong(found, curated, not_cut)
        typer.echo(timing_line(seconds), err=True)
    if found.problems or not_cut or not_exported or any(clip.errors for clip in curated.clips):
        raise typer.Exit(1)


def _plan(
    preset: str,
    stages: str | None,
    also: str | None,
    settings: list[str],
    filters: list[str],
    timeout_s: float,
    clips: "Sequence[Clip]",
) -> "Plan":
    from rufous.data.filters import parse_filter
    from rufous.data.presets import PRESETS, make_plan, parse_steps, with_stages
    from rufous.data.stages.registry import STAGES

    if preset not in PRESETS:
        raise ValueError(f"--preset {preset} is unknown: use {', '.join(PRESETS)}")
    steps = PRESETS[preset].steps
    if stages is not None:
        steps = parse_steps(_names(stages))
        if unknown := [step for step in steps if isinstance(step, str) and step not in STAGES]:
            raise ValueError(
                f"--stages: {unknown[0]!r} is no stage: use {', '.join(STAGES)}, or filters that refuse one "
                "name each, such as camera_motion!=dolly_zoom"
            )
    added = _names(also)
    steps = with_stages(steps, added)
    chosen = [parse_filter(text) for text in filters]
    plan = make_plan(steps, settings=settings, filters=chosen, timeout_s=timeout_s, clips=clips)
    for name, reason in plan.left_out.items():
        if stages is not None or name in added:
            raise ValueError(f"{name} was asked for and cannot run here: {reason}")
    return plan


def _names(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(name.strip() for name in text.split(","))


def _executor(kind: str, wanted: Mapping[str, Any], timeout_s: float) -> "Executor":
    """An executor with the settings that are not None, all of which must be for this kind."""
    given = {name: value for name, value in wanted.items() if value is not None}
    others = {"local": ("address", "cpus_each", "gpus_each"), "ray": ("gpu_workers",)}
    if kind not in others:
        raise ValueError(f"--executor {kind} is unknown: use local or ray")
    if wrong := [name for name in others[kind] if name in given]:
        option = {"gpu_workers": "gpu-jobs"}.get(wrong[0], wrong[0].replace("_", "-"))
        raise ValueError(f"--{option} is for --executor {'ray' if kind == 'local' else 'local'}")
    if kind == "local":
        from rufous.data.local_executor import LocalExecutor

        return LocalExecutor(**{"num_workers": os.cpu_count() or 1, **given}, timeout_s=timeout_s)
    from rufous.core.optional import require
    from rufous.data.ray_executor import RayExecutor

    require("ray", extra="ray")
    return RayExecutor(**given, timeout_s=timeout_s)


@contextmanager
def _stopped_by_signal() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress(num_clips: int, *, quiet: bool) -> "Iterator[Callable[[Progress], None]]":
    """A bar on a terminal, which each pass fills; elsewhere a line now and then."""
    last = time.monotonic()

    def tell(progress: "Progress") -> None:
        nonlocal last
        show(f"{_rate(progress)} {progress.source[-30:]}", progress.num_done, progress.num_clips)
        if not quiet and not is_terminal and time.monotonic() - last >= LINE_EVERY_S:
            last = time.monotonic()
            typer.echo(_progress_line(progress), err=True)

    is_terminal = sys.stderr.isatty()
    with count_bar(num_clips, visible=not quiet, what="curate", tells_eta=False) as show:
        yield tell


def _progress_line(progress: "Progress") -> str:
    return (
        f"{progress.num_done} of {progress.num_clips} clips ({progress.num_known} known), {_rate(progress)}"
    )


def _rate(progress: "Progress") -> str:
    """Of the clips that are worked on: those that are known take no time."""
    eta = "" if progress.eta_s is None else f", about {progress.eta_s / 60:.1f} min left"
    return f"{progress.clips_per_s:.2f} a second{eta}"


def _check_exports(exports: list[str]) -> None:
    from rufous.data.published_csv import LAYOUTS

    known = ("jsonl", "csv", *LAYOUTS)
    if wrong := [each for each in exports if each not in known]:
        raise ValueError(f"--export {wrong[0]} is unknown: use {', '.join(known)}")


def _check_source(source: Path, output: Path) -> None:
    """Refuse the rows that a run is to replace: those that it leaves out would be lost."""
    written = ("manifest.parquet", "clips.jsonl", "clips.csv")
    if source.name in written and source.parent.resolve() == output.resolve():
        raise ValueError(f"{source} is what this run would replace: give another folder with -o")


def _write_exports(output: Path, curated: "Curated", exports: list[str]) -> dict[str, str]:
    """Write what can be written; of the others, the reason."""
    from rufous.data.manifest import write_manifest
    from rufous.data.published_csv import write_published_csv

    failed: dict[str, str] = {}
    for each in exports:
        if each in ("jsonl", "csv"):
            write_manifest(output / f"clips.{each}", curated.kept)
            continue
        try:
            write_published_csv(output / f"{each}.csv", curated.kept, layout=each)
        except ValueError as error:  # the layout cannot hold these clips
            failed[each] = str(error)
    return failed


def _made_with(plan: "Plan", preset: str | None) -> dict[str, Any]:
    """What the rows depend on besides the files."""
    import rufous
    from rufous.core.config import to_json_dict
    from rufous.data.filters import Filter, TagFilter, filter_to_dict
    from rufous.data.stage import Licensed

    return {
        "rufous_version": rufous.__version__,
        "preset": preset,
        "stages": {stage.name: {"version": stage.version, **to_json_dict(stage)} for stage in plan.stages},
        "filters": [filter_to_dict(step) for step in plan.steps if isinstance(step, Filter | TagFilter)],
        "left_out": dict(plan.left_out),
        "licences": {stage.name: stage.licence for stage in plan.stages if isinstance(stage, Licensed)},
    }


def _summary(
    found: "Scan", curated: "Curated", made_with: dict[str, Any], *, is_dry_run: bool
) -> dict[str, Any]:
    from rufous.data.filters import filter_to_dict

    return {
        **made_with,
        "root": str(found.root),
        "is_dry_run": is_dry_run,
        "num_clips": len(curated.clips),
        "num_kept": len(curated.kept),
        "filters": [
            {
                **filter_to_dict(each.filter),
                "limits": {group: list(pair) for group, pair in each.limits.items()},
                "num_alone": each.num_alone,
                "num_in_order": each.num_in_order,
                "num_left": each.num_left,
            }
            for each in curated.filters
        ],
        "problems": [{"source": each.source, "reason": each.reason} for each in found.problems],
        "num_worked_on": curated.num_worked_on,
        "num_known": curated.num_known,
        "seconds": round(curated.seconds, 3),
        "stage_seconds": {name: round(spent, 3) for name, spent in curated.stage_seconds.items()},
    }


def _write_json(path: Path, values: dict[str, Any]) -> None:
    from rufous.core.files import write_text

    write_text(path, json.dumps(values, indent=1) + "\n")


def _say_left_out(plan: "Plan", found: "Scan") -> None:
    if found.num_dropped:
        typer.echo(f"{found.num_dropped} rows that a run dropped stay out: --with-dropped", err=True)
    for name, reason in plan.left_out.items():
        typer.echo(f"left out {name}: {reason}", err=True)


def _table(curated: "Curated") -> str:
    from rufous.data.filters import dropped_by

    lines = [f"{len(curated.clips)} clips, {len(curated.kept)} kept"]
    if curated.filters:
        rows = [("filter", "alone", "in order", "left")]
        rows += [
            (each.filter.name, str(each.num_alone), str(each.num_in_order), str(each.num_left))
            for each in curated.filters
        ]
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        lines += ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    names = {each.filter.name for each in curated.filters}
    by_stage = Counter(name for clip in curated.clips if (name := dropped_by(clip)) and name not in names)
    lines += [f"dropped by {name}: {count}" for name, count in sorted(by_stage.items())]
    return "\n".join(lines)


def _say_what_is_wrong(found: "Scan", curated: "Curated", not_cut: Mapping[str, str]) -> None:
    told = [f"{each.source}: {each.reason}" for each in found.problems]
    told += [f"{source}: shards: {reason}" for source, reason in not_cut.items()]
    told += [
        f"{clip.source}: {stage}: {reason}" for clip in curated.clips for stage, reason in clip.errors.items()
    ]
    for line in told[:SHOWN_PROBLEMS]:
        typer.echo(line, err=True)
    if len(told) > SHOWN_PROBLEMS:
        typer.echo(f"and {len(told) - SHOWN_PROBLEMS} more, in the report and the manifest", err=True)
