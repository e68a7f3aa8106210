"""The only training loop of the system; every stage is this loop with another objective."""

import contextlib
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from rufous.core.devices import DTYPES, autocast, fast_training_attention
from rufous.core.randomness import generator_from
from rufous.training import parallel
from rufous.training.batches import BatchSource
from rufous.training.ema import EMA
from rufous.training.metrics import Reporter, Sink
from rufous.training.objective import Batch, Objective
from rufous.training.optim import ModuleOptimizer, OptimizerConfig, lr_factor
from rufous.training.resume import (
    GeneratorState,
    Parts,
    Stateful,
    checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from rufous.training.stopping import StopRequest

MAY_CHANGE = frozenset(
    ("num_steps", "log_every", "save_every", "validate_every", "keep_checkpoints", "time_limit_s", "compile")
)
"""Fields of ``TrainConfig`` that a resumed run may set anew."""

Save = Callable[[int, Path], None]
"""Called with the step and the checkpoint's folder after each save, as ``Validate`` is."""
Validate = Callable[[int], Mapping[str, float]]
"""Called with the step, on every rank, in eval mode, without gradients and with the EMA weights in place."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run of the loop."""

    num_steps: int
    """Optimiser steps of the whole run, resumed parts included."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    accumulation: int = 1
    """Micro-batches per step; their losses are averaged."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm; 0 leaves them."""
    ema_decay: float = 0.0
    """Decay of the averaged weights; 0 keeps none."""
    log_every: int = 50
    save_every: int = 1000
    validate_every: int = 0
    """Steps between validations; 0 never validates."""
    keep_checkpoints: int = 2
    seed: int = 0
    dtype: Literal["bf16", "fp32"] = "bf16"
    """Autocast dtype of the networks; parameters and optimiser state keep their own."""
    compile: bool = False
    """Compile the trainable module with ``torch.compile``."""
    time_limit_s: float | None = None
    """Stop with a checkpoint after this wall time of one call; resume a ``"wsd"`` run with ``num_steps`` =
    the step it reached + ``decay_steps`` to let its learning rate fall."""

    def __post_init__(self) -> None:
        for name in ("num_steps", "accumulation", "log_every", "save_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: use 1 or more")
        if self.max_grad_norm < 0 or self.validate_every < 0 or not 0 <= self.ema_decay < 1:
            raise ValueError("max_grad_norm and validate_every must be at least 0, ema_decay in [0, 1)")


@dataclass(frozen=True)
class TrainResult:
    """How a run ended; the weights are in ``objective.trainable``."""

    step: int
    ema: EMA | None
    stopped_by: str | None
    """A signal or the time limit, in words; None when all steps were done."""


def train(
    objective: Objective[Batch],
    batches: BatchSource[Batch],
    config: TrainConfig,
    *,
    run_dir: Path | str,
    device: torch.device | str = "cpu",
    log: Sink | None = None,
    save: Save | None = None,
    validate: Validate | None = None,
) -> TrainResult:
    """Train ``objective.trainable`` to ``num_steps``, from the newest checkpoint in ``run_dir`` if any.

    Writes ``run_dir/metrics.jsonl`` and ``run_dir/checkpoints/step-*``. An interrupted and resumed run gives
    the same bits as an unbroken one. SIGTERM, SIGINT and the time limit end the run after a whole step, with
    a checkpoint.

    Raises:
        ConfigError: ``run_dir`` holds a run with another config.
        CheckpointError: The newest checkpoint is damaged or does not fit.
        FloatingPointError: A loss or gradient is not finite; weights and checkpoints are as before that step.
    """
    device, module = torch.device(device), objective.trainable
    run = _Run(objective, batches, config, run_dir=Path(run_dir), device=device, log=log)
    if config.compile:
        module.compile()
    module.train()
    with StopRequest(config.time_limit_s) as stop:
        while run.step < config.num_steps and run.stopped_by is None:
            losses: list[Tensor] = []
            for micro_batch in batches.take(config.accumulation):
                with autocast(device, DTYPES[config.dtype]), fast_training_attention(device):
                    loss, metrics = objective.loss(micro_batch, run.generator)
                (loss / config.accumulation).backward()
                losses.append(loss.detach())
                run.report.add({"loss": loss, **metrics}, num_examples=len(micro_batch))
            grad_norm = clip_gradients(module, config.max_grad_norm)
            check_finite(losses, grad_norm, step=run.step + 1)
            run.optimizer.step(config.optimizer.learning_rate * run.lr_factor())
            objective.after_step()
            if run.ema is not None:
                run.ema.update(module)
            run.step += 1
            run.report.add({"grad_norm": grad_norm})
            run.stopped_by = _stop_reason(stop, device)
            run.log_if_due()
            with run.report.paused():
                run.validate_if_due(validate)
                run.save_if_due(save)
    return TrainResult(run.step, run.ema, run.stopped_by if run.step < config.num_steps else None)


class _Run(Generic[Batch]):
    """What advances during a run beside the objective and the batches, and the three things that fall due."""

    def __init__(
        self,
        objective: Objective[Batch],
        batches: BatchSource[Batch],
        config: TrainConfig,
        *,
        run_dir: Path,
        device: torch.device,
        log: Sink | None,
    ) -> None:
        self._module, self._config, self._root = objective.trainable, config, run_dir / "checkpoints"
        self.stopped_by: str | None = None
        self.optimizer = ModuleOptimizer(self._module, config.optimizer)
        self.ema = EMA(self._module, config.ema_decay) if config.ema_decay else None
        self.generator = generator_from(config.seed, "training", parallel.rank(), device=device)
        shared: dict[str, Stateful] = {
            "weights": self._module,
            "optimizer": self.optimizer,
            "objective": objective,
        }
        if self.ema is not None:
            shared["ema"] = self.ema
        own: dict[str, Stateful] = {"generator": GeneratorState(self.generator), "batches": batches}
        self._parts = Parts(shared=shared, per_rank=own)
        if checkpoints(self._root) and parallel.is_sharded(self._module):
            self.optimizer.allocate()
        self.step = load_checkpoint(self._root, self._parts, config, may_change=MAY_CHANGE)
        self.report = Reporter(
            run_dir / "metrics.jsonl", step=self.step, num_steps=config.num_steps, device=device, sink=log
        )

    def lr_factor(self) -> float:
        """Share of the peak learning rate for the next update."""
        return lr_factor(self._config.optimizer, self.step, self._config.num_steps)

    def log_if_due(self) -> None:
        """Write a line; a saved step always ends one, so that resuming never splits a line."""
        if self._is_saving() or self._is_due(self._config.log_every):
            self.report.write_step(self.step, learning_rate=self.optimizer.learning_rate)

    def validate_if_due(self, validate: Validate | None) -> None:
        """Run the hook and write its numbers."""
        if validate and self._is_due(self._config.validate_every):
            with evaluating(self._module, self.ema):
                self.report.write(self.step, validate(self.step))

    def save_if_due(self, save: Save | None) -> None:
        """Write a checkpoint and run the hook; the last step of a run is always saved."""
        if not self._is_saving():
            return
        keep = self._config.keep_checkpoints
        folder = save_checkpoint(self._root, self.step, self._parts, self._config, keep=keep)
        if save:
            with evaluating(self._module, self.ema):
                save(self.step, folder)

    def _is_saving(self) -> bool:
        is_last = self.step == self._config.num_steps or self.stopped_by is not None
        return is_last or self._is_due(self._config.save_every)

    def _is_due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0


def clip_gradients(module: nn.Module, max_norm: float) -> Tensor:
    """Scale the gradients to a global norm of at most ``max_norm`` (0: leave them); gives the norm before.

    The norm is a scalar on the device, over all ranks' shards.
    """
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if isinstance(norm, DTensor):
        norm = norm.full_tensor()
    if max_norm:
        torch.nn.utils.clip_grads_with_norm_(module.parameters(), max_norm, norm)
    return norm


def check_finite(losses: Sequence[Tensor], grad_norm: Tensor, *, step: int) -> None:
    """Stop at the first number that is not finite; the one place in a step that waits for the device.

    Raises:
        FloatingPointError: Names the step, the rank and the values.
    """
    *values, norm = torch.stack([*(loss.float() for loss in losses), grad_norm.float()]).tolist()
    if not all(map(math.isfinite, (*values, norm))):
        raise FloatingPointError(
            f"step {step} on rank {parallel.rank()} is not finite: loss {values}, gradient norm {norm}. "
            "The last checkpoint is good; lower the learning rate or look at this step's batch"
        )


@contextlib.contextmanager
def evaluating(module: nn.Module, ema: EMA | None) -> Generator[None, None, None]:
    """Eval mode, no gradients, and the EMA weights in place of the trained ones."""
    module.eval()
    try:
        with torch.no_grad(), ema.applied_to(module) if ema else contextlib.nullcontext():
            yield
    finally:
        parallel.reshard(module)
        module.train()


def _stop_reason(stop: StopRequest, device: torch.device) -> str | None:
    """Why all ranks stop after this step; they must agree, or the next collective would hang."""
    reason = stop.reason
    return (reason or "another rank") if parallel.any_rank(reason is not None, device) else None
