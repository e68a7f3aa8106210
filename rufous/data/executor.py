"""Who carries out work on many tasks: workers of this machine, or of a Ray cluster; they know no video."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

T = TypeVar("T")
R = TypeVar("R")
DIED = "the process that worked on it died (out of memory, or a fault in a decoder or a library)"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A task without a result, and why."""

    reason: str


@runtime_checkable
class Executor(Protocol):
    """Carries out independent tasks, each at most once."""

    def has_gpu_workers(self) -> bool:
        """Whether work that needs a GPU is better done in workers of its own."""
        ...

    def run(
        self, tasks: Iterable[T], work: Callable[[T], R], *, needs_gpu: bool = False
    ) -> Iterator[tuple[T, R | Failure]]:
        """Tasks with their results as they come, in no order; tasks are drawn as workers become free.

        An iterator that has no more is asked again after each result, which may have given it some.
        """
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


@dataclass(frozen=True)
class InlineExecutor:
    """Carries out tasks in this process: nothing stops a task that hangs or takes the process down."""

    def has_gpu_workers(self) -> bool:
        """There is one worker for all."""
        return False

    def run(
        self, tasks: Iterable[Any], work: Callable[[Any], Any], *, needs_gpu: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        """Tasks with their results, in order."""
        for task in tasks:
            yield task, work(task)

    def close(self) -> None:
        """Nothing is held."""


def too_slow(timeout_s: float) -> Failure:
    """What a task gets that took longer than it may."""
    return Failure(reason=f"it took more than {timeout_s:g} s")
