"""Clips through stages and filters in their order; whoever carries the stages out knows no video.

Consecutive stages that look at one clip are one pass: a clip goes through all of them in one worker, on one
decoded media. What a stage cuts out of it goes on as tasks of their own, and may go to other workers. Set
stages and filters look at all clips, in this process, and end a pass.
"""

import itertools
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from rufous.core.errors import ConfigError, MissingDependencyError
from rufous.data.chain import Chain, ChainResult, ChainWork, Piece, Task, file_key, replay, stage_keys
from rufous.data.clip import Clip
from rufous.data.executor import Executor, Failure
from rufous.data.filters import (
    AnyFilter,
    FilterOutcome,
    Limits,
    apply_filter,
    check_known,
    weigh_filters,
)
from rufous.data.journal import Journal
from rufous.data.known_before import with_known
from rufous.data.media import MediaSettings
from rufous.data.stage import SetStage, Stage

Step = Stage | SetStage | AnyFilter
WORKER = "worker"
"""The name under which a clip's ``errors`` tell that its process died or took too long."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far one pass is."""

    stages: tuple[str, ...]
    num_done: int
    num_clips: int
    """As far as is known: what is cut is several from then on."""
    num_known: int
    """Of those done: known from earlier runs."""
    clips_per_s: float
    """Of those that were worked on; 0 until the first."""
    source: str = ""
    """Of the clip that was done last."""

    @property
    def eta_s(self) -> float | None:
        """Seconds until the pass ends at this rate; None while there is none."""
        return (self.num_clips - self.num_done) / self.clips_per_s if self.clips_per_s > 0 else None


