"""Muon: momentum whose update matrix is replaced by the nearest orthogonal one.

Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers"; the scale that matches AdamW's update size
is from Liu et al. 2025 (arXiv:2502.16982), section 2.2. Shapes: n matrices, r rows, c columns.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate

from rufous.training.parallel import whole

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic of Jordan et al. 2024: steep at zero, so that small values grow fast."""


def orthogonalize(
    matrices: Float[Tensor, "n r c"], *, num_iterations: int = 5, dtype: torch.dtype = torch.bfloat16
) -> Float[Tensor, "n r c"]:
    """Matrices with the same singular vectors and singular values near 1 (about 0.7 to 1.2), in ``dtype``.

        x <- a x + (b A + c A^2) x,    A = x x^T

    A zero matrix stays zero. Source: Jordan et al. 2024, quintic Newton-Schulz iteration.
    """
    a, b, c = NEWTON_SCHULZ
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.to(dtype)
    x = x.mT if is_tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)  # the iteration needs singular values of at most 1
    for _ in range(num_iterations):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    return x.mT if is_tall else x


class Muon(torch.optim.Optimizer):
    """Orthogonalised Nesterov momentum for parameters of two or more axes; kernels count as [out, in * taps].

        m <- momentum * m + g
        p <- p * (1 - lr * weight_decay) - lr * 0.2 * sqrt(max(r, c)) * orthogonalize(g + momentum * m)

    Equal shapes are orthogonalised together. A sharded matrix is gathered first; a rank keeps its own part.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient; ``closure`` is not supported and must be None."""
        assert closure is None
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            by_shape: dict[tuple[int, ...], list[nn.Parameter]] = defaultdict(list)
            for parameter in parameters:
                by_shape[tuple(parameter.shape)].append(parameter)
            if parameters and group["weight_decay"]:
                keep = 1.0 - group["lr"] * group["weight_decay"]
                torch._foreach_mul_(parameters, keep)  # pyright: ignore[reportPrivateUsage]
            for alike in by_shape.values():
                self._update(alike, group["lr"], group["momentum"])

    def _update(self, parameters: list[nn.Parameter], lr: float, momentum: float) -> None:
        """Move parameters of one shape."""
        directions = [whole(self._direction(p, momentum)).flatten(1) for p in parameters]
        rows, columns = directions[0].shape
        updates = orthogonalize(torch.stack(directions))
        scale = 0.2 * max(rows, columns) ** 0.5  # 0.2 is the root mean square of AdamW's updates, ibid.
        for parameter, update in zip(parameters, updates, strict=True):
            step = update.to(parameter.dtype).view(parameter.shape)
            parameter.add_(_sharded_like(step, parameter), alpha=-lr * scale)

    def _direction(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        gradient = parameter.grad
        assert gradient is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        average = state["momentum"].mul_(momentum).add_(gradient)
        return gradient + momentum * average


def _sharded_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """``tensor``, equal on all ranks, laid out as ``parameter`` is."""
    if not isinstance(parameter, DTensor):
        return tensor
    mesh = parameter.device_mesh
    equal = DTensor.from_local(tensor, mesh, [Replicate()] * mesh.ndim, run_check=False)
    return equal.redistribute(mesh, parameter.placements)
