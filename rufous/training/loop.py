"""The only training loop of the system; every stage is this loop with another objective."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from rufous.core.devices import DTYPES, autocast
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
"""Called with the step and the checkpoint's folder after each save, on every rank, with the EMA weights in place."""
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
    """Stop cleanly, with a checkpoint, after this wall time of one call."""

    def __post_init__(self) -> None:
        for name in ("num_steps", "accumulation", "log_every", "save_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: use 1 or more")
        if self.max_grad_norm < 0 or self.validate_every < 0 or not 0 <= self.ema_decay < 1:
            raise ValueError("max_grad_norm and validate_every must be at least 0, ema_decay in [0, 1)")


@dataclass(frozen=True)
class TrainResult:
    """How a run ended; the weights are in the objective's ``trainable``."""

    step: int
    ema: EMA | None
    stopped_by: str | None
    """A signal or the time limit, in words; None when all steps were done."""


@dataclass
class _State:
    """What advances during a run, beside the objective and the batches."""

    step: int
    optimizer: ModuleOptimizer
    ema: EMA | None
    generator: torch.Generator


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
    """Train ``objective.trainable`` to ``config.num_steps``, going on from the newest checkpoint in ``run_dir``.

    Writes ``run_dir/metrics.jsonl`` and ``run_dir/checkpoints/step-*``. An interrupted and resumed run gives the same
    bits as an unbroken one. SIGTERM, SIGINT and the time limit end the run after a whole step, with a checkpoint.

    Raises:
        ConfigError: ``run_dir`` holds a run with another config.
        CheckpointError: The newest checkpoint is damaged or does not fit.
        FloatingPointError: A loss or gradient is not finite; weights and checkpoints are as before that step.
    """
    device, run_dir, module = torch.device(device), Path(run_dir), objective.trainable
    state, parts = _begin(objective, batches, config, run_dir=run_dir, device=device)
    report = Reporter(
        run_dir / "metrics.jsonl", step=state.step, num_steps=config.num_steps, device=device, sink=log
    )
    if config.compile:
        module.compile()
    module.train()
    stopped_by: str | None = None
    with StopRequest(config.time_limit_s) as stop:
        while state.step < config.num_steps and stopped_by is None:
            micro_batches = batches.take(config.accumulation)
            losses: list[Tensor] = []
            for micro_batch in micro_batches:
                with autocast(device, DTYPES[config.dtype]):
                    loss, metrics = objective.loss(micro_batch, state.generator)
                (loss / config.accumulation).backward()
                losses.append(loss.detach())
                report.add({"loss": loss, **metrics})
            grad_norm = clip_gradients(module, config.max_grad_norm)
            check_finite(losses, grad_norm, step=state.step + 1)
            learning_rate = config.optimizer.learning_rate * lr_factor(
                config.optimizer, state.step, config.num_steps
            )
            state.optimizer.step(learning_rate)
            objective.after_step()
            if state.ema is not None:
                state.ema.update(module)
            state.step += 1

            report.add({"grad_norm": grad_norm})
            report.count_step(num_examples=sum(len(micro_batch) for micro_batch in micro_batches))
            stopped_by = _stop_reason(stop, device)
            is_saving = (
                _is_due(config.save_every, state.step) or state.step == config.num_steps or bool(stopped_by)
            )
            if is_saving or _is_due(config.log_every, state.step):  # resuming then splits no line
                report.write_step(state.step, learning_rate=learning_rate)
            with report.paused():
                if validate and _is_due(config.validate_every, state.step):
                    with evaluating(module, state.ema):
                        report.write(state.step, validate(state.step))
                if is_saving:
                    keep = config.keep_checkpoints
                    folder = save_checkpoint(run_dir / "checkpoints", state.step, parts, config, keep=keep)
                    if save:
                        with evaluating(module, state.ema):
                            save(state.step, folder)
    return TrainResult(state.step, state.ema, stopped_by if state.step < config.num_steps else None)


def clip_gradients(module: nn.Module, max_norm: float) -> Tensor:
    """Scale the gradients in place to a global norm of at most ``max_norm`` (0: leave them); gives the norm before.

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
def evaluating(module: nn.Module, ema: EMA | None) -> Iterator[None]:
    """Eval mode, no gradients, and the EMA weights in place of the trained ones."""
    module.eval()
    try:
        with torch.no_grad(), ema.applied_to(module) if ema else contextlib.nullcontext():
            yield
    finally:
        module.train()


def _begin(
    objective: Objective[Batch],
    batches: BatchSource[Batch],
    config: TrainConfig,
    *,
    run_dir: Path,
    device: torch.device,
) -> tuple[_State, Parts]:
    """Make the state of a run, and put it where the newest checkpoint left it."""
    module = objective.trainable
    state = _State(
        step=0,
        optimizer=ModuleOptimizer(module, config.optimizer),
        ema=EMA(module, config.ema_decay) if config.ema_decay else None,
        generator=generator_from(config.seed, "training", parallel.rank(), device=device),
    )
    shared: dict[str, Stateful] = {"weights": module, "optimizer": state.optimizer, "objective": objective}
    if state.ema is not None:
        shared["ema"] = state.ema
    parts = Parts(shared=shared, per_rank={"generator": GeneratorState(state.generator), "batches": batches})
    root = run_dir / "checkpoints"
    if checkpoints(root) and parallel.is_sharded(module):
        state.optimizer.allocate()
    state.step = load_checkpoint(root, parts, config, may_change=MAY_CHANGE)
    return state, parts


def _is_due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0


def _stop_reason(stop: StopRequest, device: torch.device) -> str | None:
    """Why all ranks stop after this step; they must agree, or the next collective would hang."""
    reason = stop.reason
    return (reason or "another rank") if parallel.any_rank(reason is not None, device) else None
