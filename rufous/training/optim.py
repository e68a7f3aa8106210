"""Optimisers and learning-rate schedules: AdamW, or Muon for matrices with AdamW for the rest.

The learning rate is a pure function of the step, so it needs no state of its own:
``learning_rate * lr_factor(config, step, num_steps)``.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rufous.core.errors import CheckpointError
from rufous.training.muon import Muon


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """One optimiser and its learning-rate schedule."""

    name: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 1e-4
    """Peak rate; Muon's updates are scaled to AdamW's size, so the same value suits both."""
    weight_decay: float = 0.01
    """Decoupled; matrices and convolution kernels only."""
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum: float = 0.95
    """Muon's momentum (Nesterov)."""
    schedule: Literal["constant", "cosine", "linear", "wsd"] = "constant"
    """After the warm-up: flat, cosine to zero, linear to zero, or flat with a final line to zero ("wsd")."""
    warmup_steps: int = 0
    decay_steps: int = 0
    """Length of the final decay of ``"wsd"`` (warm-up, stable, decay)."""

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or self.weight_decay < 0 or self.warmup_steps < 0:
            raise ValueError("learning_rate must be above 0, weight_decay and warmup_steps at least 0")
        if not all(0 <= beta < 1 for beta in (*self.betas, self.momentum)):
            raise ValueError(f"betas={self.betas}, momentum={self.momentum}: use values in [0, 1)")
        if (self.schedule == "wsd") != (self.decay_steps > 0):
            raise ValueError(
                f"schedule={self.schedule!r} with decay_steps={self.decay_steps}: "
                "set decay_steps above 0 for 'wsd', and leave it 0 for every other schedule"
            )


def constant(step: int, num_steps: int, decay_steps: int) -> float:
    """1 at every step."""
    return 1.0


def cosine(step: int, num_steps: int, decay_steps: int) -> float:
    """Half a cosine from 1 at step 0 to 0 at step ``num_steps``. Source: arXiv:1608.03983, eq. 5."""
    return 0.5 * (1.0 + math.cos(math.pi * min(step / num_steps, 1.0)))


def linear(step: int, num_steps: int, decay_steps: int) -> float:
    """A line from 1 at step 0 to 0 at step ``num_steps``."""
    return max(0.0, 1.0 - step / num_steps)


def wsd(step: int, num_steps: int, decay_steps: int) -> float:
    """1, then a line to 0 over the last ``decay_steps``. Source: arXiv:2404.06395, section 4."""
    return min(1.0, max(0.0, (num_steps - step) / decay_steps))


SCHEDULES: dict[str, Callable[[int, int, int], float]] = {
    "constant": constant,
    "cosine": cosine,
    "linear": linear,
    "wsd": wsd,
}


def lr_factor(config: OptimizerConfig, step: int, num_steps: int) -> float:
    """Share of the peak learning rate used by the update that follows ``step`` finished updates, in [0, 1].

    The warm-up is a line that ends at 1 with update number ``warmup_steps``; it multiplies the schedule.
    """
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    return warmup * SCHEDULES[config.schedule](step, num_steps, config.decay_steps)


class ModuleOptimizer:
    """The optimisers of one module behind one learning rate; owns their moments, keyed by parameter name.

    ``learning_rate`` is that of the last step.
    """

    def __init__(self, module: nn.Module, config: OptimizerConfig) -> None:
        """Make the parameter groups of ``module``.

        Raises:
            ValueError: The module has no trainable parameter.
        """
        self.learning_rate = 0.0
        self._parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        if not self._parameters:
            raise ValueError("nothing to train: no parameter of the module has requires_grad")
        matrices, others = split_parameters(module)
        self._optimizers: list[torch.optim.Optimizer] = []
        decayed = matrices
        if config.name == "muon" and matrices:
            self._optimizers.append(
                Muon(
                    matrices,
                    lr=config.learning_rate,
                    momentum=config.momentum,
                    weight_decay=config.weight_decay,
                )
            )
            decayed = []
        groups = [
            {"params": params, "weight_decay": decay}
            for params, decay in ((decayed, config.weight_decay), (others, 0.0))
            if params
        ]
        if groups:
            adamw = torch.optim.AdamW(
                groups, lr=config.learning_rate, betas=config.betas, eps=config.eps, fused=True
            )
            self._optimizers.append(adamw)

    def step(self, learning_rate: float) -> None:
        """Update every parameter from its gradient, then drop the gradients."""
        self.learning_rate = learning_rate
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def allocate(self) -> None:
        """Make every moment without changing a parameter, so that a sharded load has places to fill."""
        for parameter in self._parameters.values():
            parameter.grad = torch.zeros_like(parameter)
        self.step(0.0)

    def state_dict(self) -> dict[str, Any]:
        """The moments: parameter name -> name of the moment -> tensor; the config has the rest."""
        state = self._state()
        return {name: dict(state[p]) for name, p in self._parameters.items() if p in state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a ``state_dict``.

        Raises:
            CheckpointError: It holds moments of other parameters than this module has.
        """
        unknown = sorted(state.keys() - self._parameters.keys())
        if unknown:
            raise CheckpointError(f"the saved optimiser trains unknown parameters: {', '.join(unknown[:8])}")
        for optimizer in self._optimizers:
            owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
            for name, parameter in self._parameters.items():
                if id(parameter) in owned and name in state:
                    optimizer.state[parameter] = {k: v.to(parameter.device) for k, v in state[name].items()}

    def _state(self) -> dict[Tensor, dict[str, Tensor]]:
        return {p: moments for optimizer in self._optimizers for p, moments in optimizer.state.items()}


def split_parameters(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable parameters as (matrices and convolution kernels, everything else).

    Biases, norm scales and embedding tables are "everything else": they get no weight decay and no Muon.
    """
    embeddings = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)}
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            is_matrix = parameter.ndim >= 2 and id(parameter) not in embeddings
            (matrices if is_matrix else others).append(parameter)
    return matrices, others
