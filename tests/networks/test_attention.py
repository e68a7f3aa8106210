import pytest
import torch
import torch.nn.functional as F

from rufous.networks import attention as module
from rufous.networks.attention import attention


@pytest.fixture
def inputs():
    """Queries, more keys than queries, values, and a mask that leaves each query a key."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(3, 2, length, 4, dtype=torch.float64, generator=generator).requires_grad_()
        for length in (5, 7, 7)
    )
    mask = torch.rand(3, 1, 1, 7, generator=generator) > 0.5
    mask[..., 0] = True
    return q, k, v, mask


@pytest.mark.parametrize("scores_at_once", [1, 2 * 5 * 7, 10**9])
@pytest.mark.parametrize("masked", [False, True])
def test_values_and_gradients_are_those_of_torch(inputs, masked, scores_at_once, monkeypatch):
    monkeypatch.setattr(module, "SCORES_AT_ONCE", scores_at_once)
    q, k, v, mask = inputs
    mask = mask if masked else None
    mine, theirs = attention(q, k, v, mask), F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(mine, theirs)
    assert "ByMatrixProducts" in type(mine.grad_fn).__name__
    weight = torch.arange(mine.numel(), dtype=torch.float64).view_as(mine)
    wanted = torch.autograd.grad((theirs * weight).sum(), (q, k, v))
    for gradient, expected in zip(torch.autograd.grad((mine * weight).sum(), (q, k, v)), wanted, strict=True):
        torch.testing.assert_close(gradient, expected)


def test_frozen_values_take_no_gradient(inputs):
    q, k, v, _ = inputs
    out = attention(q, k.detach(), v.detach())
    (gradient,) = torch.autograd.grad(out.square().sum(), (q,))
    (expected,) = torch.autograd.grad(F.scaled_dot_product_attention(q, k, v).square().sum(), (q,))
    torch.testing.assert_close(gradient, expected)


def test_without_gradients_it_is_torchs_own(inputs):
    q, k, v, mask = (each.detach() for each in inputs)
    assert torch.equal(attention(q, k, v, mask), F.scaled_dot_product_attention(q, k, v, attn_mask=mask))


def test_a_query_sees_itself_and_what_was_before(inputs):
    q, k, v, _ = inputs
    k, v = (each[:, :, :5].detach().requires_grad_() for each in (k, v))
    mine, theirs = attention(q, k, v, is_causal=True), F.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(mine, theirs)
    assert "ByMatrixProducts" in type(mine.grad_fn).__name__
    gradients, wanted = (torch.autograd.grad(each.square().sum(), (q, k, v)) for each in (mine, theirs))
    for gradient, expected in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, expected)
    with torch.no_grad():
        assert torch.equal(attention(q, k, v, is_causal=True), theirs)
