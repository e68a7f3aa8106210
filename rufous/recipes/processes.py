"""A recipe on one process or on several: its device, its data, its share of each batch, and whole weights.

    torchrun --nproc_per_node 2 -m rufous train world_teacher

A config means the same on any number of processes: ``batch_size`` counts the examples of all of them.
"""

import contextlib
import math
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from rufous.training.batches import Indexable, ShuffledBatches
from rufous.training.objective import Batch
from rufous.training.parallel import (
    barrier,
    gathered,
    is_sharded,
    process_group,
    rank,
    replicate,
    shard,
    whole,
    world_size,
)

SHARDED_FROM = 100_000_000
"""Parameters from which a network is sharded rather than copied."""

Example = TypeVar("Example")
Found = TypeVar("Found")
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Processes:
    """The processes that run one recipe, as one of them sees them."""

    device: torch.device
    mesh: DeviceMesh | None
    """None when this is the only process; ``training.parallel`` then does nothing."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes what is written once, such as the release."""
        return rank() == 0

    @contextlib.contextmanager
    def first_alone(self) -> Generator[None, None, None]:
        """Let the first process finish a block before the others enter it and find its files there.

        The others wait as long as torch lets them (30 minutes with gloo); longer work has its own recipe.
        """
        if not self.is_first:
            barrier()
        yield
        if self.is_first:
            barrier()

    def batches(
        self,
        dataset: Indexable[Example],
        collate: Callable[[list[Example]], Batch],
        *,
        batch_size: int,
        seed: int,
        prefetch: int,
    ) -> ShuffledBatches[Example, Batch]:
        """This process's share of batches of ``batch_size`` examples.

        Raises:
            ValueError: The processes cannot share ``batch_size`` evenly.
        """
        share, rest = divmod(batch_size, world_size())
        if rest:
            raise ValueError(
                f"batch_size={batch_size} cannot be shared by {world_size()} processes: use a multiple of it"
            )
        return ShuffledBatches(
            dataset,
            collate,
            batch_size=share,
            seed=seed,
            rank=rank(),
            world_size=world_size(),
            prefetch=prefetch,
        )

    def spread(
        self, network: nn.Module, blocks: Sequence[nn.Module] = (), *, methods: Sequence[str] = ()
    ) -> None:
        """Copy a small network to every process, or shard a large one (see ``training.parallel.shard``).

        Gathering a small network's blocks would take longer than computing them. Networks in a
        ``ModuleDict``, which is never called itself, are all copied or all sharded, one by one.
        """
        parts = list(network.values()) if isinstance(network, nn.ModuleDict) else [network]
        is_small = sum(parameter.numel() for parameter in network.parameters()) < SHARDED_FROM
        for part in parts:
            if is_small:
                replicate(part, self.mesh)
            else:
                own = [block for block in blocks if any(block is each for each in part.modules())]
                shard(part, self.mesh, own, methods=methods)

    def whole(self, network: Network, make: Callable[[], Network]) -> Network:
        """The network itself, or if it is sharded a whole copy in eval mode; every process must call this.

        Args:
            network: Sharded or not.
            make: Makes a network of the same config.
        """
        if not is_sharded(network):
            return network
        copy = make().to(self.device)
        copy.load_state_dict({name: whole(value) for name, value in network.state_dict().items()})
        return copy.eval()


def each_of(count: int, measure: Callable[[list[int]], Sequence[Found]]) -> list[Found]:
    """What ``measure`` finds of each of ``count`` items, in their order, on every process; they share them.

    Each process measures as many, some twice where they cannot be shared evenly, since a sharded network
    waits for all.

    Args:
        count: 1 or more.
        measure: Called with this process's indices; plain values for each of them.
    """
    turns = math.ceil(count / world_size())
    own = [(rank() + turn * world_size()) % count for turn in range(turns)]
    found = dict(gathered(list(zip(own, measure(own), strict=True))))
    return [found[index] for index in range(count)]


@contextlib.contextmanager
def joined(device: torch.device) -> Generator[Processes, None, None]:
    """Join the processes that torchrun started, each with its own GPU; without torchrun this one is alone."""
    with process_group(device.type) as mesh:
        if mesh is not None and device.type == "cuda":
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        yield Processes(device, mesh)
