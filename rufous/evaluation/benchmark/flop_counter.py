"""Operations of any torch code, counted from the shapes of its products and convolutions as they happen."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
_PRODUCTS = (torch.matmul, torch.bmm, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.Tensor.bmm)


def count_flop(function: Callable[[], object]) -> float:
    """Operations of one call, a multiply and an add counted as two; no gradient is kept.

    Linear layers, convolutions, matrix products and scaled dot-product attention count, all else is free, as
    in ``networks.cost``. On the meta device nothing is computed.
    """
    counter = _FlopCounter()
    with torch.no_grad(), counter:
        function()
    return counter.flop


class _FlopCounter(TorchFunctionMode):
    """Adds up the operations of the functions that pass by."""

    def __init__(self) -> None:
        super().__init__()
        self.flop = 0.0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func is F.linear:
            self.flop += 2.0 * out.numel() * _argument(args, kwargs, 1, "weight").shape[-1]
        elif func in _CONVOLUTIONS:
            self.flop += 2.0 * out.numel() * math.prod(_argument(args, kwargs, 1, "weight").shape[1:])
        elif func in _PRODUCTS:
            self.flop += 2.0 * out.numel() * args[0].shape[-1]
        elif func is torch.baddbmm:
            self.flop += 2.0 * out.numel() * _argument(args, kwargs, 1, "batch1").shape[-1]
        elif func is F.scaled_dot_product_attention:
            queries, keys = _argument(args, kwargs, 0, "query"), _argument(args, kwargs, 1, "key")
            self.flop += 2.0 * keys.shape[-2] * (queries.numel() + out.numel())
        return out


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], index: int, name: str) -> Any:
    return args[index] if len(args) > index else kwargs[name]
