"""The block against torch's own multi-head attention with the same weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rufous.perception.vit_block import Attention, Block


@pytest.fixture(params=[True, False], ids=["bias", "no bias of keys"])
def attention(request):
    torch.manual_seed(0)
    made = Attention(12, 3, keys_have_bias=request.param).requires_grad_(False)
    for parameter in made.parameters():
        parameter += 0.5 * torch.randn_like(parameter)
    return made


def test_attention_is_torchs_own(attention):
    reference = nn.MultiheadAttention(12, 3, batch_first=True).requires_grad_(False)
    bias = attention.qkv.bias
    if bias is None:
        bias = torch.cat([attention.q_bias, torch.zeros(12), attention.v_bias])
    reference.in_proj_weight.copy_(attention.qkv.weight)
    reference.in_proj_bias.copy_(bias)
    reference.out_proj.load_state_dict(attention.proj.state_dict())
    x = torch.randn(2, 7, 12)
    torch.testing.assert_close(attention(x), reference(x, x, x, need_weights=False)[0])


def test_names_are_timms():
    names = set(Block(12, 3).state_dict())
    assert {"norm1.weight", "attn.qkv.bias", "attn.proj.weight", "norm2.bias", "mlp.fc1.weight"} <= names
    without = set(Block(12, 3, keys_have_bias=False).state_dict())
    assert {"attn.q_bias", "attn.v_bias"} == without - names
    assert {"attn.qkv.bias"} == names - without


def test_each_half_of_a_block_is_a_residual():
    torch.manual_seed(0)
    block, x = Block(12, 3).requires_grad_(False), torch.randn(1, 4, 12)
    block.attn.proj.weight.zero_()
    block.attn.proj.bias.zero_()
    normed = F.layer_norm(x, (12,), block.norm2.weight, block.norm2.bias, eps=1e-6)
    torch.testing.assert_close(block(x), x + block.mlp(normed))
