"""The only training loop of the system; every stage is this loop with another objective."""

import contextlib
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal

import torch
from torch import Tensor, nn

from rufous.core.devices import DTYPES, autocast
from rufous.core.errors import RunStoppedError
from rufous.core.randomness import generator_from
from rufous.training import parallel
from rufous.training.batches import BatchSource
from rufous.training.ema import EMA
from rufous.training.gradients import check_finite, clip_gradients, naming
from rufous.training.metrics import Reporter, Sink
from rufous.training.objective import Batch, Objective
from rufous.training.optim import ModuleOptimizer, OptimizerConfig, lr_factor
from rufous.training.resume import Parts, checkpoints, load_checkpoint, save_checkpoint
from rufous.training.state_files import GeneratorState, Stateful
from rufous.training.stopping import StopRequest
from rufous.training.tensorboard import EventFiles

MAY_CHANGE = frozenset(
    (
        *("num_steps", "log_every", "save_every", "save_every_s", "validate_every", "keep_checkpoints"),
        *("tensorboard", "time_limit_s", "compile"),
    )
)
"""Fields of ``TrainConfig`` that a resumed run may set anew."""

Save = Callable[[int, Path], None]
"""Called with the step and the checkpoint's folder after each save, as ``Validate`` is; and once more when a
finished run is started again, as the process may have died between the checkpoint and this call."""
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
    """Steps between checkpoints."""
    save_every_s: float | None = None
    """Also write one after the first step that ends this many seconds after the last one."""
    validate_every: int = 0
    """Steps between validations; 0 never validates."""
    keep_checkpoints: int = 2
    tensorboard: bool = False
    """Also write the numbers of ``metrics.jsonl`` to ``run_dir/tensorboard``; needs the extra ``train``."""
    seed: int = 0
    dtype: Literal["bf16", "fp32"] = "bf16"
    """Autocast dtype of the networks; parameters and optimiser state keep their own."""
    compile: bool = False
    """Compile the forward of what is trained with ``torch.compile``; other methods stay as they are."""
    time_limit_s: float | None = None
    """Stop with a checkpoint after this wall time of one call; resume a ``"wsd"`` run with ``num_steps`` =
    the step it reached + ``decay_steps`` to let its learning rate fall."""

    def __post_init__(self) -> None:
        for name in ("num_steps", "accumulation", "log_every", "save_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: use 1 or more")
        if self.save_every_s is not None and self.save_every_s <= 0:
            raise ValueError(f"save_every_s={self.save_every_s}: use seconds above 0, or None")
        if self.max_grad_norm < 0 or self.validate_every < 0 or not 0 <= self.ema_decay < 1:
            raise ValueError("max_grad_norm and validate_every must be at least 0, ema_decay in [0, 1)")


