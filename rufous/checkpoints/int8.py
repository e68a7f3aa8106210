"""Weights stored in 8 bits: half a bf16 file, and what is computed with stays floating point.

Each output channel of a matrix or convolution has one scale, the largest of its magnitudes over 127, stored
beside it as ``NAME.scale``. Nothing is gained in speed: reading turns them back into floating point.

Source: symmetric per-channel weight quantisation, Nagel et al. 2021 (arXiv:2106.08295), section 2.
"""

import torch
from jaxtyping import Float, Int8, Shaped
from torch import Tensor

LEVELS = 127
SCALE = ".scale"


def is_quantized(name: str, shape: tuple[int, ...], is_floating: bool) -> bool:
    """Whether a tensor of that name and shape is stored in 8 bits; biases and norms are not worth it."""
    return is_floating and name.endswith("weight") and len(shape) >= 2 and 0 not in shape


def quantize(
    weight: Float[Tensor, "out *in"],
) -> tuple[Int8[Tensor, "out *in"], Float[Tensor, " out"]]:
    """Values in [-127, 127] and the float32 scale of each output channel; an all-zero channel has 1.

    Raises:
        ValueError: A weight is not finite.
    """
    weight = weight.detach().float()
    largest = weight.flatten(1).abs().amax(dim=1)
    if not bool(largest.isfinite().all()):
        raise ValueError("a weight is not finite")
    scale = torch.where(largest > 0, largest / LEVELS, torch.ones_like(largest))
    return (weight / _beside(scale, weight)).round().to(torch.int8), scale


def dequantize(
    values: Int8[Tensor, "out *in"], scale: Float[Tensor, " out"], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "out *in"]:
    """The weight that ``quantize`` rounded, to within half a scale."""
    return (values.float() * _beside(scale, values)).to(dtype)


def _beside(scale: Float[Tensor, " out"], weight: Shaped[Tensor, "out *in"]) -> Tensor:
    return scale.view(-1, *[1] * (weight.ndim - 1))
