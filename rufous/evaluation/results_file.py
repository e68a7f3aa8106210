"""What an evaluation found, as one JSON file: rows with intervals, totals, every clip, and what went
wrong."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import rufous
from rufous.core.files import write_text
from rufous.evaluation.bootstrap import FEWEST_PROMPTS, mean_interval
from rufous.evaluation.dimensions.dimension import ClipScore, dataset_score
from rufous.evaluation.dimensions.rows import LoadedRows
from rufous.evaluation.measuring import MeasuredClip
from rufous.evaluation.vbench.results import DimensionResult, write_eval_results
from rufous.evaluation.vbench.score_table import T2V, missing_rows, totals
from rufous.evaluation.vbench.suite import Problem, SuiteEntry, write_suite
from rufous.world.truth import Verdict, score

FORMAT = "rufous-evaluation-1"
OUTSIDE = "outside"
"""The label of rows that another program measured."""
NOTHING_SEEN = "what it looks for is nowhere seen"
Results = dict[str, Any]
Slot = tuple[str, int | str]
"""A clip's prompt, and its number; its file name where that holds no number."""


def collect_results(
    source: str,
    measured: Sequence[MeasuredClip],
    loaded: LoadedRows,
    *,
    problems: Sequence[Problem] = (),
    world_distance: Mapping[str, Any] | None = None,
    num_passed_over: int = 0,
    outside: Mapping[str, DimensionResult] | None = None,
    run: Mapping[str, Any] | None = None,
) -> Results:
    """Everything that was found, as plain JSON values.

    Args:
        source: Folder or model whose clips these are.
        measured: The clips.
        loaded: The rows, and why others were left out.
        problems: What is wrong with files that were not measured.
        world_distance: Figures of the set as a whole.
        num_passed_over: How many clips have a number beyond those that count.
        outside: Rows of VBench that another program measured; they count in the total, under a label of
            their own.
        run: When and how it was measured, as plain JSON values.
    """
    rows = {name: _row(name, measured, loaded) for name in loaded.rows if name != "world_features"}
    rows |= {name: _outside_row(result) for name, result in (outside or {}).items()}
    scores = {name: row["score"] for name, row in rows.items() if row["score"] is not None}
    absent = missing_rows(scores)
    results: Results = {
        "format": FORMAT,
        "rufous_version": rufous.__version__,
        "source": source,
        "run": dict(run or {}),
        "num_clips": len(measured),
        "num_passed_over": num_passed_over,
        "rows": rows,
        "left_out": {name: why for name, why in loaded.left_out.items() if name not in rows},
        "total": None if absent else _totals(scores),
        "total_lacks": absent,
        "world": _world(measured),
        "clips": [_clip(each) for each in measured],
    }
    if world_distance is not None:
        results["world"]["frechet"] = dict(world_distance)
    found = [*problems, *(problem for each in measured for problem in each.problems)]
    found += [Problem(name, loaded.left_out[name]) for name in sorted(loaded.damaged)]
    return {**results, "problems": [{"file": p.file, "reason": p.reason} for p in found]}


def write_results(path: Path | str, results: Results) -> None:
    """Write results, atomically."""
    write_text(path, json.dumps(results, indent=1, allow_nan=False) + "\n")


def read_results(path: Path | str) -> Results:
    """Results that ``write_results`` wrote.

    Raises:
        ValueError: Another kind of file.
        OSError: It cannot be read.
    """
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise ValueError(f"{path} holds no results: give a results.json that `rufous evaluate` wrote")
    return results


