"""Progress bars and timings on stderr."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextmanager
def step_bar(total: int, *, visible: bool, what: str = "denoise") -> Iterator[Callable[[str], None]]:
    """A bar of ``total`` steps, on a terminal; the yielded function advances it by one and relabels it.

    Args:
        total: Steps until it is full.
        visible: False shows nothing, as where stderr is no terminal.
        what: The label until the first step.
    """
    done = itertools.count(1)
    with count_bar(total, visible=visible, what=what) as tell:
        yield lambda description: tell(description, next(done), total)


@contextmanager
def count_bar(
    total: int, *, visible: bool, what: str, tells_eta: bool = True
) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal; the yielded function is told its label, how many steps are done, and of how many.

    There may turn out to be more steps. When all are done, further ones begin at 0.

    Args:
        total: Steps until it is full.
        visible: False shows nothing, as where stderr is no terminal.
        what: The label until the first step.
        tells_eta: Whether the time that is left is told, by the pace of all steps; labels may know better.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *([TimeRemainingColumn()] if tells_eta else []),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not (visible and console.is_terminal)
    ) as bar:
        task = bar.add_task(what, total=total)

        def tell(description: str, num_done: int, num_steps: int) -> None:
            if bar.finished:
                bar.reset(task)
            bar.update(task, completed=num_done, total=num_steps, description=description)

        yield tell


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the wall time of the block to ``seconds[stage]``."""
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start


def timing_line(seconds: dict[str, float]) -> str:
    """``import 1.2 s, load 0.3 s, ..., total 9.9 s``."""
    parts = [f"{stage} {value:.2f} s" for stage, value in seconds.items()]
    return ", ".join([*parts, f"total {sum(seconds.values()):.2f} s"])
