"""Exponential moving average of a module's parameters, kept in float32."""

import contextlib
from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor, nn

from rufous.core.errors import CheckpointError
from rufous.training.parallel import local


class EMA:
    """Owns a float32 average of each trainable parameter of one module; buffers and frozen weights stay out.

        average <- average + (1 - d_n) * (parameter - average),    d_n = min(decay, (1 + n) / (10 + n))

    where ``n`` counts earlier updates, so that the random start is forgotten within the first few steps.

    Source: the warm-up of the decay is that of TensorFlow's ``ExponentialMovingAverage(num_updates=n)``.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Start from the module's present parameters.

        Args:
            module: The module to follow; later calls must pass the same one.
            decay: Share of the average that one update keeps, in (0, 1), for example 0.999.

        Raises:
            ValueError: ``decay`` is outside (0, 1).
        """
        if not 0.0 < decay < 1.0:
            raise ValueError(
                f"decay={decay} is not an average: use a value between 0 and 1, for example 0.999"
            )
        self.decay = decay
        self.num_updates = 0
        self._averages = {name: p.detach().clone().float() for name, p in _trained(module).items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average towards the module's present parameters; call once per optimiser step."""
        weight = 1.0 - min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        # averages need no communication
        averages = [local(average) for average in self._averages.values()]
        parameters = [local(parameter).float() for parameter in _trained(module).values()]
        # one pass over all parameters
        torch._foreach_lerp_(averages, parameters, weight)  # pyright: ignore[reportPrivateUsage]
        self.num_updates += 1

    @contextlib.contextmanager
    def applied_to(self, module: nn.Module) -> Generator[None, None, None]:
        """Put the averages into ``module`` for the length of a ``with`` block, then the old bits back."""
        parameters = _trained(module)
        kept = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        _copy(self._averages, parameters)
        try:
            yield
        finally:
            _copy(kept, parameters)

    def state_dict(self) -> dict[str, Any]:
        """The averages by parameter name, and the number of updates."""
        return {"averages": dict(self._averages), "num_updates": self.num_updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a ``state_dict``.

        Raises:
            CheckpointError: It averages other parameters than this module has.
        """
        averages: dict[str, Tensor] = state["averages"]
        different = sorted(averages.keys() ^ self._averages.keys())
        if different:
            raise CheckpointError(f"the saved EMA follows other parameters: {', '.join(different[:8])}")
        _copy(averages, self._averages)
        self.num_updates = int(state["num_updates"])


def _trained(module: nn.Module) -> dict[str, Tensor]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


@torch.no_grad()
def _copy(sources: dict[str, Tensor], targets: dict[str, Tensor]) -> None:
    for name, target in targets.items():
        target.copy_(sources[name])
