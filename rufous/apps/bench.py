"""``rufous bench``: time, memory and operations of models on this machine, each in a process of its own."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rufous.apps.bench_rows import rows_of
from rufous.apps.generate import parse_size
from rufous.apps.outputs import check_folder

if TYPE_CHECKING:
    from rufous.evaluation.benchmark import BenchmarkResults, RowFailure, RowResult
    from rufous.evaluation.benchmark.machine import Machine
    from rufous.evaluation.benchmark.rows import BenchmarkRow

DEFAULT_FOLDER = Path("bench")
DEFAULT_LINEUP = "table2"
FILES = ("results.json", "results.md", "results.svg")
HOWS = ("auto", "clips", "calls")
FAILED = 1
PEAK_S, QUICK_PEAK_S = 0.5, 0.05
QUICK_STEPS, QUICK_RUNS, RUNS = "4", 2, 5


def bench(
    rows: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ROW]...",
            help="Release by name or folder, or a row of the line-up; ROW:steps=4,guidance=1,label=TEXT.",
        ),
    ] = None,
    lineup: Annotated[str | None, typer.Option(help="Add a line-up: table2, with random weights.")] = None,
    diffusers: Annotated[
        bool, typer.Option("--diffusers/--no-diffusers", help="Rows of diffusers in the line-up.")
    ] = True,
    quick: Annotated[
        bool, typer.Option("--quick", help="The embedded model (or ROW) in 4 steps and 2 runs.")
    ] = False,
    runs: Annotated[int | None, typer.Option(help="Rounds after the first, cold one; 5 by default.")] = None,
    steps: Annotated[
        str | None, typer.Option(help="Denoising steps: one value, or one per row: 50,4.")
    ] = None,
    guidance: Annotated[str | None, typer.Option(help="Guidance scale: one value, or one per row.")] = None,
    frames: Annotated[int | None, typer.Option(help="Number of frames.")] = None,
    size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT in pixels, or one number for a square.")
    ] = None,
    how: Annotated[
        str, typer.Option(help="auto, clips (whole ones) or calls (single ones; the total is computed).")
    ] = "auto",
    limit: Annotated[
        float, typer.Option(help="Seconds a row may take; auto times calls where clips would take longer.")
    ] = 120.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of results.json, results.md, results.svg.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the page.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Measure models on this machine: text, denoising, decoding and writing, cold and warm, and memory.

    Without ROW and --lineup it measures the embedded model and the line-up of Table 2 of the Hummingbird
    paper. A row that fails, for example for want of memory, is reported, and the others are measured; the
    exit code is then 1. Nothing is downloaded. Files that exist are kept unless --overwrite is given; the
    default folder, bench, is always replaced.
    """
    # 1. everything that can be refused without a measurement
    num_runs = _checked_runs(runs, quick)
    if how not in HOWS:
        raise ValueError(f"--how {how!r} is unknown: use {', '.join(HOWS)}")
    if not 0 < limit < float("inf"):
        raise ValueError(f"--limit {limit} is out of range: use a number of seconds above 0")
    folder = output or DEFAULT_FOLDER
    _check_output(folder, overwrite=overwrite or output is None)
    names, lineup = _what_to_measure(rows or [], lineup, quick)
    chosen, left_out = rows_of(
        names,
        lineup=lineup,
        with_diffusers=diffusers,
        steps=steps or (QUICK_STEPS if quick else None),
        guidance=guidance,
        sizes={"num_frames": frames, **parse_size(size)},
    )
    # 2. the machine, the rows one after another, and the machine again
    run = _Run(num_runs=num_runs, how=how, limit_s=limit, is_quiet=quiet)
    results = run.measure(
        chosen, left_out, device=device, dtype=dtype, duration_s=QUICK_PEAK_S if quick else PEAK_S
    )
    # 3. write and report
    page = _write(results, folder)
    if as_json:
        from rufous.evaluation.benchmark.results import to_report

        typer.echo(json.dumps(to_report(results), indent=2))
    else:
        typer.echo(page)
    if not quiet:
        typer.echo(f"in {folder}: {', '.join(FILES)}", err=True)
    if results.failed:
        typer.echo(f"rufous: {len(results.failed)} of {len(results.rows)} rows failed", err=True)
        raise typer.Exit(FAILED)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """How every row is measured."""

    num_runs: int
    how: str
    limit_s: float
    is_quiet: bool

    def measure(
        self,
        rows: "Sequence[BenchmarkRow]",
        left_out: Sequence[str],
        *,
        device: str,
        dtype: str,
        duration_s: float,
    ) -> "BenchmarkResults":
        from rufous.evaluation.benchmark import BenchmarkResults

        self._say("measuring this machine")
        before = _measure_machine(device, dtype, duration_s)
        found = [
            self._measure_row(row, before, where=f"row {i} of {len(rows)}")
            for i, row in enumerate(rows, start=1)
        ]
        after = _measure_machine(before.device, before.dtype, duration_s)
        return BenchmarkResults(
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=before,
            peaks_after=after.peaks,
            rows=tuple(found),
            left_out=tuple(left_out),
        )

    def _measure_row(
        self, row: "BenchmarkRow", machine: "Machine", *, where: str
    ) -> "RowResult | RowFailure":
        from rufous.core.config import from_json_dict, to_json_dict
        from rufous.evaluation.benchmark.children import ChildFailure
        from rufous.evaluation.benchmark.report import failure_text, seconds_text
        from rufous.evaluation.benchmark.results import RowFailure, RowResult
        from rufous.evaluation.benchmark.rows import RowJob

        self._say(f"{where}: {row.name}")
        job = RowJob(
            row=row,
            device=machine.device,
            dtype=machine.dtype,
            num_runs=self.num_runs,
            how=self.how,  # type: ignore[arg-type]
            limit_s=self.limit_s,
            flop_per_s=machine.peaks.flop_per_s[machine.dtype],
        )
        answer = _ask_child("row", to_json_dict(job))
        if isinstance(answer, ChildFailure):
            failure = RowFailure(name=row.name, weights=row.weights, **vars(answer))
            self._say(f"{where}: {row.name} failed: {failure_text(failure)}")
            return failure
        result = from_json_dict(RowResult, answer)
        self._say(
            f"{where}: {row.name}: {seconds_text(result.step_s().median)} s a step, "
            f"{seconds_text(result.total_s().median)} s a clip"
            f"{' (computed)' if result.how == 'calls' else ''}, {result.peak_bytes / 1e9:.2f} GB"
        )
        return result

    def _say(self, text: str) -> None:
        if not self.is_quiet:
            typer.echo(text, err=True)


