"""A tiny real problem that the training tests share: a network learns a fixed map from noisy inputs."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rufous.core.randomness import generator_from
from rufous.training import OptimizerConfig, ShuffledBatches, TrainConfig, train
from rufous.training.metrics import read_metrics


@dataclass(frozen=True)
class Pairs:
    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)


class PairSet:
    def __init__(self, num_examples: int = 40):
        generator = generator_from(1, "data")
        self.inputs = torch.randn(num_examples, 6, generator=generator)
        self.targets = torch.tanh(self.inputs @ torch.randn(6, 4, generator=generator))

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.targets[index]


def collate(examples: list[tuple[Tensor, Tensor]]) -> Pairs:
    return Pairs(torch.stack([x for x, _ in examples]), torch.stack([y for _, y in examples]))


def make_batches(**settings: Any) -> ShuffledBatches:
    return ShuffledBatches(PairSet(), collate, **{"batch_size": 4, "seed": 3, **settings})


def make_network() -> nn.Sequential:
    network = nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 4))
    generator = generator_from(2, "weights")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator) + (parameter.ndim == 1))
    return network


class ToyObjective:
    """Regression; carries an averaged target and a counter, as distillation objectives do."""

    def __init__(self, network: nn.Module | None = None, *, noise: float = 0.1, during_loss: Any = None):
        self.trainable = network or make_network()
        self.noise = noise
        self.during_loss = during_loss or (lambda step, loss: loss)
        self.target = next(self.trainable.parameters()).detach().clone()
        self.num_steps = 0

    def loss(self, batch: Pairs, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor | float]]:
        noise = torch.randn(batch.inputs.shape, generator=generator)
        error = (self.trainable(batch.inputs + self.noise * noise) - batch.targets).square().mean(dim=1)
        loss = self.during_loss(self.num_steps + 1, error.mean())
        return loss, {"error": error, "counter": float(self.num_steps)}

    def after_step(self) -> None:
        self.num_steps += 1
        self.target.lerp_(next(self.trainable.parameters()).detach(), 0.1)

    def state_dict(self) -> dict[str, Any]:
        return {"target": {"weight": self.target}, "num_steps": self.num_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.target.copy_(state["target"]["weight"])
        self.num_steps = state["num_steps"]


def run(run_dir: Path, num_steps: int, *, name: str = "adamw", objective: Any = None, **settings: Any):
    """Train the toy with read-ahead on; gives what a test may compare."""
    objective = objective or ToyObjective()
    batches = make_batches(prefetch=2)
    hooks = {hook: settings.pop(hook) for hook in ("log", "save", "validate", "made_of") if hook in settings}
    defaults = {
        "optimizer": OptimizerConfig(name=name, learning_rate=1e-2, warmup_steps=2),
        "accumulation": 2,
        "ema_decay": 0.9,
        "log_every": 1,
        "save_every": 1000,
    }
    config = TrainConfig(num_steps=num_steps, **{**defaults, **settings})
    try:
        result = train(objective, batches, config, run_dir=run_dir, **hooks)
    finally:
        batches.close()
    return SimpleNamespace(
        result=result,
        objective=objective,
        weights=objective.trainable.state_dict(),
        averages=result.ema.state_dict()["averages"] if result.ema else {},
        losses=[line["loss"] for line in read_metrics(run_dir / "metrics.jsonl") if "loss" in line],
    )


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Threads cost more than they bring at this size, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def toy() -> SimpleNamespace:
    return SimpleNamespace(
        Objective=ToyObjective,
        PairSet=PairSet,
        collate=collate,
        batches=make_batches,
        network=make_network,
        run=run,
    )
