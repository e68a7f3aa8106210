"""T2V-Turbo v1's LoRA: an unnamed list of matrices, mapped by module order and merged.

Source: the T2V-Turbo release; Hu et al. 2021 (arXiv:2106.09685) for the method.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rufous.core.errors import CheckpointError


def lora_targets(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers that such a list patches, in its order: each Linear, Conv2d, Conv3d in module order."""
    return [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d)
    ]


@torch.no_grad()
def merge_lora_list(network: nn.Module, tensors: Sequence[Tensor], scale: float = 1.0) -> None:
    """Add ``scale * up @ down`` to the weight of every target, in place; computed in float32.

    ``down`` is a layer of the target's kind and kernel with few output channels; ``up`` is one of kernel 1
    behind it. The list is refused as a whole before the first weight changes.

    Args:
        network: Holds its weights on a real device.
        tensors: ``[up, down, up, down, ...]``, one pair for each of ``lora_targets(network)``.
        scale: 1 as published; 0 changes nothing.

    Raises:
        CheckpointError: The list does not fit this network; names the first layer that differs.
    """
    targets = lora_targets(network)
    if len(tensors) != 2 * len(targets):
        raise CheckpointError(
            f"the LoRA list has {len(tensors)} entries, but the {len(targets)} layers of this network "
            f"need {2 * len(targets)}: it belongs to another network (with or without a guidance embedding?)"
        )
    pairs = list(zip(tensors[::2], tensors[1::2], strict=True))
    for (name, module), (up, down) in zip(targets, pairs, strict=True):
        _check_pair(name, module.weight, up, down)  # type: ignore[arg-type]
    for (_, module), (up, down) in zip(targets, pairs, strict=True):
        weight: Tensor = module.weight  # type: ignore[assignment]
        weight.copy_(folded(weight, up, down, scale))


def folded(weight: Tensor, up: Tensor, down: Tensor, scale: float = 1.0) -> Tensor:
    """``weight + scale * up @ down``, computed in float32, in the dtype and on the device of ``weight``.

    Args:
        weight: Of a Linear, or of a convolution without groups.
        up: One axis for output channels and one for ranks; kernel axes of 1.
        down: Ranks first, then the other axes of ``weight``.
        scale: Of the product.
    """
    delta = up.float().flatten(1) @ down.float().flatten(1)
    delta = delta.reshape(weight.shape).to(weight.device)
    return (weight.float() + scale * delta).to(weight.dtype)


def _check_pair(name: str, weight: Tensor, up: Tensor, down: Tensor) -> None:
    kernel = (1,) * (weight.ndim - 2)
    rank = down.shape[0] if down.ndim else 0
    wanted_up, wanted_down = (weight.shape[0], rank, *kernel), (rank, *weight.shape[1:])
    if tuple(up.shape) != wanted_up or tuple(down.shape) != wanted_down or not rank:
        raise CheckpointError(
            f"the LoRA list does not fit at {name}, whose weight is {tuple(weight.shape)}: "
            f"up is {tuple(up.shape)} and down {tuple(down.shape)}"
        )