def _checked_runs(runs: int | None, quick: bool) -> int:
    count = runs if runs is not None else QUICK_RUNS if quick else RUNS
    if count < 1:
        raise ValueError(f"--runs {count} measures nothing: use 1 or more")
    return count


def _what_to_measure(names: list[str], lineup: str | None, quick: bool) -> tuple[list[str], str | None]:
    """With nothing named, the embedded model and the published line-up; a quick run has the former alone."""
    from rufous.pipelines.loading import DEFAULT_MODEL

    if names or lineup:
        return names, lineup
    return [DEFAULT_MODEL], None if quick else DEFAULT_LINEUP


def _check_output(folder: Path, *, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output {folder} is a file: name a folder")
    for path in (folder / name for name in FILES):
        if path.exists() and not overwrite:
            raise ValueError(f"{path} exists: add --overwrite, or choose another --output")
    check_folder(folder)


def _measure_machine(device: str, dtype: str, duration_s: float) -> "Machine":
    from rufous.core.config import from_json_dict, to_json_dict
    from rufous.evaluation.benchmark.children import ChildFailure
    from rufous.evaluation.benchmark.machine import Machine
    from rufous.evaluation.benchmark.rows import MachineJob

    job = MachineJob(device=device, dtype=dtype, duration_s=duration_s)
    answer = _ask_child("machine", to_json_dict(job))
    if isinstance(answer, ChildFailure):
        kind = ValueError if answer.reason == "refused" else RuntimeError
        raise kind(answer.message)
    return from_json_dict(Machine, answer)


def _ask_child(job: str, values: dict[str, Any]) -> Any:
    """A child runs this very code, whatever folder it is started in."""
    import rufous
    from rufous.evaluation.benchmark.children import run_child

    code = str(Path(rufous.__file__).parents[1])
    path = os.pathsep.join(each for each in (code, os.environ.get("PYTHONPATH")) if each)
    command = [sys.executable, "-P", "-m", "rufous.apps.bench_child"]
    return run_child(command, {"job": job, "values": values}, env={**os.environ, "PYTHONPATH": path})


def _write(results: "BenchmarkResults", folder: Path) -> str:
    """Write all files; returns the page."""
    from rufous.core.files import write_text
    from rufous.evaluation.benchmark import benchmark_page, benchmark_picture
    from rufous.evaluation.benchmark.results import to_report

    data, text, picture = (folder / name for name in FILES)
    page = benchmark_page(results, picture=picture.name)
    write_text(data, json.dumps(to_report(results), indent=2) + "\n")
    write_text(text, page)
    if results.measured:
        write_text(picture, benchmark_picture(results))
    else:
        picture.unlink(missing_ok=True)  # one of an earlier run
    return page
