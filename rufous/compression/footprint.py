"""What a network costs: parameters, bytes, operations, and time measured on this machine."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from rufous.checkpoints.kinds import empty_network
from rufous.compression.blocks import named_blocks, outermost
from rufous.compression.calls import ClipSize, NetworkCall
from rufous.core.devices import clock_s, median_times_s

MAX_TIMING_S = 60.0  # nothing more is timed after this; a full-size pass takes a CPU as long


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Cost of one network, and of one of its passes."""

    parameters: int
    size_bytes: int
    """Of the weights, as they are stored."""
    flop: float
    """Operations of one pass for one clip, a multiply and an add counted as two."""
    latency_s: float | None = None
    """Median time of one pass for one clip; None if it was not measured."""


@dataclass(frozen=True, kw_only=True)
class Scales:
    """Weighs a network and its students in the same way."""

    size: ClipSize
    """Of the clip whose pass is counted and timed."""
    stored_dtype: torch.dtype
    """Of the weights whose bytes are counted."""
    example: NetworkCall
    """What is timed, on the device of the networks."""
    num_latency_calls: int
    """Calls that a latency is the median of; 0 leaves time unmeasured."""

    def count(self, config: Any) -> Footprint:
        """Cost of the network of a config, without its time."""
        network = empty_network(config)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        return Footprint(
            parameters=parameters,
            size_bytes=parameters * self.stored_dtype.itemsize,
            flop=named_blocks(config).flop(network, self.size),
        )

    def weigh(self, *networks: nn.Module) -> list[Footprint]:
        """Cost of several networks, timed in turn, so that a busy machine slows all of them alike."""
        counted = [self.count(network.config) for network in networks]
        if not self.num_latency_calls:
            return counted
        times = measure_latencies_s(networks, self.example, num_calls=self.num_latency_calls)
        return [replace(one, latency_s=time) for one, time in zip(counted, times, strict=True)]

    def time_blocks(self, network: nn.Module, names: Iterable[str]) -> dict[str, float]:
        """Seconds of a pass that each block takes; empty if time is not measured."""
        if not self.num_latency_calls:
            return {}
        return measure_block_latencies_s(network, names, self.example, num_calls=self.num_latency_calls)


def block_parameters(config: Any, names: Iterable[str]) -> dict[str, int]:
    """Number of parameters of each block."""
    network = empty_network(config)
    return {name: sum(p.numel() for p in network.get_submodule(name).parameters()) for name in names}


def total_of(costs: Mapping[str, float | int], names: Iterable[str]) -> float:
    """Cost of several blocks together; that of a part is within its whole's."""
    return math.fsum(costs[name] for name in outermost(names))


@torch.no_grad()
def measure_latencies_s(
    networks: Sequence[nn.Module], call: NetworkCall, *, num_calls: int = 5
) -> list[float]:
    """Median time of one call of each network, in seconds; see ``median_times_s``.

    Slow networks are timed less often: nothing more is measured once ``MAX_TIMING_S`` have passed.

    Args:
        networks: On the call's device.
        call: Repeated.
        num_calls: At least 1.
    """
    functions = [partial(call.of, network) for network in networks]
    return median_times_s(functions, call.latents.device, num_calls=num_calls, max_s=MAX_TIMING_S)


@torch.no_grad()
def measure_block_latencies_s(
    network: nn.Module, names: Iterable[str], call: NetworkCall, *, num_calls: int = 5
) -> dict[str, float]:
    """Median time that each block takes within a call, in seconds; 0 for one that never runs.

    See ``measure_latencies_s``.
    """
    device = call.latents.device
    started: dict[str, float] = {}
    spent: dict[str, list[float]] = {name: [] for name in names}

    def start(name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            started[name] = clock_s(device)

        return hook

    def stop(name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            spent[name].append(clock_s(device) - started[name])

        return hook

    hooks = []
    for name in spent:
        block = network.get_submodule(name)
        hooks += [block.register_forward_pre_hook(start(name)), block.register_forward_hook(stop(name))]
    try:
        measure_latencies_s([network], call, num_calls=num_calls)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: statistics.median(times[1:] or times or [0.0]) for name, times in spent.items()}