@dataclass(frozen=True)
class TrainResult:
    """How a run ended; the weights are in ``objective.trainable``."""

    step: int
    ema: EMA | None


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
    made_of: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train ``objective.trainable`` to ``num_steps``, from the newest checkpoint in ``run_dir`` if any.

    Writes ``run_dir/metrics.jsonl`` and ``run_dir/checkpoints/step-*``. An interrupted and resumed run gives
    the same bits as an unbroken one. SIGTERM, SIGINT and the time limit end the run after a whole step, with
    a checkpoint.

    Args:
        objective: What is trained.
        batches: What it is trained on.
        config: How.
        run_dir: Folder of this run alone.
        device: Where the objective's networks are.
        log: Also called with each line of numbers.
        save: See ``Save``.
        validate: See ``Validate``.
        made_of: JSON values of all else that decides the run, such as the recipe's settings and the ids of
            the releases that it reads (``recipes.recipe.made_of``); a resumed run must have the same.

    Raises:
        RunStoppedError: A signal or the time limit came before the last step; the checkpoint is written.
        ConfigError: ``run_dir`` holds a run with another config, or made of other things.
        CheckpointError: The newest checkpoint is damaged or does not fit.
        MissingDependencyError: ``config.tensorboard`` without the package; nothing has been trained then.
        FloatingPointError: A loss or gradient is not finite; weights and checkpoints are as before that step.
    """
    device, module = torch.device(device), objective.trainable
    run = _Run(objective, batches, config, run_dir=Path(run_dir), device=device, log=log, made_of=made_of)
    if config.compile:
        for network in module.values() if isinstance(module, nn.ModuleDict) else (module,):
            network.compile()
    module.train()
    with StopRequest(config.time_limit_s) as stop, contextlib.closing(run.report):
        run.repeat_last_hook(save)
        while run.step < config.num_steps and run.stopped_by is None:
            run.seed_dropout()
            losses: list[Tensor] = []
            for micro_batch in batches.take(config.accumulation):
                with autocast(device, DTYPES[config.dtype]), naming(run.step + 1):
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
            run.decide(stop)
            run.log_if_due()
            with run.report.paused():
                run.validate_if_due(validate)
                run.save_if_due(save)
    if run.step < config.num_steps:
        raise RunStoppedError(
            f"{run.stopped_by} stopped the run in {run_dir} after step {run.step} of {config.num_steps}: "
            "the same command goes on from there"
        )
    return TrainResult(run.step, run.ema)


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
        made_of: Mapping[str, Any] | None,
    ) -> None:
        self._made_of = made_of or {}
        self._module, self._config, self._root = objective.trainable, config, run_dir / "checkpoints"
        self._device = device
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
            self.optimizer.allocate()  # a load fills shards in place
        self.step = load_checkpoint(
            self._root, self._parts, config, may_change=MAY_CHANGE, made_of=self._made_of
        )
        self._is_saving, self._saved_at = False, time.monotonic()
        events = EventFiles(run_dir / "tensorboard", step=self.step) if config.tensorboard else None
        self.report = Reporter(
            run_dir / "metrics.jsonl",
            step=self.step,
            num_steps=config.num_steps,
            device=device,
            sink=log,
            events=events,
        )

    def lr_factor(self) -> float:
        """Share of the peak learning rate for the next update."""
        return lr_factor(self._config.optimizer, self.step, self._config.num_steps)

    def seed_dropout(self) -> None:
        """Seed each step by itself: dropout takes no generator, and would not resume exactly."""
        own = generator_from(self._config.seed, "dropout", parallel.rank(), self.step)
        torch.manual_seed(own.initial_seed())

    def decide(self, stop: StopRequest) -> None:
        """Whether this step is saved and whether it is the last; ranks must agree, or a collective hangs."""
        every_s, reason = self._config.save_every_s, stop.reason
        is_late = every_s is not None and time.monotonic() - self._saved_at >= every_s
        stops, saves = parallel.on_any_rank([reason is not None, is_late], self._device)
        self.stopped_by = (reason or "another rank") if stops else None
        is_last = stops or self.step == self._config.num_steps
        self._is_saving = is_last or saves or self._is_due(self._config.save_every)

    def log_if_due(self) -> None:
        """Write a line; a saved step always ends one, so that resuming never splits a line."""
        if self._is_saving or self._is_due(self._config.log_every):
            self.report.write_step(self.step, learning_rate=self.optimizer.learning_rate)

    def validate_if_due(self, validate: Validate | None) -> None:
        """Run the hook and write its numbers."""
        if validate and self._is_due(self._config.validate_every):
            with evaluating(self._module, self.ema):
                self.report.write(self.step, validate(self.step))

    def save_if_due(self, save: Save | None) -> None:
        """Write a checkpoint and run the hook; the last step of a run is always saved."""
        if not self._is_saving:
            return
        folder = save_checkpoint(
            self._root,
            self.step,
            self._parts,
            self._config,
            keep=self._config.keep_checkpoints,
            made_of=self._made_of,
        )
        self._call(save, folder)
        self._saved_at = time.monotonic()

    def repeat_last_hook(self, save: Save | None) -> None:
        """Run the hook of a run that has all its steps."""
        if self.step >= self._config.num_steps:
            self._call(save, checkpoints(self._root)[-1])

    def _call(self, save: Save | None, folder: Path) -> None:
        if save:
            with evaluating(self._module, self.ema):
                save(self.step, folder)

    def _is_due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0


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
