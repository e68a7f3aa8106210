import pytest
import torch

from rufous.evaluation.mmd import jedi, polynomial_mmd

FIRST = torch.arange(1.0, 10.0, dtype=torch.float64).reshape(3, 3)
SECOND = torch.tensor(
    [[7.0, 6.0, 5.0], [4.0, 3.0, 2.0], [1.0, 1.0, 8.0], [0.0, 2.0, 5.0]], dtype=torch.float64
)


def drawn(count: int, *, shift: float = 0.0, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed)) + shift


def test_the_published_example_has_its_published_values():
    assert polynomial_mmd(FIRST, SECOND) == pytest.approx(270.72222, rel=1e-7)
    assert polynomial_mmd(FIRST, SECOND, gamma=1.0) == pytest.approx(9 * 270.72222, rel=1e-7)
    assert polynomial_mmd(FIRST, SECOND, degree=3, coef0=1.0) == pytest.approx(23088.08, rel=1e-6)


@pytest.mark.parametrize("width", [1, 7, 400])
def test_zeros_and_ones_are_100_apart_whatever_the_width(width):
    assert jedi(torch.zeros(5, width), torch.ones(3, width)) == pytest.approx(100.0)


def test_the_unbiased_estimate_leaves_out_what_a_clip_has_in_common_with_itself():
    x, y = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [5.0]])
    # products 2 within x, 15 within y; 3, 5, 6 and 10 across
    expected = 2.0**2 + 15.0**2 - 2 * (9 + 25 + 36 + 100) / 4
    assert polynomial_mmd(x, y, is_biased=False) == pytest.approx(expected)
    biased = (1 + 4 + 4 + 16) / 4 + (81 + 225 + 225 + 625) / 4 - 2 * (9 + 25 + 36 + 100) / 4
    assert polynomial_mmd(x, y) == pytest.approx(biased)


def test_equal_sets_are_at_no_distance_and_the_order_does_not_matter():
    x, y = drawn(9), drawn(12, shift=0.5, seed=1)
    assert polynomial_mmd(x, x) == pytest.approx(0.0, abs=1e-12)
    assert polynomial_mmd(x, y) == pytest.approx(polynomial_mmd(y, x), rel=1e-12)
    assert polynomial_mmd(x, y, is_biased=False) == pytest.approx(
        polynomial_mmd(y, x, is_biased=False), rel=1e-9
    )


def test_only_the_unbiased_estimate_averages_to_nothing_for_one_distribution():
    pairs = [(drawn(8, seed=2 * i), drawn(8, seed=2 * i + 1)) for i in range(200)]
    biased, unbiased = (
        torch.tensor([polynomial_mmd(x, y, is_biased=kept) for x, y in pairs]) for kept in (True, False)
    )
    assert biased.min() >= 0
    assert biased.mean() > 4 * biased.std() / 200**0.5
    assert unbiased.mean().abs() < 3 * unbiased.std() / 200**0.5


def test_slices_of_the_kernel_change_nothing(monkeypatch):
    x, y = drawn(9), drawn(12, shift=0.5, seed=1)
    whole = polynomial_mmd(x, y)
    monkeypatch.setattr("rufous.evaluation.mmd._ROWS", 2)
    assert polynomial_mmd(x, y) == pytest.approx(whole, rel=1e-12)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="use 2 or more of one width"):
        polynomial_mmd(drawn(1), drawn(3), is_biased=False)
    with pytest.raises(ValueError, match="of one width"):
        polynomial_mmd(drawn(3), drawn(3)[:, :2])
    with pytest.raises(FloatingPointError, match="NaN"):
        polynomial_mmd(drawn(3), drawn(3) * torch.nan)
