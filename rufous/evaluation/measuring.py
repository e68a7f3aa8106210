"""Rows over the clips of a folder: each clip is decoded once, what is measured is kept, and errors name
files.

Measures are appended to a JSONL file under the hash of the clip, so that a run that was stopped goes on where
it was. Rows without large networks may run on several processes; one that is ended, for lack of memory as a
rule, costs its clip alone.
"""

import hashlib
import json
import math
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rufous.core.files import sha256_of
from rufous.core.threads import use_one_thread
from rufous.evaluation.dimensions.decoded_clip import read_clip
from rufous.evaluation.dimensions.dimension import ClipScore, Dimension
from rufous.evaluation.vbench.suite import ClipFile, Problem, asks_for

Rows = Mapping[str, Dimension]
WAITING_A_PROCESS = 4
"""Clips handed out at a time: enough that no process waits, and few to do again where one breaks."""
CLIP_ERRORS = (ValueError, OSError, ArithmeticError, RuntimeError, MemoryError)
"""What a clip can cause; torch tells of wrong sizes, and of memory that ran out, by ``RuntimeError``."""
MAX_REASON = 300
"""Characters of an error that are told."""


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
            identities: Of each row, what it measures and with which networks; scores of others do not count.
        """
        self.path, self._identities = path, dict(identities)
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        self._known = dict(filter(None, map(_parsed, text.splitlines())))
        self._is_cut_off = not text.endswith("\n") and text != ""

    def known(self, sha256: str, clip: ClipFile, row: str) -> ClipScore | None:
        """The score of an earlier run, if the clip and what it should show are the same."""
        return self._known.get(self._key(sha256, clip, row))

    def keep(self, sha256: str, clip: ClipFile, scores: Mapping[str, ClipScore]) -> None:
        """Append scores; they are on disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            if self._is_cut_off:
                file.write("\n")
                self._is_cut_off = False
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

    Where it is stopped (``KeyboardInterrupt``), what is under way on other processes is finished and kept.

    Args:
        clips: What to measure.
        rows: By name. With ``num_processes`` above 1 they are sent to other processes, once to each.
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
    if clip.dimensions is not None:
        return asks_for(clip.dimensions, row)
    return dimension.needs is None or dimension.needs in (clip.auxiliary or {})


@dataclass(frozen=True, kw_only=True)
class _Task:
    clip: ClipFile
    sha256: str = ""
    wanted: tuple[str, ...] = ()
    known: Mapping[str, ClipScore] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    """What is wrong with the file before it is decoded."""

    def failed(self, error: Exception) -> "MeasuredClip":
        """Nothing but what was known, and the error."""
        problem = Problem(self.clip.path.name, reason_of(error).removeprefix(f"{self.clip.path}: "))
        return MeasuredClip(clip=self.clip, sha256=self.sha256, scores=self.known, problems=(problem,))


def _task(clip: ClipFile, rows: Rows, store: MeasureStore | None) -> _Task:
    try:
        sha256 = sha256_of(clip.path)
    except OSError as error:
        return _Task(clip=clip, problems=(Problem(clip.path.name, error.strerror or str(error)),))
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
    workers = _Workers(rows, num_processes)
    try:
        for task in tasks:
            workers.give(task)
            if len(workers) == WAITING_A_PROCESS * num_processes:
                yield workers.take()
        while len(workers):
            yield workers.take()
    except KeyboardInterrupt:
        yield from workers.stop()
        raise
    finally:
        workers.close()


class _Workers:
    """Processes that measure; owns their pool, and the tasks under way in their order."""

    def __init__(self, rows: Rows, num_processes: int) -> None:
        self._rows, self._num_processes = rows, num_processes
        self._pool = _pool(num_processes, rows)
        self._under_way: deque[tuple[_Task, Future[MeasuredClip]]] = deque()

    def __len__(self) -> int:
        return len(self._under_way)

    def give(self, task: _Task) -> None:
        self._under_way.append((task, self._submitted(task)))

    def take(self) -> tuple[_Task, MeasuredClip]:
        """The first task and its result; where a process was ended, it is tried once more by itself."""
        task, future = self._under_way[0]
        try:
            result = future.result()
        except BrokenProcessPool:  # all that was under way is lost, and nobody knows whose fault it was
            result = _alone(task, self._rows)
            self._begin_again()
        self._under_way.popleft()
        return task, result

    def stop(self) -> Iterator[tuple[_Task, MeasuredClip]]:
        """What is done when the processes have finished what they are at."""
        self.close()
        for task, future in self._under_way:
            if not future.cancelled() and future.exception() is None:
                yield task, future.result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _begin_again(self) -> None:
        self.close()
        self._pool = _pool(self._num_processes, self._rows)
        for place, (task, future) in enumerate(self._under_way):
            if place > 0 and (future.cancelled() or future.exception() is not None):
                self._under_way[place] = task, self._submitted(task)

    def _submitted(self, task: _Task) -> "Future[MeasuredClip]":
        try:
            return self._pool.submit(_measure_in_worker, task)
        except BrokenProcessPool as error:
            failed: Future[MeasuredClip] = Future()
            failed.set_exception(error)
            return failed


def _alone(task: _Task, rows: Rows) -> MeasuredClip:
    with _pool(1, rows) as pool:
        try:
            return pool.submit(_measure_in_worker, task).result()
        except BrokenProcessPool:
            return task.failed(
                MemoryError("the process that measured it was ended, as where memory runs out")
            )


def _pool(num_processes: int, rows: Rows) -> ProcessPoolExecutor:
    """Processes that get the rows once: a network sent with every task takes open files for each tensor."""
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads in an unknown state
    return ProcessPoolExecutor(
        num_processes, mp_context=context, initializer=_set_up_worker, initargs=(rows,)
    )


_ROWS_HERE: ContextVar[Rows] = ContextVar("rows of a worker process, set when it starts")


def _set_up_worker(rows: Rows) -> None:
    _ROWS_HERE.set(rows)
    use_one_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which waits for results


def _measure_in_worker(task: _Task) -> MeasuredClip:
    return _measure(task, _ROWS_HERE.get())


def _measure(task: _Task, rows: Rows) -> MeasuredClip:
    """What is wanted of one clip; whatever is wrong with it becomes a problem, once."""
    clip, scores, problems = task.clip, dict(task.known), list(task.problems)
    if task.wanted:
        try:
            decoded = read_clip(clip.path, prompt=clip.prompt, auxiliary=clip.auxiliary)
        except CLIP_ERRORS as error:
            return task.failed(error)
        for row in task.wanted:
            try:
                scores[row] = _checked(rows[row].measure(decoded))
            except CLIP_ERRORS as error:
                problems.append(Problem(clip.path.name, f"{row}: {reason_of(error)}"))
    return MeasuredClip(clip=clip, sha256=task.sha256, scores=scores, problems=tuple(dict.fromkeys(problems)))


def reason_of(error: Exception) -> str:
    """An error in one line; some, such as ``MemoryError``, say nothing but their name."""
    return " ".join(str(error).split())[:MAX_REASON] or type(error).__name__


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
