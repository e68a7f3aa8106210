"""More than one process: torchrun, FSDP2 and a device mesh. A single process needs none of it.

Every helper is the identity without a process group, so the loop is written once.
"""

import contextlib
import functools
import itertools
import os
from collections.abc import Generator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor


def rank() -> int:
    """Index of this process, 0 when it is the only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def barrier() -> None:
    """Wait until every process is here."""
    if dist.is_initialized():
        dist.barrier()


@contextlib.contextmanager
def process_group(device_type: str) -> Generator[DeviceMesh | None, None, None]:
    """Join the processes that ``torchrun`` started and give their mesh; None when started without torchrun.

    Args:
        device_type: ``"cuda"`` (one GPU per process, NCCL) or ``"cpu"`` (gloo).

    Source: torchrun's environment variables, https://docs.pytorch.org/docs/stable/elastic/run.html
    """
    if "LOCAL_RANK" not in os.environ:
        yield None
        return
    if dist.is_initialized():  # by the caller; torchrun's processes can meet only once
        yield init_device_mesh(device_type, (dist.get_world_size(),))
        return
    if device_type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo")
    try:
        yield init_device_mesh(device_type, (dist.get_world_size(),))
    finally:
        dist.destroy_process_group()


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a sharded tensor; any other as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def shard(
    module: nn.Module,
    mesh: DeviceMesh | None,
    blocks: Sequence[nn.Module] = (),
    *,
    methods: Sequence[str] = (),
    bf16: bool = False,
) -> None:
    """Spread the parameters of ``module`` over ``mesh`` in place (FSDP2); does nothing without a mesh.

    Args:
        module: Equal on every rank beforehand, as rank 0's values are not broadcast.
        mesh: From ``process_group``.
        blocks: Sub-modules gathered one after another, which bounds the memory; the rest goes together.
        methods: Names of methods of ``module`` that are called beside ``forward`` and read its parameters.
            Parameters outside ``blocks`` may also be read directly, once a method has gathered them.
        bf16: Gather parameters and compute in bfloat16; gradients are reduced in float32.
    """
    if mesh is None:
        return
    policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if bf16 else MixedPrecisionPolicy()
    for block in blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(module, mesh=mesh, mp_policy=policy)
    for method in methods:
        register_fsdp_forward_method(module, method)


def replicate(module: nn.Module, mesh: DeviceMesh | None) -> None:
    """Keep all of ``module`` on every rank and average its gradients over them; nothing without a mesh.

    Every rank starts from the first one's weights and buffers, whatever its own were. For small networks, and
    for those with a scalar parameter, which FSDP2 does not take. All gradients of a backward pass travel
    together: hundreds of small tensors would take longer one by one.

    Args:
        module: Made alike on every rank; its backward pass must reach the same parameters on each.
        mesh: From ``process_group``.
    """
    if mesh is None:
        return
    for value in itertools.chain(module.parameters(), module.buffers()):
        dist.broadcast(value.detach(), src=0)
    average = _GradientAverage()
    for index, parameter in enumerate(p for p in module.parameters() if p.requires_grad):
        parameter.register_post_accumulate_grad_hook(functools.partial(average.note, index))


class _GradientAverage:
    """Notes which parameters a backward pass reaches, and averages their gradients when it ends.

    Right with accumulation too: what was there before is equal on all ranks, so averaging keeps it.
    """

    def __init__(self) -> None:
        self._reached: dict[int, Tensor] = {}

    def note(self, index: int, parameter: Tensor) -> None:
        """Called once a parameter has its gradient; the first call asks to be called back at the end."""
        if not self._reached:
            torch.autograd.Variable._execution_engine.queue_callback(self._average)  # pyright: ignore
        self._reached[index] = parameter

    def _average(self) -> None:
        gradients = [p.grad for _, p in sorted(self._reached.items()) if p.grad is not None]
        self._reached = {}
        joined = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(joined)
        joined /= world_size()
        parts = joined.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


def is_sharded(module: nn.Module) -> bool:
    """Whether ``shard`` has spread this module, also while its parameters are gathered."""
    return any(isinstance(part, FSDPModule) for part in module.modules())


def reshard(module: nn.Module) -> None:
    """Drop gathered copies of the parameters, which a forward pass without a backward one leaves behind.

    Without it the next forward pass would use copies made before the parameters changed.
    """
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum over all processes, on every process."""
    if dist.is_initialized():
        values = values.clone()
        dist.all_reduce(values)
    return values


def gathered(values: Sequence[Any]) -> list[Any]:
    """The values of all processes, those of the first one first, on every process.

    Between processes they go through pickle: for trusted plain values, such as figures.
    """
    if not dist.is_initialized():
        return list(values)
    parts: list[Any] = [None] * world_size()
    dist.all_gather_object(parts, list(values))
    return [value for part in parts for value in part]


def on_any_rank(flags: Sequence[bool], device: torch.device) -> list[bool]:
    """For each flag, whether it is true on at least one process; one exchange for all of them."""
    if not dist.is_initialized():
        return list(flags)
    counts = sum_over_ranks(torch.tensor(flags, dtype=torch.float32, device=device))
    return [count > 0 for count in counts.tolist()]


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor gathered from all ranks, on every rank; a plain one as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
