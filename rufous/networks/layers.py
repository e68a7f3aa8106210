"""Small pieces that several networks share: sinusoids, initial zeros, layouts, checkpointed calls.

Shapes: b batch, d features.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Module = TypeVar("Module", bound=nn.Module)


def sinusoidal_embedding(
    positions: Float[Tensor, " b"], num_features: int, *, max_period: float = 10000.0
) -> Float[Tensor, "b {num_features}"]:
    """Cosines, then sines, of each position at geometrically spaced frequencies; always float32.

        embedding = [cos(p * w_0), ..., cos(p * w_n), sin(p * w_0), ..., sin(p * w_n)]
        w_i = max_period^(-i / n),  n = num_features // 2

    Args:
        positions: Timesteps, frames per second or frame indices; any real numbers.
        num_features: Width of the embedding.
        max_period: Longest wavelength, divided by 2 pi.

    Raises:
        ValueError: ``num_features`` is odd or not positive.

    Source:
        Vaswani et al. 2017 (arXiv:1706.03762), section 3.5, in the cosine-first order of guided diffusion.
    """
    if num_features < 2 or num_features % 2:
        raise ValueError(f"num_features={num_features} does not fit a sinusoid: use an even number from 2")
    half = num_features // 2
    exponents = torch.arange(half, dtype=torch.float32, device=positions.device) / half
    angles = positions.float()[:, None] * torch.exp(-math.log(max_period) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def zero_(module: Module) -> Module:
    """Set every parameter of ``module`` to zero, so that its residual branch starts as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


@torch.no_grad()
def fill_zeros_(module: Module) -> Module:
    """Give matrices and kernels that are all zeros small random values, in place, always the same.

    For measuring time with random weights: residual branches that start as the identity would otherwise hold
    zeros, with which some devices work faster. Values are uniform, with a variance of one over the inputs.
    """
    for parameter in module.parameters():
        if parameter.ndim > 1 and not bool(parameter.any()):
            generator = torch.Generator(parameter.device).manual_seed(0)
            limit = (3.0 / parameter[0].numel()) ** 0.5
            parameter.uniform_(-limit, limit, generator=generator)
    return module


def store_channels_last(module: Module) -> Module:
    """Store the weights of every 2D convolution channels last, in place; shapes, names and numbers stay.

    For inference on a CPU: a plain layout costs a wide convolution up to half its time, since its weights are
    reordered at each call. Not for training with FSDP, which refuses such weights.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
    return module


def call_checkpointed(function: Callable[..., Tensor], *inputs: object, enabled: bool) -> Tensor:
    """Call ``function``; when ``enabled`` and gradients are on, recompute its activations for backward."""
    if enabled and torch.is_grad_enabled():
        return checkpoint(function, *inputs, use_reentrant=False)  # type: ignore[return-value]
    return function(*inputs)
