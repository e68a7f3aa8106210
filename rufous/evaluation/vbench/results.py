"""``eval_results.json``: ``{dimension: [score, [{"video_path": ..., "video_results": ...}, ...]]}``.

Read from a file, a folder or a zip file, by the rules of the published script: ``.json`` files at the root or
one folder deep, names that begin with ``.`` or ``__`` passed over, lists (``full_info``) passed over, and the
first value of every key. Files that name their ``format``, as ``results.json`` does, and manifests of clips,
which `rufous evaluate --model` leaves one folder deep, are passed over too.
Where that script lets a later file overwrite an earlier one, two different scores of one dimension are
refused here.

Source: VBench (arXiv:2311.17982), scripts/cal_final_score.py of its release.
"""

import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rufous.core.files import write_text
from rufous.evaluation.vbench.suite import is_clip_manifest

MAX_JSON_BYTES = 256_000_000


@dataclass(frozen=True, kw_only=True)
class DimensionResult:
    """One dimension of one run."""

    score: float
    videos: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    """``video_path``, ``video_results`` and what else the dimension tells of each clip."""


def write_eval_results(path: Path | str, results: Mapping[str, DimensionResult]) -> None:
    """Write results in the published layout, atomically.

    Raises:
        ValueError: A score is not finite: JSON has no word for it.
    """
    for name, result in results.items():
        if not math.isfinite(result.score):
            raise ValueError(f"{name} is {result.score}: leave a dimension out that was not measured")
    content = {
        name: [result.score, [dict(video) for video in result.videos]] for name, result in results.items()
    }
    write_text(path, json.dumps(content, indent=4, ensure_ascii=False, allow_nan=False) + "\n")


def read_eval_results(path: Path | str) -> dict[str, DimensionResult]:
    """Results of a JSON file, or of all JSON files of a folder or a zip file.

    Raises:
        ValueError: No results, a file that is damaged, or two scores for one dimension; names the file.
        OSError: It cannot be read.
    """
    path = Path(path)
    found: dict[str, DimensionResult] = {}
    for name, text in _documents(path):
        for dimension, result in _parse(name, text).items():
            known = found.get(dimension)
            if known is not None and known.score != result.score:
                raise ValueError(f"{path}: two scores for {dimension}, the second in {name}: keep one file")
            found[dimension] = result
    if not found:
        raise ValueError(
            f"{path} holds no results: give a file like results_eval_results.json, or a zip of them"
        )
    return found


def scores_of(results: Mapping[str, DimensionResult]) -> dict[str, float]:
    """Scores alone, by dimension with ``_``, ready for ``totals``."""
    return {name.replace(" ", "_"): result.score for name, result in results.items()}


def _documents(path: Path) -> Iterator[tuple[str, str]]:
    """Names and texts of the JSON files of a file, folder or zip file."""
    if path.is_dir():
        inside = {p.relative_to(path).as_posix(): p for p in sorted(path.rglob("*.json"))}
        for name, file in inside.items():
            if _counts(name):
                yield name, _decoded(file.read_bytes(), str(file))
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.is_dir() or not _counts(info.filename):
                    continue
                if info.file_size > MAX_JSON_BYTES:
                    raise ValueError(
                        f"{path}: {info.filename} has {info.file_size:,} bytes: too long for results"
                    )
                try:
                    yield info.filename, _decoded(archive.read(info), f"{path}: {info.filename}")
                except zipfile.BadZipFile as error:
                    raise ValueError(f"{path}: {info.filename} is damaged: {error}") from error
    else:
        yield path.name, _decoded(path.read_bytes(), str(path))


def _counts(name: str) -> bool:
    """Whether the published script reads a file of this name."""
    parts = name.split("/")
    hidden = parts[0].startswith((".", "__"))
    return name.endswith(".json") and len(parts) <= 2 and not hidden


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is no text: {error}") from error


def _parse(name: str, text: str) -> dict[str, DimensionResult]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is no JSON: {error.msg} in line {error.lineno}") from error
    if not isinstance(content, dict) or isinstance(content.get("format"), str) or is_clip_manifest(content):
        return {}
    return {key.replace(" ", "_"): _result(name, key, value) for key, value in content.items()}


def _result(name: str, key: str, value: Any) -> DimensionResult:
    score = value[0] if isinstance(value, list) and value else None
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise ValueError(f"{name}: {key} has no score: expected [score, [clips]], as VBench writes it")
    videos = value[1] if len(value) > 1 and isinstance(value[1], list) else []
    return DimensionResult(score=float(score), videos=tuple(v for v in videos if isinstance(v, dict)))
