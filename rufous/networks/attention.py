"""Attention of one head group, by the fastest way that each device has for it.

Shapes: b batch, k heads, n queries, m keys, d features of one head.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def attention(
    q: Float[Tensor, "b k n d"],
    k: Float[Tensor, "#b k m d"],
    v: Float[Tensor, "#b k m d"],
    mask: Bool[Tensor, "b 1 1 m"] | None = None,
    *,
    is_causal: bool = False,
) -> Float[Tensor, "b k n d"]:
    """Values averaged by the softmax of ``q k^T / sqrt(d)``; keys that ``mask`` marks False are not seen.

    ``scaled_dot_product_attention``, except where a CPU must keep gradients: there its backward pass is
    several times slower than the matrix products it is made of (docs/benchmarks.md).

    Args:
        q: Queries.
        k: Keys, those of all clips or of each.
        v: Values, as the keys.
        mask: True where a key counts.
        is_causal: Query i sees the first i + 1 keys; as many keys as queries, and no ``mask``.
    """
    keeps_gradients = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    if q.device.type == "cpu" and keeps_gradients and k.shape[0] == q.shape[0]:
        seen = q.new_ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()[None, None] if is_causal else mask
        return _ByMatrixProducts.apply(q, k, v, seen)  # type: ignore[no-any-return]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal)


SCORES_AT_ONCE = 2**20  # two megabytes in bf16: a core's second-level cache


class _ByMatrixProducts(torch.autograd.Function):
    """Keeps the softmax; its gradient needs one sum a query, of what went out.

    As many heads at a time as have their scores in cache.

    Source: Dao et al. 2022 (arXiv:2205.14135), appendix B.2.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        shape = q.shape
        q, k, v = (each.contiguous().flatten(0, 1) for each in (q * shape[-1] ** -0.5, k, v))
        weights, mixed = q.new_empty(len(q), q.shape[1], k.shape[1]), torch.empty_like(q)
        hidden = None if mask is None else ~mask.expand(*shape[:2], -1, -1).flatten(0, 1)
        for part in _in_cache(weights):
            scores = torch.bmm(q[part], k[part].mT)
            if hidden is not None:
                scores.masked_fill_(hidden[part], -torch.inf)
            torch.softmax(scores, dim=-1, out=weights[part])
            torch.bmm(weights[part], v[part], out=mixed[part])
        ctx.save_for_backward(q, k, v, weights, mixed)
        return mixed.view(shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, weights, mixed = ctx.saved_tensors
        shape, (_, num_keys, _) = grads[0].shape, k.shape
        grad = grads[0].to(mixed.dtype).contiguous().flatten(0, 1)
        spent = (grad * mixed).sum(dim=-1, keepdim=True)  # in one dtype: mixed ones take four times as long
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for part in _in_cache(weights):
            torch.bmm(weights[part].mT, grad[part], out=grad_v[part])
            scores = torch.bmm(grad[part], v[part].mT).sub_(spent[part]).mul_(weights[part])
            torch.bmm(scores, k[part], out=grad_q[part])
            torch.bmm(scores.mT, q[part], out=grad_k[part])
        grad_q *= shape[-1] ** -0.5
        of_keys = (*shape[:2], num_keys, shape[-1])
        return grad_q.view(shape), grad_k.view(of_keys), grad_v.view(of_keys), None


def _in_cache(scores: Float[Tensor, "h n m"]) -> list[slice]:
    step = max(1, SCORES_AT_ONCE // (scores.shape[1] * scores.shape[2]))
    return [slice(start, start + step) for start in range(0, len(scores), step)]
