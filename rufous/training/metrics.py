"""What a run reports: means since the last line, one JSON line per report, one line on the console."""

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from rufous.core.console import logger
from rufous.core.files import write_text
from rufous.training.objective import Metrics
from rufous.training.parallel import rank, sum_over_ranks, world_size
from rufous.training.tensorboard import EventFiles

log = logger(__name__)

Sink = Callable[[int, Mapping[str, float]], None]
"""Called on rank 0 with the step and its numbers: another place to report to beside the file."""


class Averages:
    """Collects metrics without waiting for the device, and averages them when asked.

    A NaN entry of a tensor counts as "not measured" (see ``objective.Metrics``).
    """

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor | float]] = defaultdict(list)

    def add(self, metrics: Metrics) -> None:
        """Remember one micro-batch's numbers; tensors of any shape, detached here."""
        for name, value in metrics.items():
            self._values[name].append(
                value.detach().reshape(-1) if isinstance(value, Tensor) else float(value)
            )

    def take(self, device: torch.device) -> dict[str, float]:
        """Means over what all ranks added since the last call; a metric nobody measured is left out."""
        names = list(self._values)
        if not names:
            return {}
        pairs = torch.stack([self._sum_and_count(name, device) for name in names])
        self._values.clear()
        totals = sum_over_ranks(pairs).tolist()
        return {name: total / count for name, (total, count) in zip(names, totals, strict=True) if count}

    def _sum_and_count(self, name: str, device: torch.device) -> Tensor:
        parts = [
            value if isinstance(value, Tensor) else torch.tensor([value], device=device)
            for value in self._values[name]
        ]
        values = torch.cat([part.float() for part in parts])
        measured = ~values.isnan()
        return torch.stack([values.nansum(), measured.sum().float()])


class MetricsFile:
    """A file with one JSON object per line, each with its ``step``; ``read_metrics`` reads it."""

    def __init__(self, path: Path, *, step: int) -> None:
        """Continue after ``step``: lines of later steps, left by a run that was cut off, are removed."""
        self._path = path
        kept = [line for line in read_metrics(path) if line["step"] <= step] if path.exists() else []
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one line."""
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")


def read_metrics(path: Path) -> list[dict[str, int | float]]:
    """The whole lines of a metrics file; a last line that was cut off in writing is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def last_validation(path: Path) -> dict[str, int | float]:
    """Step and numbers of the last validation in a metrics file; empty if there was none yet."""
    lines = read_metrics(path) if path.exists() else []
    return next((line for line in reversed(lines) if "learning_rate" not in line), {})


class Speed:
    """Measures seconds per step and examples per second since the last report."""

    def __init__(self, step: int) -> None:
        self._since = time.perf_counter()
        self._step = step
        self._num_examples = 0

    def add(self, num_examples: int) -> None:
        """Count examples of this rank."""
        self._num_examples += num_examples

    def take(self, step: int) -> dict[str, float]:
        """``s_per_step``, and ``samples_per_s`` over all ranks, since the last call."""
        now = time.perf_counter()
        elapsed = now - self._since
        measured = {
            "s_per_step": elapsed / (step - self._step),
            "samples_per_s": self._num_examples * world_size() / elapsed,
        }
        self._since, self._step, self._num_examples = now, step, 0
        return measured

    @contextlib.contextmanager
    def paused(self) -> Generator[None, None, None]:
        """Leave the time of the block (saving, validating) out of the measurement."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._since += time.perf_counter() - begun


def console_line(step: int, num_steps: int, metrics: Mapping[str, float]) -> str:
    """One line for people: step, loss, learning rate, speed and the time left."""
    left_s = (num_steps - step) * metrics["s_per_step"]
    minutes, seconds = divmod(int(left_s), 60)
    return (
        f"step {step}/{num_steps}  loss {metrics['loss']:.4f}  lr {metrics['learning_rate']:.2e}  "
        f"{metrics['s_per_step']:.3f} s/step  {metrics['samples_per_s']:.1f} samples/s  "
        f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d} left"
    )


class Reporter:
    """Gathers what one run measures; rank 0 writes it to a file, the console, ``sink`` and ``events``."""

    def __init__(
        self,
        path: Path,
        *,
        step: int,
        num_steps: int,
        device: torch.device,
        sink: Sink | None = None,
        events: EventFiles | None = None,
    ) -> None:
        self._file = MetricsFile(path, step=step) if rank() == 0 else None
        self._num_steps = num_steps
        self._device = device
        self._sink, self._events = sink, events
        self._averages = Averages()
        self._speed = Speed(step)
        self.paused = self._speed.paused

    def add(self, metrics: Metrics, *, num_examples: int = 0) -> None:
        """Remember numbers, and how many examples they were made from, until the next line."""
        self._averages.add(metrics)
        self._speed.add(num_examples)

    def write_step(self, step: int, *, learning_rate: float) -> None:
        """Write the means since the last line; every rank calls this."""
        metrics = self._averages.take(self._device)
        metrics |= {"learning_rate": learning_rate, **self._speed.take(step)}
        self.write(step, metrics)
        if rank() == 0:
            log.info(console_line(step, self._num_steps, metrics))

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write one line of numbers."""
        if self._file is not None:
            self._file.write(step, metrics)
            for sink in (self._sink, self._events):
                if sink is not None:
                    sink(step, metrics)

    def close(self) -> None:
        """Write out what is still on its way."""
        if self._events is not None:
            self._events.close()
