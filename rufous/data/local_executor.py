"""Workers of this machine: one process a worker, one task at a time in each, and a new one when it dies.

Processes are spawned: a fork would copy torch's threads in an unknown state. They ignore Ctrl-C, which
reaches the whole group, and end with their parent, however that ends.
"""

import multiprocessing
import pickle
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from rufous.core.console import logger
from rufous.core.devices import available_devices
from rufous.core.threads import use_one_thread
from rufous.data.executor import DIED, Failure, too_slow

READY = "ready"
_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class LocalExecutor:
    """A pool of processes."""

    num_workers: int
    gpu_workers: int = 1
    """Processes for stages that need a GPU, where torch sees one: each loads their models into its memory."""
    timeout_s: float = 600.0
    """Seconds that one task may take; then its process is ended, and the task failed."""
    start_timeout_s: float = 300.0
    """Seconds until a worker must be ready: it imports torch and what the work needs."""

    def __post_init__(self) -> None:
        if min(self.num_workers, self.gpu_workers) < 1 or not self.timeout_s > 0:
            raise ValueError(
                f"num_workers={self.num_workers} and gpu_workers={self.gpu_workers} must be at least 1, "
                f"timeout_s={self.timeout_s} above 0"
            )

    def has_gpu_workers(self) -> bool:
        """Whether torch sees a GPU here; work for it is then a pass by itself, of fewer processes."""
        return available_devices() != ["cpu"]

    def run(
        self, tasks: Iterable[Any], work: Callable[[Any], Any], *, needs_gpu: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        """Tasks with their results as they come; a task whose process died or hung has a ``Failure``.

        Raises:
            RuntimeError: No worker comes up.
        """
        size = self.gpu_workers if needs_gpu and self.has_gpu_workers() else self.num_workers
        pool = _Pool(self, pickle.dumps(work), size=size)
        try:
            yield from pool.run(iter(tasks))
        finally:
            pool.end()

    def close(self) -> None:
        """Nothing is held between runs."""


class _Worker:
    """One process, its end of the pipe, and the task it has."""

    def __init__(self, work: bytes, start_timeout_s: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        self.process.start()
        theirs.close()  # so that its end is noticed here
        self.is_ready = False
        self.task: Any = None
        self.deadline = time.monotonic() + start_timeout_s

    @property
    def is_idle(self) -> bool:
        return self.is_ready and self.deadline == float("inf")

    def give(self, task: Any, timeout_s: float) -> None:
        self.task, self.deadline = task, time.monotonic() + timeout_s
        self.connection.send(task)

    def received(self) -> Any:
        """What it sent; None where it died."""
        try:
            return self.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return None

    def rest(self) -> None:
        self.task, self.deadline = None, float("inf")

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


class _Pool:
    """The workers of one run; owns their processes."""

    def __init__(self, settings: LocalExecutor, work: bytes, *, size: int) -> None:
        self._settings, self._work, self._size = settings, work, size
        self._workers: list[_Worker] = []

    def run(self, tasks: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        drawn = deque[Any]()
        while True:
            num_starting = sum(not worker.is_ready for worker in self._workers)
            if len(drawn) <= num_starting and (task := next(tasks, None)) is not None:
                drawn.append(task)
            if not drawn and all(worker.task is None for worker in self._workers):
                return
            idle = next((worker for worker in self._workers if worker.is_idle), None)
            if drawn and idle is not None:
                try:
                    idle.give(drawn[0], self._settings.timeout_s)
                except OSError:  # it died between two tasks: the task goes to another
                    self._remove(idle)
                else:
                    drawn.popleft()
            elif len(drawn) > num_starting and len(self._workers) < self._size:
                self._workers.append(_Worker(self._work, self._settings.start_timeout_s))
            else:
                yield from self._heard()

    def end(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers = []

    def _heard(self) -> Iterator[tuple[Any, Any]]:
        """Results and failures of all workers that have something to say."""
        by_connection = {worker.connection: worker for worker in self._workers}
        speaking = wait(list(by_connection), self._patience_s())
        for connection in speaking:
            worker = by_connection[connection]  # type: ignore[index]
            said = worker.received()
            if said is None:
                task = worker.task
                self._remove(worker)
                if not worker.is_ready:
                    code = worker.process.exitcode
                    raise RuntimeError(f"a worker did not start: it ended with exit code {code}")
                if task is not None:
                    _log.warning("a worker died: exit code %s", worker.process.exitcode)
                    yield task, Failure(reason=DIED)
            elif not worker.is_ready:
                worker.is_ready = True
                worker.rest()
            else:
                task = worker.task
                worker.rest()
                yield task, said
        now = time.monotonic()
        for worker in [each for each in self._workers if each.deadline < now]:
            self._remove(worker)
            if not worker.is_ready:
                raise RuntimeError(f"a worker was not ready after {self._settings.start_timeout_s:g} s")
            yield worker.task, too_slow(self._settings.timeout_s)

    def _patience_s(self) -> float:
        """Until the next deadline."""
        first = min((worker.deadline for worker in self._workers), default=0.0)
        return max(0.0, min(first - time.monotonic() + 0.01, 3600.0))

    def _remove(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.end()


def _serve(connection: Connection, work: bytes) -> None:
    """What a worker does until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    use_one_thread()
    carry_out = pickle.loads(work)
    try:
        connection.send(READY)
        while True:
            connection.send(carry_out(connection.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone, or has no more tasks
