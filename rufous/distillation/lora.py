"""LoRA: a student that learns two thin matrices beside each of its layers, while its own weights stay.

    network = add_lora(network, LoraSettings(rank=64), seed=0)    # before an objective is made of it
    train(...)                                                    # trains what has requires_grad
    release = merged(network)                                     # a plain network again

Every Linear, Conv2d and Conv3d is adapted, as in the published few-step students; Conv1d, norms and biases
stay as they are. Unlike there, the guidance embedding is trained whole and so is saved, dropout is on the
input of a layer instead of its update, and a seed fixes the start. The package peft (extra ``lora``) runs the
layers; the sums that fold them are this project's own.

Source: Hu et al. 2021 (arXiv:2106.09685); rank, scale and start of T2V-Turbo (arXiv:2405.18750).
"""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from rufous.checkpoints.lora import folded, lora_targets
from rufous.core.optional import require
from rufous.core.randomness import generator_from
from rufous.training.parallel import is_sharded, whole

ADAPTER = "default"  # peft's name for the only one
OF_SOME_NETWORKS = frozenset({"time_cond_proj"})
"""What ``trained_whole`` may name though a network lacks it, as one without a guidance embedding does."""

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """How a network is adapted."""

    rank: int = 64
    """Of the update of each layer; less where the layer itself has fewer inputs or outputs."""
    alpha: float | None = None
    """Updates count ``alpha / rank``, the same for every layer; None for once, as published."""
    dropout: float = 0.0
    """Of each adapted layer's input, on the way to its update alone."""
    trained_whole: tuple[str, ...] = ("time_cond_proj",)
    """Modules that are trained by their own weights, with all that is in them; new ones must be."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank={self.rank}: use 1 or more, for example 64")
        if self.alpha is not None and not self.alpha > 0:
            raise ValueError(f"alpha={self.alpha}: use a number above 0, or None for the rank")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout={self.dropout}: use a share from 0 to below 1")

    @property
    def scale(self) -> float:
        """How much updates count."""
        return 1.0 if self.alpha is None else self.alpha / self.rank


def add_lora(network: Network, settings: LoraSettings | None = None, *, seed: int) -> Network:
    """Adapt a network in place, and give it back; it computes the same as before until it is trained.

        layer(x) + scale * up(down(x)),    down ~ N(0, 1 / rank^2),    up = 0

    Afterwards only ``up``, ``down`` (float32) and ``trained_whole`` have ``requires_grad``. A layer
    ``a.b`` keeps its weights as ``a.b.base_layer``.

    Args:
        network: Not spread over processes yet. Every process must use the same seed.
        settings: Rank, scale, and what is trained whole.
        seed: Of ``down``; the same on every device, whatever was drawn before.

    Raises:
        MissingDependencyError: The package peft is not installed.
        ValueError: The network is adapted or sharded already, has nothing to adapt, lacks a module of
            ``trained_whole``, or has a layer that LoRA would get wrong.
    """
    settings = settings or LoraSettings()
    peft = require("peft", extra="lora")
    if is_sharded(network) or _adapted(network):
        raise ValueError("this network has LoRA, or is spread over processes, already: adapt it once, before")
    layers = _layers_to_adapt(network, settings)
    ranks = {name: min(settings.rank, *layer.weight.shape[:2]) for name, layer in layers.items()}
    clipped = {f"^{re.escape(name)}": rank for name, rank in ranks.items() if rank < settings.rank}
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.scale * settings.rank,
        rank_pattern=clipped,
        alpha_pattern={pattern: settings.scale * rank for pattern, rank in clipped.items()},
        lora_dropout=settings.dropout,
        target_modules="|".join(map(re.escape, layers)),
        init_lora_weights=False,
    )
    peft.inject_adapter_in_model(config, network, ADAPTER, low_cpu_mem_usage=True)  # leaves them unfilled
    for name, adapted in _adapted(network).items():
        _start(adapted, generator_from(seed, "lora", name))
    for name in settings.trained_whole:
        if name not in OF_SOME_NETWORKS or hasattr(network, name):
            network.get_submodule(name).requires_grad_(True)
    return network


def merged(network: Network, make: Callable[[], Network] | None = None) -> Network:
    """A plain copy with the updates in its weights; names, shapes and dtypes are as before ``add_lora``.

    It is in eval mode, every weight can be trained, and ``network`` is left as it is.

    Args:
        network: Adapted; if it is sharded, every process must call this.
        make: Makes a network as it was before ``add_lora``; called, and needed, only if it is sharded.

    Raises:
        ValueError: The network has no LoRA, or is sharded and cannot be copied.
    """
    if not _adapted(network):
        raise ValueError("this network has no LoRA to merge: use it as it is, or add_lora before training")
    if not is_sharded(network):
        plain = _without_lora(network)
    elif make is not None:
        plain = make().to(next(network.parameters()).device)
    else:
        raise ValueError("a sharded network cannot be copied: say by make how a whole one is made")
    plain.load_state_dict(_merged_weights(network), assign=True)
    return plain.requires_grad_(True).eval()


@torch.no_grad()
def _merged_weights(network: nn.Module) -> dict[str, Tensor]:
    """Copies of all weights, whole, under their names from before ``add_lora``."""
    weights: dict[str, Tensor] = dict(network.state_dict())
    adapted: dict[str, Tensor] = {}
    for name, layer in _adapted(network).items():
        weight, up, down = (
            whole(weights.pop(f"{name}.{part}.weight"))
            for part in ("base_layer", f"lora_B.{ADAPTER}", f"lora_A.{ADAPTER}")
        )
        adapted[f"{name}.weight"] = folded(weight, up, down, layer.scaling[ADAPTER])
        if f"{name}.base_layer.bias" in weights:
            weights[f"{name}.bias"] = weights.pop(f"{name}.base_layer.bias")
    return adapted | {name: whole(weight).detach().clone() for name, weight in weights.items()}


def _without_lora(network: Network) -> Network:
    """A copy with each base layer in its adapter's place; its parameters are still those of ``network``."""
    copied: dict[int, Any] = {id(parameter): parameter for parameter in network.parameters()}
    for layer in _adapted(network).values():
        copied[id(layer)] = copy.deepcopy(layer.base_layer, copied)
    plain = copy.deepcopy(network, copied)
    del plain.peft_config
    return plain


