import pytest
import torch
from torch import nn

from rufous.networks.layers import (
    call_checkpointed,
    fill_zeros_,
    sinusoidal_embedding,
    store_channels_last,
    zero_,
)


def test_a_sinusoid_has_its_cosines_first_and_starts_at_one_and_zero():
    embedding = sinusoidal_embedding(torch.tensor([0.0, 1.0]), 8)
    assert embedding[0].tolist() == [1.0] * 4 + [0.0] * 4
    assert torch.allclose(
        embedding[1, [0, 4]], torch.tensor([1.0]).cos().new_tensor([0.5403, 0.8415]), atol=1e-4
    )


def test_a_sinusoid_is_float32_whatever_comes_in():
    assert sinusoidal_embedding(torch.tensor([999.0], dtype=torch.float64), 4).dtype == torch.float32


@pytest.mark.parametrize("width", [0, 5])
def test_an_odd_width_is_refused(width):
    with pytest.raises(ValueError, match="use an even number"):
        sinusoidal_embedding(torch.zeros(1), width)


def test_a_zeroed_layer_answers_zero():
    assert not zero_(nn.Linear(3, 2))(torch.ones(1, 3)).any()


def test_a_checkpointed_call_gives_the_same_value_and_gradient():
    layer, x = nn.Linear(4, 4), torch.randn(2, 4, requires_grad=True)
    values = [call_checkpointed(layer, x, enabled=enabled) for enabled in (False, True)]
    gradients = [torch.autograd.grad(value.square().sum(), x)[0] for value in values]
    assert torch.equal(values[0], values[1])
    assert torch.equal(gradients[0], gradients[1])


def test_another_layout_of_the_weights_changes_no_number():
    layer, x = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Conv3d(1, 1, 1)), torch.randn(2, 4, 8, 8)
    before, weight = layer[0](x), layer[0].weight.clone()
    store_channels_last(layer)
    assert layer[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(layer[0].weight, weight)
    assert torch.allclose(layer[0](x), before, atol=1e-6)


def test_only_matrices_of_zeros_are_filled_and_always_with_the_same_values():
    layers = nn.ModuleList([nn.Linear(300, 40), zero_(nn.Conv2d(30, 4, 3)), nn.LayerNorm(5)])
    before = [parameter.clone() for parameter in layers.parameters()]
    filled = [parameter.clone() for parameter in fill_zeros_(layers).parameters()]
    changed = [not torch.equal(old, new) for old, new in zip(before, filled, strict=True)]
    assert changed == [False, False, True, False, False, False]
    assert filled[2].var().item() * 270 == pytest.approx(1.0, rel=0.2)
    zero_(layers[1])
    assert torch.equal(fill_zeros_(layers)[1].weight, filled[2])  # type: ignore[index]