def write_vbench_files(
    folder: Path,
    name: str,
    measured: Sequence[MeasuredClip],
    loaded: LoadedRows,
    *,
    entries: Sequence[SuiteEntry] | None = None,
) -> Path:
    """Write what VBench's tools read: ``{name}_eval_results.json`` and ``{name}_full_info.json``.

    Args:
        folder: Where.
        name: Of the run.
        measured: The clips.
        loaded: The rows; those that have VBench's own names are written, no proxies and none of the world.
        entries: The suite; None lists the prompts of the clips.

    Returns:
        The path of the former.
    """
    found: dict[str, DimensionResult] = {}
    for row in loaded.rows:
        value = dataset_score(_scores(row, measured)) if row in T2V.rows else None
        if value is not None:
            counted = [each for each in measured if row in each.scores]
            videos = [_video(e, e.scores[row]) for e in counted if "note" not in e.scores[row].details]
            found[row] = DimensionResult(score=value, videos=videos)
    path = folder / f"{name}_eval_results.json"
    write_eval_results(path, found)
    clips: dict[str, list[Path]] = {}
    for each in measured:
        clips.setdefault(each.clip.prompt, []).append(each.clip.path)
    if entries is None:
        entries = [SuiteEntry(prompt=prompt, dimensions=tuple(found)) for prompt in clips]
    write_suite(folder / f"{name}_full_info.json", entries, videos=clips)
    return path


def clip_values(results: Results, row: str) -> dict[Slot, float]:
    """What a row says of each clip."""
    return {
        _slot(clip): clip["scores"][row] for clip in results["clips"] if clip["scores"].get(row) is not None
    }


def _slot(clip: Mapping[str, Any]) -> Slot:
    return clip["prompt"], clip["file"] if clip["index"] is None else clip["index"]


def _scores(row: str, measured: Sequence[MeasuredClip]) -> list[ClipScore]:
    return [each.scores[row] for each in measured if row in each.scores]


def _row(name: str, measured: Sequence[MeasuredClip], loaded: LoadedRows) -> dict[str, Any]:
    told = [(each.clip.prompt, each.scores[name]) for each in measured if name in each.scores]
    counted = [(prompt, score) for prompt, score in told if score.value is not None and score.weight > 0]
    values = np.array([score.value for _, score in counted], dtype=np.float64)
    weights = np.array([score.weight for _, score in counted], dtype=np.float64)
    prompts = [prompt for prompt, _ in counted]
    interval = mean_interval(values, weights, groups=prompts, fewest=FEWEST_PROMPTS)
    return {
        "score": dataset_score(score for _, score in counted),
        "interval_95": None if interval is None else list(interval),
        "num_clips": len(counted),
        "not_counted": _not_counted(_scores(name, measured)),
        "label": loaded.rows[name].dimension.label,
        "networks": loaded.rows[name].identity,
        "version": loaded.rows[name].dimension.version,
    }


def _not_counted(scores: Sequence[ClipScore]) -> dict[str, int]:
    """Numbers of clips by the reason why they have no score."""
    return dict(Counter(str(each.details.get("note", NOTHING_SEEN)) for each in scores if each.value is None))


def _outside_row(result: DimensionResult) -> dict[str, Any]:
    told = {"score": result.score, "interval_95": None, "num_clips": len(result.videos), "not_counted": {}}
    return {**told, "label": OUTSIDE, "networks": "", "version": None}


def _totals(scores: Mapping[str, float]) -> dict[str, float]:
    found = totals(scores)
    return {"total": found.total, **found.groups}


def _world(measured: Sequence[MeasuredClip]) -> dict[str, Any]:
    """Shares of right, wrong and unsure by attribute, if there are prompts of the world."""
    told = [each.scores["world_truth"].details for each in measured if "world_truth" in each.scores]
    verdicts = [Verdict(details["attributes"]) for details in told if "attributes" in details]
    return {"attributes": score(verdicts)} if verdicts else {}


def _clip(measured: MeasuredClip) -> dict[str, Any]:
    scores = {row: score.value for row, score in measured.scores.items() if row != "world_features"}
    truth = measured.scores.get("world_truth")
    return {
        "file": measured.clip.path.name,
        "sha256": measured.sha256,
        "prompt": measured.clip.prompt,
        "index": measured.clip.index,
        "scores": scores,
        "attributes": dict(truth.details.get("attributes", {})) if truth is not None else {},
    }


def _video(measured: MeasuredClip, score: ClipScore) -> dict[str, Any]:
    """One clip in VBench's file; a row's details may say its value in the published unit."""
    replaced = replace(score, details={"video_results": score.value, **score.details})
    return {"video_path": str(measured.clip.path), **replaced.details}
