import pytest
import torch

from rufous.checkpoints.int8 import dequantize, is_quantized, quantize


@pytest.mark.parametrize("shape", [(3, 8), (4, 2, 3, 3), (2, 3, 3, 1, 1)])
def test_each_output_channel_has_a_scale_of_its_own(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    weight[0] *= 1e-4
    values, scale = quantize(weight)
    assert (values.dtype, scale.dtype, tuple(scale.shape)) == (torch.int8, torch.float32, shape[:1])
    torch.testing.assert_close(scale, weight.flatten(1).abs().amax(1) / 127)
    assert values.flatten(1).abs().amax(1).tolist() == [127] * shape[0]
    error = (dequantize(values, scale) - weight).flatten(1).abs().amax(1)
    assert bool((error <= 0.5001 * scale).all())


def test_known_values():
    values, scale = quantize(torch.tensor([[127.0, -64.0, 0.4], [0.0, 0.0, 0.0]]))
    assert values.tolist() == [[127, -64, 0], [0, 0, 0]]
    assert scale.tolist() == [1.0, 1.0]
    assert dequantize(values, scale, torch.bfloat16).dtype is torch.bfloat16


def test_quantizing_again_changes_nothing():
    once = dequantize(*quantize(torch.randn(5, 7, generator=torch.Generator().manual_seed(1))))
    torch.testing.assert_close(dequantize(*quantize(once)), once)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="not finite"):
        quantize(torch.tensor([[1.0, value]]))


@pytest.mark.parametrize(
    ("name", "shape", "is_floating", "wanted"),
    [
        ("a.weight", (2, 2), True, True),
        ("in_proj_weight", (2, 2), True, True),
        ("norm.weight", (2,), True, False),
        ("a.bias", (2, 2), True, False),
        ("ids.weight", (2, 2), False, False),
        ("empty.weight", (0, 3), True, False),
    ],
)
def test_matrices_and_convolutions_are_meant(name, shape, is_floating, wanted):
    assert is_quantized(name, shape, is_floating) is wanted
