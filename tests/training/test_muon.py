import pytest
import torch
from torch import nn

from rufous.core.randomness import generator_from
from rufous.training.muon import Muon, orthogonalize


def random(*shape):
    return torch.randn(*shape, generator=generator_from(0, "matrix", *shape))


@pytest.mark.parametrize("shape", [(2, 24, 24), (1, 8, 40), (3, 40, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_singular_values_come_close_to_one(shape, dtype):
    values = torch.linalg.svdvals(orthogonalize(random(*shape), dtype=dtype).float())
    assert values.min() > 0.3
    assert values.max() < 1.3
    assert values.median().sub(1.0).abs() < 0.3


def test_singular_vectors_stay():
    matrix = random(1, 10, 6)
    u, _, vh = torch.linalg.svd(matrix[0], full_matrices=False)
    inner = u.mT @ orthogonalize(matrix, dtype=torch.float32)[0] @ vh.mT
    torch.testing.assert_close(inner, torch.diag(inner.diagonal()), atol=1e-4, rtol=0.0)


def test_a_zero_matrix_stays_zero():
    assert orthogonalize(torch.zeros(1, 4, 4)).count_nonzero() == 0


def test_alike_matrices_move_together_as_they_would_alone():
    first, second = nn.Parameter(random(6, 5)), nn.Parameter(random(6, 5) + 1)
    alone = nn.Parameter(first.detach().clone())
    for parameter in (first, second, alone):
        parameter.grad = parameter.detach().cos()
    Muon([first, second], lr=0.1).step()
    Muon([alone], lr=0.1).step()
    torch.testing.assert_close(first, alone)


def test_a_kernel_moves_as_its_matrix_does():
    kernel = nn.Parameter(random(4, 3, 2, 2))
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    kernel.grad, matrix.grad = kernel.detach().cos(), matrix.detach().cos()
    Muon([kernel], lr=0.1, weight_decay=0.1).step()
    Muon([matrix], lr=0.1, weight_decay=0.1).step()
    torch.testing.assert_close(kernel.detach().flatten(1), matrix.detach())


def test_updates_are_of_adamws_size():
    parameter = nn.Parameter(torch.zeros(64, 32))
    parameter.grad = random(64, 32)
    Muon([parameter], lr=1.0).step()
    assert parameter.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.25)
