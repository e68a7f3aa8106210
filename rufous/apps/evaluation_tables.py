"""What ``rufous evaluate`` prints: rows, comparisons, VBench's totals, and what went wrong."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rufous.apps.outputs import check_folder

if TYPE_CHECKING:
    from rufous.evaluation.paired import PairedComparison
    from rufous.evaluation.results_file import Results

SHOWN_PROBLEMS = 20
COMPARISON_FORMAT = "rufous-comparison-1"


def rows_table(results: "Results") -> str:
    """Rows as aligned text, and VBench's total if there is one."""
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
        shown, count = f"{distance['distance']:.4f}", str(distance["num_clips"])
        lines.append(("world Frechet distance", shown, floor, count, distance["label"]))
    if results["total"] is not None:
        lines += [(f"VBench {name}", f"{value:.4f}", "", "", "") for name, value in results["total"].items()]
    return _aligned(lines)


def comparison_table(comparison: "PairedComparison") -> str:
    """A comparison as aligned text."""
    lines = [("row", "pairs", "first", "second", "")]
    for row in comparison.rows:
        lines.append((row.row, str(row.num_pairs), f"{row.first:.4f}", f"{row.second:.4f}", row.sentence))
    lines += [(row, "", "", "", f"left out: {reason}") for row, reason in comparison.left_out.items()]
    return _aligned(lines)


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def print_comparison(first: Path, second: Path, *, output: Path | None, as_json: bool) -> None:
    """Compare two ``results.json`` and print what differs; ``output`` takes it as JSON and a page."""
    from rufous.core.files import write_text
    from rufous.evaluation.paired import compare_results
    from rufous.evaluation.report_page import write_comparison
    from rufous.evaluation.results_file import read_results

    if output is not None:
        check_folder(output)
    results = read_results(first), read_results(second)
    comparison = compare_results(*results)
    told = json.dumps(_comparison_told((first, second), comparison), indent=1)
    if output is not None:
        write_text(output / "comparison.json", told + "\n")
        write_comparison(output / "comparison.html", *results, comparison)
    typer.echo(told if as_json else comparison_table(comparison))
    if output is not None and not as_json:
        typer.echo(f"{output / 'comparison.json'}\n{output / 'comparison.html'}")


def _comparison_told(files: Sequence[Path], comparison: "PairedComparison") -> dict[str, Any]:
    """A comparison as plain JSON values, and the files it is of."""
    from rufous.core.config import to_json_dict
    from rufous.core.files import sha256_of

    rows = [{**to_json_dict(row), "in_words": row.sentence} for row in comparison.rows]
    compared = [{"file": str(file), "sha256": sha256_of(file)} for file in files]
    left_out = dict(comparison.left_out)
    return {"format": COMPARISON_FORMAT, "compared": compared, "rows": rows, "left_out": left_out}


def print_totals(path: Path, *, image_to_video: bool, as_json: bool) -> None:
    """Print what VBench's score table makes of ``eval_results.json``, of a folder or of a zip file of them.

    Raises:
        ValueError: No results, or a dimension is missing.
    """
    from rufous.evaluation.vbench.results import read_eval_results, scores_of
    from rufous.evaluation.vbench.score_table import I2V, T2V, normalized, totals

    table = I2V if image_to_video else T2V
    scores = scores_of(read_eval_results(path))
    found = totals(scores, table)
    if as_json:
        rows = {name: scores[name] for name in table.rows}
        typer.echo(json.dumps({"total": found.total, **found.groups, "rows": rows}, indent=1))
        return
    lines = [("dimension", "score", "in its range", "group")]
    for name, row in table.rows.items():
        lines.append((name, f"{scores[name]:.4f}", f"{normalized(row, scores[name]):.4f}", row.group))
    lines += [
        (name, f"{value:.4f}", "", "") for name, value in (*found.groups.items(), ("total", found.total))
    ]
    typer.echo(_aligned(lines))


def say_what_is_wrong(results: "Results") -> None:
    """Print on stderr what was left out, what does not count, and the first problems."""
    from rufous.evaluation.report_page import not_counted

    for row, reason in results["left_out"].items():
        typer.echo(f"left out {row}: {reason}", err=True)
    for row, reason in not_counted(results):
        typer.echo(f"not counted in {row}: {reason}", err=True)
    if results["num_passed_over"]:
        typer.echo(f"passed over: {results['num_passed_over']} clips beyond --samples", err=True)
    problems = results["problems"]
    for problem in problems[:SHOWN_PROBLEMS]:
        typer.echo(f"{problem['file']}: {problem['reason']}", err=True)
    if len(problems) > SHOWN_PROBLEMS:
        typer.echo(f"and {len(problems) - SHOWN_PROBLEMS} more problems, in results.json", err=True)
