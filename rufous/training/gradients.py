"""What stands between the backward pass and the optimiser: the norm of the gradients, and a stop at NaN."""

import contextlib
import math
from collections.abc import Generator, Sequence

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from rufous.training.parallel import rank


def clip_gradients(module: nn.Module, max_norm: float) -> Tensor:
    """Scale the gradients to a global norm of at most ``max_norm`` (0: leave them); gives the norm before.

    The norm is a scalar on the device, over all ranks' shards.
    """
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if isinstance(norm, DTensor):
        norm = norm.full_tensor()
    if max_norm:
        torch.nn.utils.clip_grads_with_norm_(module.parameters(), max_norm, norm)
    return norm


@contextlib.contextmanager
def naming(step: int) -> Generator[None, None, None]:
    """Add the step and the rank to what an objective says when it meets a number that is not finite.

    Raises:
        FloatingPointError: One came out of the block.
    """
    try:
        yield
    except FloatingPointError as error:
        raise FloatingPointError(
            f"step {step} on rank {rank()}: {error}. The last checkpoint is good"
        ) from error


def check_finite(losses: Sequence[Tensor], grad_norm: Tensor, *, step: int) -> None:
    """Stop at the first number that is not finite; the one place in a step that waits for the device.

    Raises:
        FloatingPointError: Names the step, the rank and the values.
    """
    *values, norm = torch.stack([*(loss.float() for loss in losses), grad_norm.float()]).tolist()
    if not all(map(math.isfinite, (*values, norm))):
        raise FloatingPointError(
            f"step {step} on rank {rank()} is not finite: loss {values}, gradient norm {norm}. "
            "The last checkpoint is good; lower the learning rate or look at this step's batch"
        )
