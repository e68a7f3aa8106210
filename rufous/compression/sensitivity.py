"""How much each block of a network matters, measured on the calls that the network gets.

Two published measures. **Output change**: how far the whole network's output moves when the block is skipped,
which sees all that the later blocks make of it; one pass for each block. **Block influence**: how far the
block turns what it reads, so that a block which repeats its neighbour scores low; one pass for all blocks.

Source: output change after Zhang et al. 2024 (arXiv:2404.11098), who show that the changes of single layers
nearly add up; here it is relative. Block influence: Men et al. 2024 (arXiv:2403.03853), eq. 1.

Shapes: b batch, c channels, f latent frames, h w latent height and width.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rufous.compression.blocks import named_blocks, without_blocks
from rufous.compression.calls import NetworkCall
from rufous.compression.carry_over import carry_over
from rufous.core.console import logger

_log = logger(__name__)


@torch.no_grad()
def outputs_of(network: nn.Module, calls: Sequence[NetworkCall]) -> list[Float[Tensor, "b c f h w"]]:
    """The network's answer to each call.

    Raises:
        FloatingPointError: One is not finite; names the blocks that the network lacks, and its dtype.
    """
    outputs = [call.of(network) for call in calls]
    if not all(bool(torch.isfinite(output).all()) for output in outputs):
        config: Any = network.config
        lacking = ", ".join(sorted(config.removed_blocks))
        _refuse("the output of the network" + f" without {lacking}" * bool(lacking), network)
    return outputs


def relative_change(
    outputs: Sequence[Float[Tensor, "b c f h w"]], reference: Sequence[Float[Tensor, "b c f h w"]]
) -> float:
    """Mean over all examples of ``|output - reference|^2 / |reference|^2``; 0 is no change, 1 no output.

    Raises:
        ValueError: There are no outputs.
    """
    if not reference:
        raise ValueError("no calls: importance is measured on at least one call of the network")
    shares: list[Tensor] = []
    for output, wanted in zip(outputs, reference, strict=True):
        error = (output - wanted).flatten(1).square().sum(1)
        shares.append(error / wanted.flatten(1).square().sum(1).clamp(min=torch.finfo(error.dtype).tiny))
    return torch.cat(shares).mean().item()


def output_change(
    network: nn.Module,
    names: Iterable[str],
    calls: Sequence[NetworkCall],
    reference: Sequence[Float[Tensor, "b c f h w"]] | None = None,
) -> float:
    """Relative change of the output when the blocks ``names`` are skipped all at once.

    Args:
        network: In eval mode, with a config that names its blocks; left as it is.
        names: Blocks that can go.
        calls: On the network's device.
        reference: ``outputs_of(network, calls)``, if it is there already.

    Raises:
        ValueError: A block cannot go, or there are no calls.
        FloatingPointError: An output is not finite.
    """
    reference = outputs_of(network, calls) if reference is None else reference
    student = carry_over(network, without_blocks(network.config, names))
    return relative_change(outputs_of(student, calls), reference)


def output_changes(
    network: nn.Module, names: Sequence[str], calls: Sequence[NetworkCall]
) -> dict[str, float]:
    """``output_change`` of each block by itself."""
    reference = outputs_of(network, calls)
    changes: dict[str, float] = {}
    for i, name in enumerate(names, start=1):
        changes[name] = output_change(network, [name], calls, reference)
        _log.info("without %s: output change %.4f (%d of %d)", name, changes[name], i, len(names))
    return changes


@torch.no_grad()
def block_influences(
    network: nn.Module, names: Iterable[str], calls: Sequence[NetworkCall]
) -> dict[str, float]:
    """Mean over all places of ``1 - cosine(what the block reads, what it writes)``, for each block.

    0: the block passes on what it reads, perhaps scaled, or never ran; 1: nothing in common.

    Args:
        network: In eval mode, with a config that names its blocks.
        names: Blocks that can go.
        calls: On the network's device.

    Raises:
        ValueError: There are no calls.
        FloatingPointError: What a block reads or writes is not finite.
    """
    if not calls:
        raise ValueError("no calls: importance is measured on at least one call of the network")
    axis = named_blocks(network.config).channel_axis
    found: dict[str, list[float]] = {name: [] for name in names}

    def listener(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            read = inputs[0].narrow(axis, 0, output.shape[axis])  # a skip that is read too lies behind
            cosine = F.cosine_similarity(read.float(), output.float(), dim=axis)
            influence = 1.0 - cosine.mean().item()
            if not math.isfinite(influence):
                _refuse(f"what {name} reads or writes", network)
            found[name].append(influence)

        return hook

    hooks = [network.get_submodule(name).register_forward_hook(listener(name)) for name in found]
    try:
        for call in calls:
            call.of(network)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: sum(values) / max(len(values), 1) for name, values in found.items()}


def _refuse(what: str, network: nn.Module) -> NoReturn:
    dtype = str(next(network.parameters()).dtype).removeprefix("torch.")
    raise FloatingPointError(
        f"{what} is NaN or infinite in {dtype}, so no importance can be measured: use another dtype, for "
        "example fp32, and if that is no better, a network whose weights are sound"
    )
