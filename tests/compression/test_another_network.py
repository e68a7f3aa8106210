"""Pruning of a network that is no U-Net: all that it takes is its kind, and a row that names its blocks."""

from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from einops import rearrange
from torch import nn

from rufous.checkpoints import DiffusionConfig, Manifest, kinds, load_component, save_release, verify_release
from rufous.compression import ClipSize, NetworkCall, PruneConfig, plan_carry_over, prune, prune_release
from rufous.compression.blocks import NAMED_BLOCKS, NamedBlocks, Row, block_names, without_blocks
from rufous.compression.carry_over import carry_over
from rufous.core import Conditioning

SIZE = ClipSize(num_frames=2, height=4, width=4)
PARTS = ("mix", "feed")


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """A stack of layers over tokens, the channels last, under a name of two words."""

    depth: int = 4
    width: int = 8
    removed_blocks: frozenset[str] = frozenset()


class Residual(nn.Module):
    """Adds something to what it reads, so that an identity can stand in for it."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.inner, self.out = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        return tokens + self.out(self.inner(tokens).tanh())


def layer(config: StackConfig, name: str) -> nn.Module:
    gone = config.removed_blocks
    if name in gone:
        return nn.Identity()
    parts = zip(PARTS, (8, 16), strict=True)
    return nn.Sequential(
        OrderedDict(
            (part, nn.Identity() if f"{name}.{part}" in gone else Residual(config.width, hidden))
            for part, hidden in parts
        )
    )


class Stack(nn.Module):
    """The denoiser of a config."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.config = config
        self.entry, self.exit = nn.Linear(4, config.width), nn.Linear(config.width, 4)
        layers = nn.Sequential(*(layer(config, name) for name in stages(config)))
        self.trunk = nn.ModuleDict({"layers": layers})

    def forward(self, latents: torch.Tensor, timesteps: torch.Tensor, cond: Conditioning) -> torch.Tensor:
        """Reads the latents alone."""
        tokens = self.trunk["layers"](self.entry(rearrange(latents, "b c f h w -> b (f h w) c")))
        _, _, f, h, w = latents.shape
        return rearrange(self.exit(tokens), "b (f h w) c -> b c f h w", f=f, h=h, w=w)


def stages(config: StackConfig) -> tuple[str, ...]:
    return tuple(f"trunk.layers.{i}" for i in range(config.depth))


def call(config: StackConfig, size: ClipSize) -> NetworkCall:
    shape = (1, 4, size.num_frames, size.height, size.width)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return NetworkCall(latents=latents, timesteps=torch.tensor([500.0]), cond=Conditioning())


def flop(network: nn.Module, size: ClipSize) -> float:
    tokens = size.num_frames * size.height * size.width
    return 2.0 * tokens * sum(p.numel() for p in network.parameters() if p.ndim > 1)


STACK = NamedBlocks(
    stages=stages,
    parts=lambda config: tuple(f"{stage}.{part}" for stage in stages(config) for part in PARTS),
    rows=(Row(name="trunk.layers", kept="last"),),
    channel_axis=2,
    flop=flop,
    example=call,
    presets={"half": lambda config: replace(config, depth=config.depth // 2)},
    may_differ=frozenset({"depth", "removed_blocks"}),
)


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Its second layer does next to nothing."""
    monkeypatch.setitem(kinds.NETWORKS, "stack", (StackConfig, Stack))
    monkeypatch.setattr(kinds, "KINDS", (*kinds.KINDS, "stack"))
    monkeypatch.setitem(NAMED_BLOCKS, "stack", STACK)
    torch.manual_seed(0)
    network = Stack(StackConfig())
    with torch.no_grad():
        for part in PARTS:
            network.get_submodule(f"trunk.layers.1.{part}.out").weight.mul_(1e-3)
            network.get_submodule(f"trunk.layers.1.{part}.out").bias.zero_()
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("importance", ["output", "influence"])
def test_a_budget_takes_the_blocks_that_matter_least(teacher, importance):
    assert block_names(teacher.config)[:4] == (
        *("trunk.layers.0", "trunk.layers.0.mix", "trunk.layers.0.feed"),
        "trunk.layers.1",
    )
    config = PruneConfig(budget="-20%", importance=importance, num_latency_calls=1)
    calls = [call(teacher.config, SIZE)]
    student, report = prune(teacher, config, size=SIZE, data=lambda: calls)
    assert student.config == StackConfig(removed_blocks=frozenset({"trunk.layers.1"}))
    assert report.removed == ("trunk.layers.1",)
    assert report.after.parameters == sum(p.numel() for p in student.parameters())
    assert report.after.parameters <= 0.8 * report.before.parameters
    assert report.after.flop < report.before.flop
    assert report.output_change < 1e-4
    assert all(block.influence is not None and block.latency_s > 0 for block in report.blocks)


def test_layers_that_are_numbered_anew_take_the_weights_that_their_row_keeps(teacher):
    student, _ = prune(teacher, PruneConfig(preset="half", num_latency_calls=0), size=SIZE)
    assert plan_carry_over(teacher.config, student.config).stages == {
        "trunk.layers.0": "trunk.layers.2",
        "trunk.layers.1": "trunk.layers.3",
    }
    skipped = carry_over(teacher, without_blocks(teacher.config, stages(teacher.config)[:2]))
    example = call(teacher.config, SIZE)
    assert torch.equal(example.of(student), example.of(skipped))


def test_its_release_becomes_a_pruned_release(teacher, tmp_path: Path):
    settings = DiffusionConfig(num_frames=2, height=32, width=32)
    save_release(tmp_path / "whole", {"denoiser": teacher, "scheduler": settings}, Manifest(name="whole"))
    config = PruneConfig(budget="-20%", num_latency_calls=0)
    _, report = prune_release(
        tmp_path / "whole", tmp_path / "small", config, data=lambda: [call(teacher.config, SIZE)]
    )
    assert (report.size.num_frames, report.size.height, report.size.width) == (2, 4, 4)
    assert "importance.svg" in verify_release(tmp_path / "small").files
    student = load_component(tmp_path / "small", "denoiser")
    assert student.config.removed_blocks == {"trunk.layers.1"}
