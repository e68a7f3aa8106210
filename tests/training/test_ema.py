import pytest
import torch
from torch import nn

from rufous.core.errors import CheckpointError
from rufous.training import EMA


def filled(value, dtype=torch.float32):
    module = nn.Linear(3, 2, dtype=dtype)
    for parameter in module.parameters():
        nn.init.constant_(parameter, value)
    return module


def average(ema):
    return ema.state_dict()["averages"]["weight"]


def test_the_average_follows_the_formula_with_a_rising_decay():
    module, expected = filled(1.0), 1.0
    ema = EMA(module, 0.5)
    for n, value in enumerate([2.0, -1.0, 4.0, 0.5, 3.0, 8.0, 1.0, 7.0, 2.0, 5.0]):
        nn.init.constant_(module.weight, value)
        ema.update(module)
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
        torch.testing.assert_close(average(ema), torch.full((2, 3), expected))


def test_the_average_of_bfloat16_weights_is_float32():
    module = filled(1.0, torch.bfloat16)
    ema = EMA(module, 0.999)
    for _ in range(3):
        ema.update(module)
    assert average(ema).dtype == torch.float32


def test_the_average_is_in_place_inside_the_block_only():
    module = filled(1.0)
    ema = EMA(module, 0.9)
    nn.init.constant_(module.weight, 3.0)
    with ema.applied_to(module):
        assert (module.weight == 1.0).all()
    assert (module.weight == 3.0).all()


def test_frozen_parameters_are_left_alone():
    module = filled(1.0)
    module.bias.requires_grad_(False)
    assert list(EMA(module, 0.9).state_dict()["averages"]) == ["weight"]


def test_a_loaded_average_goes_on_where_it_was():
    module = filled(1.0)
    first, second = EMA(module, 0.9), EMA(filled(0.0), 0.9)
    nn.init.constant_(module.weight, 2.0)
    first.update(module)
    second.load_state_dict(first.state_dict())
    first.update(module)
    second.update(module)
    assert torch.equal(average(first), average(second))


def test_averages_of_other_parameters_are_refused():
    with pytest.raises(CheckpointError, match="bias"):
        EMA(nn.Linear(2, 2), 0.9).load_state_dict(EMA(nn.Linear(2, 2, bias=False), 0.9).state_dict())


def test_a_decay_outside_zero_to_one_is_refused():
    with pytest.raises(ValueError, match=r"decay=1\.0"):
        EMA(nn.Linear(2, 2), 1.0)
