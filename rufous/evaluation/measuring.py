"""Rows over the clips of a folder: each clip is decoded once, what is measured is kept, and errors name
files.

Measures are appended to a JSONL file under the hash of the clip, so that a run that was stopped goes on where
it was. Rows without networks may run on several processes.
"""

import hashlib
import json
import math
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from rufous.core.files import sha256_of
from rufous.evaluation.dimensions.decoded_clip import read_clip
from rufous.evaluation.dimensions.dimension import ClipScore, Dimension
from rufous.evaluation.vbench.suite import ClipFile, Problem

PROXY, WORLD = "proxy_", "world_"
Rows = Mapping[str, Dimension]


@dataclass(frozen=True, kw_only=True)
class MeasuredClip:
    """All that was measured of one clip."""

    clip: ClipFile
    sha256: str
    scores: Mapping[str, ClipScore] = field(default_factory=dict)
    """By row; rows that do not apply, or failed, are absent."""
    problems: tuple[Problem, ...] = ()


class MeasureStore:
    """Scores that were measured before, by clip and row; owns an append-only JSONL file."""

    def __init__(self, path: Path, *, identities: Mapping[str, str]) -> None:
        """Read what is there; a last line that was cut off is passed over.

        Args:
            path: The file; made when the first score is kept.
            identities: Of each row, what its networks are (a hash of their files); scores of others do not
            count.
        """
        self.path, self._identities = path, dict(identities)
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self._known = dict(filter(None, map(_parsed, lines)))

    def known(self, sha256: str, clip: ClipFile, row: str) -> ClipScore | None:
        """The score of an earlier run, if the clip and what it should show are the same."""
        return self._known.get(self._key(sha256, clip, row))

    def keep(self, sha256: str, clip: ClipFile, scores: Mapping[str, ClipScore]) -> None:
        """Append scores; they are on disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            for row, score in scores.items():
                key = self._key(sha256, clip, row)
                self._known[key] = score
                line = {"key": key, "file": clip.path.name, "row": row, "value": score.value}
                file.write(
                    json.dumps({**line, "weight": score.weight, "details": dict(score.details)}) + "\n"
                )

    def _key(self, sha256: str, clip: ClipFile, row: str) -> str:
        told = [sha256, row, self._identities.get(row, ""), clip.path.name, clip.prompt, clip.auxiliary]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def measure_clips(
    clips: Sequence[ClipFile],
    rows: Rows,
    *,
    store: MeasureStore | None = None,
    num_processes: int = 1,
    on_clip: Callable[[MeasuredClip], None] = lambda _: None,
) -> list[MeasuredClip]:
    """Measure clips on the rows that apply to them, in the order given.

    Args:
        clips: What to measure.
        rows: By name. With ``num_processes`` above 1 they are sent to other processes.
        store: Where scores are kept; None keeps none.
        num_processes: Clips are spread over as many.
        on_clip: Called after each clip.
    """
    measured: list[MeasuredClip] = []
    tasks = (_task(clip, rows, store) for clip in clips)
    for task, result in _carried_out(tasks, rows, min(num_processes, len(clips))):
        if store is not None and (fresh := {k: v for k, v in result.scores.items() if k not in task.known}):
            store.keep(result.sha256, task.clip, fresh)
        measured.append(result)
        on_clip(result)
    return measured


def applies(row: str, dimension: Dimension, clip: ClipFile) -> bool:
    """Whether a row is asked of a clip: by its suite, or without one wherever it has what it needs."""
    if clip.dimensions is not None and not row.startswith(WORLD):
        return row.removeprefix(PROXY) in clip.dimensions
    return dimension.needs is None or dimension.needs in (clip.auxiliary or {})


@dataclass(frozen=True, kw_only=True)
class _Task:
    clip: ClipFile
    sha256: str
    wanted: tuple[str, ...]
    known: Mapping[str, ClipScore]


def _task(clip: ClipFile, rows: Rows, store: MeasureStore | None) -> _Task:
    sha256 = sha256_of(clip.path)
    wanted = [name for name, row in rows.items() if applies(name, row, clip)]
    earlier = {name: store.known(sha256, clip, name) for name in wanted} if store is not None else {}
    known = {name: score for name, score in earlier.items() if score is not None}
    return _Task(clip=clip, sha256=sha256, wanted=tuple(n for n in wanted if n not in known), known=known)


def _carried_out(
    tasks: Iterator[_Task], rows: Rows, num_processes: int
) -> Iterator[tuple[_Task, MeasuredClip]]:
    if num_processes <= 1:
        yield from ((task, _measure(task, rows)) for task in tasks)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads in an unknown state
    with ProcessPoolExecutor(num_processes, mp_context=context, initializer=_one_thread) as pool:
        pending = [(task, pool.submit(_measure, task, rows)) for task in tasks]
        for task, future in pending:
            yield task, future.result()


def _one_thread() -> None:
    torch.set_num_threads(1)


def _measure(task: _Task, rows: Rows) -> MeasuredClip:
    """What is wanted of one clip; whatever is wrong with it becomes a problem, once."""
    name, scores, problems = task.clip.path.name, dict(task.known), list[Problem]()
    try:
        clip = task.clip
        decoded = read_clip(clip.path, prompt=clip.prompt, auxiliary=clip.auxiliary) if task.wanted else None
    except (ValueError, OSError) as error:
        decoded, problems = None, [Problem(name, str(error).removeprefix(f"{task.clip.path}: "))]
    if decoded is not None:
        for row in task.wanted:
            try:
                scores[row] = _checked(rows[row].measure(decoded))
            except (ValueError, FloatingPointError) as error:
                problems.append(Problem(name, f"{row}: {error}"))
    return MeasuredClip(
        clip=task.clip, sha256=task.sha256, scores=scores, problems=tuple(dict.fromkeys(problems))
    )


def _checked(score: ClipScore) -> ClipScore:
    if score.value is not None and not math.isfinite(score.value):
        raise FloatingPointError("the score is NaN or infinite: the weights or the clip are damaged")
    return score


def _parsed(line: str) -> tuple[str, ClipScore] | None:
    try:
        found: dict[str, Any] = json.loads(line)
        return found["key"], ClipScore(value=found["value"], weight=found["weight"], details=found["details"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return None
