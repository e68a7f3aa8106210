import pytest
import torch
from torch import nn

from rufous.training.gradients import check_finite, clip_gradients, naming


def test_gradients_are_scaled_to_the_norm_and_zero_leaves_them():
    module = nn.Linear(2, 1, bias=False)
    module.weight.grad = torch.tensor([[3.0, 4.0]])
    assert clip_gradients(module, 0.0).item() == 5.0
    assert module.weight.grad.tolist() == [[3.0, 4.0]]
    clip_gradients(module, 1.0)
    torch.testing.assert_close(module.weight.grad, torch.tensor([[0.6, 0.8]]))


def test_a_gradient_that_is_not_finite_is_named():
    with pytest.raises(FloatingPointError, match=r"step 7 .* gradient norm inf"):
        check_finite([torch.tensor(1.0)], torch.tensor(float("inf")), step=7)


def test_what_an_objective_stops_at_gets_its_step():
    with pytest.raises(FloatingPointError, match=r"step 7 on rank 0: pixels are NaN\. The last"), naming(7):
        raise FloatingPointError("pixels are NaN")