def _adapted(network: nn.Module) -> dict[str, Any]:
    """peft's layers by the names of those that they stand for."""
    kind = require("peft.tuners.lora", extra="lora").LoraLayer
    return {name: module for name, module in network.named_modules() if isinstance(module, kind)}


@torch.no_grad()
def _start(layer: Any, generator: torch.Generator) -> None:
    """Fill ``up`` with zeros and ``down`` with noise; on the CPU, whose numbers no device changes."""
    device = layer.base_layer.weight.device
    down, up = (pair.to_empty(device=device)[ADAPTER].weight for pair in (layer.lora_A, layer.lora_B))
    up.zero_()
    if not down.is_meta:
        down.copy_(torch.randn(down.shape, generator=generator) / len(down))
    layer.train(layer.base_layer.training)


def _layers_to_adapt(network: nn.Module, settings: LoraSettings) -> dict[str, Any]:
    """Every Linear, Conv2d and Conv3d outside ``trained_whole``, by name."""
    modules = dict(network.named_modules())
    missing = [name for name in settings.trained_whole if name not in {*modules, *OF_SOME_NETWORKS}]
    if missing or "" in settings.trained_whole:
        raise ValueError(f"trained_whole names {missing or ['']}: use names of modules inside the network")
    inside = tuple(f"{name}." for name in settings.trained_whole)
    layers = {name: layer for name, layer in lora_targets(network) if not f"{name}.".startswith(inside)}
    layers.pop("", None)
    if not layers:
        raise ValueError("there is no Linear, Conv2d or Conv3d to adapt in this network")
    for name, module in modules.items():
        if isinstance(module, nn.MultiheadAttention):
            raise ValueError(f"{name} reads its layers' weights itself, so it would pass LoRA by")
    for name, layer in layers.items():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            _check_convolution(name, layer)
    return layers


def _check_convolution(name: str, layer: nn.Conv2d | nn.Conv3d) -> None:
    """Refuse what peft would compute in another way than the layer."""
    if layer.groups != 1 or set(layer.dilation) != {1} or layer.padding_mode != "zeros":
        raise ValueError(
            f"{name} has groups={layer.groups}, dilation={layer.dilation}, padding_mode="
            f"{layer.padding_mode!r}: LoRA needs 1, 1 and 'zeros'; name it in trained_whole"
        )