@dataclass(frozen=True, kw_only=True)
class Curated:
    """What a run gives."""

    clips: tuple[Clip, ...]
    """All rows, kept and dropped, by source, start and end."""
    filters: tuple[FilterOutcome, ...] = ()
    num_worked_on: int = 0
    """Rows that a worker was asked about, summed over the passes; the others were known."""
    num_known: int = 0
    seconds: float = 0.0
    """Wall time."""
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time of workers by stage, summed over them."""

    @property
    def kept(self) -> tuple[Clip, ...]:
        """Rows that nothing dropped."""
        return tuple(clip for clip in self.clips if clip.dropped is None)


def curate(
    clips: Sequence[Clip],
    steps: Sequence[Step],
    *,
    root: Path,
    executor: Executor,
    journal: Journal,
    media: MediaSettings | None = None,
    is_dry_run: bool = False,
    redo: Collection[str] = (),
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Curated:
    """Carry out stages and filters.

    The same clips, steps and files give the same rows in the same order, whatever the executor, the number of
    its workers, and however often the run was broken off.

    Args:
        clips: What to curate; sources lie below ``root``. What they bring is kept, but for what a stage of
            the run declares to find.
        steps: In this order.
        root: Folder of the sources.
        executor: Who carries out the stages.
        journal: What earlier runs found out; what this one does is added.
        media: How much of a clip is decoded; the defaults when None.
        is_dry_run: Filters drop nothing, and stages after the last filter are left out. Set stages and
            percentiles look at the clips that the filters before them would leave, as in a real run.
        redo: Names of stages that are done again, with what is after them, whatever the journal knows.
        on_progress: Called after each task of a pass.

    Raises:
        ConfigError: A stage stands before one that it reads, or twice; or a filter would drop all clips, as
            none has its value.
        MissingDependencyError: A stage lacks its package or weights.
        ValueError: A set stage cannot do its work.
        OSError: The journal cannot be written.
    """
    starts = Counter((clip.source, clip.start_s) for clip in clips)
    if len(starts) < len(clips):
        ((source, start_s), _), *_ = starts.most_common(1)
        raise ValueError(f"two clips begin at {start_s} s of {source}: a place is curated once")
    run = _Run(
        steps, root=root, executor=executor, journal=journal, media=media or MediaSettings(), redo=redo
    )
    started = time.perf_counter()
    stages = [step for step in steps if isinstance(step, Stage | SetStage)]
    rows, used = [with_known(clip, stages) for clip in clips], list[tuple[AnyFilter, Mapping[str, Limits]]]()
    spared = list[Clip]()  # what filters would have dropped in a dry run
    wanted = _until_last_filter(steps) if is_dry_run else steps
    for step in _passes(wanted, gpu_apart=executor.has_gpu_workers()):
        if isinstance(step, tuple):
            rows = _merged(run.carry_out(step, rows, on_progress))
            spared = _merged(run.carry_out(step, spared, on_progress)) if spared else []
        elif isinstance(step, SetStage):
            rows = _compared(step, rows)
        else:
            if not is_dry_run:
                check_known(step, rows)
            filtered, limits = apply_filter(step, rows)
            used.append((step, limits))
            if is_dry_run:
                both = list(zip(rows, filtered, strict=True))
                spared += [before for before, after in both if after is not before]
                filtered = [before for before, after in both if after is before]
            rows = filtered
        rows.sort(key=lambda clip: clip.place)
    rows += [replace(clip, dropped=None) for clip in spared]
    rows.sort(key=lambda clip: clip.place)
    return Curated(
        clips=tuple(rows),
        filters=tuple(weigh_filters(used, rows)),
        num_worked_on=run.num_worked_on,
        num_known=run.num_known,
        seconds=time.perf_counter() - started,
        stage_seconds=run.stage_seconds,
    )


def _passes(steps: Iterable[Step], *, gpu_apart: bool) -> Iterator[tuple[Stage, ...] | SetStage | AnyFilter]:
    """Consecutive per-clip stages together, those for a GPU by themselves if wanted; others one by one."""

    def place(step: Step) -> str | None:
        if not isinstance(step, Stage):
            return None
        return "gpu" if gpu_apart and step.needs_gpu else "cpu"

    for kind, group in itertools.groupby(steps, key=place):
        if kind is not None:
            yield tuple(step for step in group if isinstance(step, Stage))
        else:
            yield from (step for step in group if not isinstance(step, Stage))


def _merged(rows: Iterable[Clip]) -> list[Clip]:
    """One row for each stretch, in order: clips that overlap may be cut into equal pieces."""
    merged = list[Clip]()
    for _, group in itertools.groupby(sorted(rows, key=lambda clip: clip.place), key=lambda clip: clip.place):
        first, *others = group
        if others:  # whatever came first: a kept one, else by its text
            told = {json.dumps(clip.to_dict(), sort_keys=True): clip for clip in (first, *others)}
            first = told[min(told, key=lambda text: (told[text].dropped is not None, text))]
        merged.append(first)
    return merged


def _until_last_filter(steps: Sequence[Step]) -> Sequence[Step]:
    filters = [i for i, step in enumerate(steps) if not isinstance(step, Stage | SetStage)]
    return steps[: max(filters, default=len(steps)) + 1]


def _compared(stage: SetStage, rows: Sequence[Clip]) -> list[Clip]:
    """The rows after a set stage looked at those that are kept."""
    kept = [clip for clip in rows if clip.dropped is None]
    compared = stage.process_all(kept)
    if [clip.place for clip in compared] != [clip.place for clip in kept]:
        raise ValueError(f"the stage {stage.name} gave other clips than it got: it must keep them in order")
    return [clip for clip in rows if clip.dropped is not None] + compared


class _Run:
    """The passes of one run; owns its counts."""

    def __init__(
        self,
        steps: Sequence[Step],
        *,
        root: Path,
        executor: Executor,
        journal: Journal,
        media: MediaSettings,
        redo: Collection[str],
    ) -> None:
        stages = [step for step in steps if isinstance(step, Stage | SetStage)]
        self._keys = stage_keys(stages, media)
        if unknown := sorted(set(redo) - self._keys.keys()):
            raise ConfigError(f"no stage of this run is named {unknown[0]!r}: it has {', '.join(self._keys)}")
        self._redo = set(redo)
        self._reads_sets: dict[str, bool] = {}
        for stage in stages:
            if not self._redo.isdisjoint(stage.after):
                self._redo.add(stage.name)
            inherits = any(self._reads_sets.get(name, False) for name in stage.after)
            self._reads_sets[stage.name] = inherits or isinstance(stage, SetStage)
        self._root, self._executor, self._journal, self._media = root, executor, journal, media
        self.num_worked_on = self.num_known = 0
        self.stage_seconds: dict[str, float] = {}

    def carry_out(
        self, stages: tuple[Stage, ...], rows: Sequence[Clip], on_progress: Callable[[Progress], None]
    ) -> list[Clip]:
        """The rows after one pass over those that are kept."""
        chain = Chain(
            root=self._root,
            stages=stages,
            keys=tuple(self._keys[stage.name] for stage in stages),
            reads_sets=tuple(self._reads_sets[stage.name] for stage in stages),
            media=self._media,
            redo=frozenset(self._redo),
        )
        kept = [clip for clip in rows if clip.dropped is None]
        one = _Pass(chain, kept, self._journal, on_progress)
        needs_gpu = any(stage.needs_gpu for stage in stages)
        while one.is_left:  # an executor may have ended while there was none for the moment
            outcomes = self._executor.run(one, ChainWork(chain), needs_gpu=needs_gpu)
            with closing(outcomes):  # type: ignore[type-var]
                for task, outcome in outcomes:
                    one.take(task, outcome)
        self.num_worked_on += one.done.num_worked_on
        self.num_known += one.done.num_known
        for stage, seconds in one.stage_seconds.items():
            self.stage_seconds[stage] = self.stage_seconds.get(stage, 0.0) + seconds
        return [clip for clip in rows if clip.dropped is not None] + one.rows


class _Pass:
    """One pass on its way; owns its rows. Iterates over what a worker is needed for.

    There may be no such task for the moment, and more as soon as a result was taken in.
    """

    def __init__(
        self, chain: Chain, clips: Sequence[Clip], journal: Journal, on_progress: Callable[[Progress], None]
    ) -> None:
        self._chain, self._journal = chain, journal
        self._waiting = deque(Piece(clip=clip) for clip in clips)
        self.rows: list[Clip] = []
        self.done = _Count(chain, len(clips), on_progress)
        self.stage_seconds: dict[str, float] = {}

    @property
    def is_left(self) -> bool:
        """Whether anything waits for a worker, or to be looked up."""
        return bool(self._waiting)

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        while self._waiting:
            task = self._task(self._waiting.popleft())
            replayed = replay(task, self._chain)
            if replayed is None:
                return task
            self._accept(task, replayed, is_known=True)
        raise StopIteration

    def take(self, task: Task, outcome: ChainResult | Failure) -> None:
        """Keep a result; a failure is told in the clip's row and tried again in the next run.

        Raises:
            MissingDependencyError: A stage lacks its package or weights.
            OSError: The journal cannot be written.
        """
        if isinstance(outcome, Failure):
            lost = task.clip.with_error(WORKER, outcome.reason).drop(WORKER, outcome.reason)
            outcome = ChainResult(clips=(lost,))
        if outcome.fatal is not None:
            raise MissingDependencyError(outcome.fatal)
        for stage, seconds in outcome.seconds.items():
            self.stage_seconds[stage] = self.stage_seconds.get(stage, 0.0) + seconds
        if outcome.fresh:
            size = file_key(task.clip, self._chain.root)[1]
            self._journal.keep(task.file_key, size=size, content_id=outcome.content_id, results=outcome.fresh)
        self._accept(task, outcome, is_known=False)

    def _task(self, piece: Piece) -> Task:
        key, size = file_key(piece.clip, self._chain.root)
        content_id = piece.clip.content_id
        return Task(
            clip=piece.clip,
            file_key=key,
            known=self._journal.known(key, content_id),
            position=piece.position,
            unsure=piece.unsure,
            may_be_moved=not content_id and self._journal.may_know(key, size),
        )

    def _accept(self, task: Task, result: ChainResult, *, is_known: bool) -> None:
        self.rows += result.clips
        self._waiting.extendleft(reversed(result.pieces))  # of one file while it is at hand
        self.done.add(task.clip, result, is_known=is_known)


class _Count:
    """How far a pass is."""

    def __init__(self, chain: Chain, num_clips: int, on_progress: Callable[[Progress], None]) -> None:
        self._stages = tuple(stage.name for stage in chain.stages)
        self._num_clips, self._on_progress = num_clips, on_progress
        self._started = time.perf_counter()
        self.num_known = self.num_worked_on = 0

    def add(self, clip: Clip, result: ChainResult, *, is_known: bool) -> None:
        """What became of a clip: rows that are done, and others that are still to come."""
        self._num_clips += len(result.clips) + len(result.pieces) - 1
        if is_known:
            self.num_known += len(result.clips)
        else:
            self.num_worked_on += len(result.clips)
        spent = time.perf_counter() - self._started
        self._on_progress(
            Progress(
                stages=self._stages,
                num_done=self.num_known + self.num_worked_on,
                num_clips=self._num_clips,
                num_known=self.num_known,
                clips_per_s=self.num_worked_on / spent if spent > 0 else 0.0,
                source=clip.source,
            )
        )
