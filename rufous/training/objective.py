"""What a training stage is: an objective that turns a batch into a loss.

The loop in ``rufous.training.loop`` knows nothing else about a method. Pre-training, recovery after pruning,
distillation and reward feedback are objectives; none of them has a loop of its own.
"""

from collections.abc import Mapping, Sized
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

Batch = TypeVar("Batch", bound=Sized)
BatchRead = TypeVar("BatchRead", bound=Sized, contravariant=True)

Metrics = Mapping[str, Tensor | float]
"""Numbers to log. A tensor may hold one value per example; a NaN entry means "not measured on this example",
and the log shows the mean over all measured entries since its last line."""


@runtime_checkable
class Objective(Protocol[BatchRead]):
    """A loss with its networks. ``len(batch)`` is the number of examples in a batch.

    Batches arrive on the objective's device: the batch source puts them there.
    """

    @property
    def trainable(self) -> nn.Module:
        """The module whose parameters with ``requires_grad`` are optimised, averaged (EMA) and saved."""
        ...

    def loss(self, batch: BatchRead, generator: torch.Generator) -> tuple[Tensor, Metrics]:
        """The mean loss over one micro-batch (a scalar with a graph), and what to log about it.

        Every random number must come from ``generator``, or a resumed run would differ from an unbroken one.
        """
        ...

    def after_step(self) -> None:
        """Runs once after each optimiser step, for example to move a target network."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What it carries from step to step beside ``trainable``: nested dicts of tensors and JSON values.

        Frozen networks do not belong here; they are loaded from where they came from.
        """
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a ``state_dict``."""
        ...
