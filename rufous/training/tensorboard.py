"""The numbers of a run as TensorBoard event files: ``tensorboard --logdir runs``."""

from collections.abc import Mapping
from pathlib import Path

from rufous.core.optional import require
from rufous.training.parallel import rank


class EventFiles:
    """Owns the event files of one process of a run; only rank 0 writes any."""

    def __init__(self, folder: Path, *, step: int) -> None:
        """Continue after ``step``: points of later steps, left by a run that was cut off, are not shown.

        Raises:
            MissingDependencyError: The package ``tensorboard`` is not installed; told on every rank.
        """
        require("tensorboard", extra="train")
        self._writer = None
        if rank() == 0:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write one point of each metric; on disk when this returns."""
        if self._writer is not None:
            for name, value in metrics.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()

    def close(self) -> None:
        """Write out the rest and end the writer's thread."""
        if self._writer is not None:
            self._writer.close()
