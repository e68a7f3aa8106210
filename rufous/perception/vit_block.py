"""The block of plain vision transformers, under timm's key names, for the networks that are built of it.

Source: Dosovitskiy et al. 2021 (arXiv:2010.11929).

Shapes: b batch, n tokens, d features.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

NORM_EPS = 1e-6


class Attention(nn.Module):
    """Multi-head attention over all tokens."""

    def __init__(self, width: int, num_heads: int, *, keys_have_bias: bool = True) -> None:
        super().__init__()
        self.num_heads, self.keys_have_bias = num_heads, keys_have_bias
        self.qkv = nn.Linear(width, 3 * width, bias=keys_have_bias)
        if not keys_have_bias:
            self.q_bias, self.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Attend."""
        bias = self.qkv.bias
        if not self.keys_have_bias:
            bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        joined = F.linear(x, self.qkv.weight, bias)
        query, key, value = rearrange(joined, "b n (three k d) -> three b k n d", three=3, k=self.num_heads)
        read = F.scaled_dot_product_attention(query, key, value)
        return self.proj(rearrange(read, "b k n d -> b n (k d)"))


class MLP(nn.Module):
    """Two linear layers, four times as wide between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Each token by itself."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, width: int, num_heads: int, *, keys_have_bias: bool = True) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = Attention(width, num_heads, keys_have_bias=keys_have_bias)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = MLP(width)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Two residual updates."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))
