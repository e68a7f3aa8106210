import pytest
import torch
from torch import nn

from rufous.core.errors import CheckpointError
from rufous.training import OptimizerConfig
from rufous.training.optim import ModuleOptimizer, lr_factor, split_parameters


def factors(num_steps, **settings):
    return [lr_factor(OptimizerConfig(**settings), step, num_steps) for step in range(num_steps)]


def test_the_warm_up_is_a_line_that_ends_at_the_peak():
    assert factors(6, warmup_steps=4) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_the_linear_schedule_falls_to_zero():
    assert factors(4, schedule="linear") == [1.0, 0.75, 0.5, 0.25]
    assert lr_factor(OptimizerConfig(schedule="linear"), 4, 4) == 0.0


def test_the_cosine_schedule_is_half_way_in_the_middle():
    middle = factors(10, schedule="cosine")
    assert middle[0] == 1.0
    assert middle[5] == pytest.approx(0.5)
    assert lr_factor(OptimizerConfig(schedule="cosine"), 10, 10) == pytest.approx(0.0)


def test_the_wsd_schedule_is_flat_and_falls_at_the_end():
    assert factors(6, schedule="wsd", decay_steps=4) == [1.0, 1.0, 1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 0.0},
        {"betas": (0.9, 1.0)},
        {"schedule": "wsd"},
        {"schedule": "cosine", "decay_steps": 5},
    ],
)
def test_contradictory_settings_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        OptimizerConfig(**settings)


def test_only_matrices_and_kernels_are_decayed():
    module = nn.ModuleDict(
        {
            "linear": nn.Linear(3, 3),
            "conv": nn.Conv3d(2, 4, 3),
            "norm": nn.LayerNorm(3),
            "table": nn.Embedding(5, 3),
            "frozen": nn.Linear(3, 3).requires_grad_(False),
        }
    )
    matrices, others = split_parameters(module)
    assert {id(p) for p in matrices} == {id(module["linear"].weight), id(module["conv"].weight)}
    assert len(others) == 5


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_weights_without_gradient_signal_shrink_by_the_weight_decay_only(name):
    module = nn.Linear(3, 3)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    optimizer = ModuleOptimizer(module, OptimizerConfig(name=name, weight_decay=0.1))
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(0.5)
    torch.testing.assert_close(module.weight, before["weight"] * 0.95)
    assert torch.equal(module.bias, before["bias"])
    assert module.weight.grad is None


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_allocating_moments_changes_no_parameter(name):
    module = nn.Sequential(nn.Linear(3, 4), nn.Conv1d(2, 3, 3))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    optimizer = ModuleOptimizer(module, OptimizerConfig(name=name))
    optimizer.allocate()
    assert optimizer.state_dict().keys() == before.keys()
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_adamw_is_the_published_one():
    module, reference = nn.Linear(3, 2), nn.Linear(3, 2)
    reference.load_state_dict(module.state_dict())
    optimizer = ModuleOptimizer(module, OptimizerConfig(learning_rate=0.1, weight_decay=0.0))
    expected = torch.optim.AdamW(reference.parameters(), lr=0.1, weight_decay=0.0)
    for step in range(3):
        inputs = torch.full((4, 3), 0.5 + step)
        for network in (module, reference):
            network(inputs).square().mean().backward()
        optimizer.step(0.1)
        expected.step()
        expected.zero_grad()
    torch.testing.assert_close(module.weight, reference.weight)


def test_moments_of_other_parameters_are_refused():
    optimizer = ModuleOptimizer(nn.Linear(3, 2), OptimizerConfig())
    with pytest.raises(CheckpointError, match="other"):
        optimizer.load_state_dict({"other": {"exp_avg": torch.zeros(1)}})


def test_a_frozen_module_is_refused():
    with pytest.raises(ValueError, match="nothing to train"):
        ModuleOptimizer(nn.Linear(2, 2).requires_grad_(False), OptimizerConfig())
