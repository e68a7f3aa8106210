"""The maximum mean discrepancy of two sets of features under a polynomial kernel.

MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),    k(a, b) = (gamma a.b + coef0)^degree

The biased estimate keeps k(x, x) in its means and is never negative; the unbiased one leaves it out and is 0
on average for two sets of one distribution. JEDi is 100 times the biased one with degree 2 and coef0 0.

Source: Gretton et al. 2012; Binkowski et al. 2018 (arXiv:1801.01401); JEDi: Luo et al. 2024
(arXiv:2410.05203).

Shapes: n m clips, d features.
"""

import torch
from jaxtyping import Float
from torch import Tensor

_ROWS = 1024  # of a kernel matrix at once, which bounds memory


def polynomial_mmd(
    first: Float[Tensor, "n d"],
    second: Float[Tensor, "m _"],
    *,
    degree: int = 2,
    gamma: float | None = None,
    coef0: float = 0.0,
    is_biased: bool = True,
) -> float:
    """Squared discrepancy of two sets, in float64; the order of the sets does not matter.

    Args:
        first: Features of one set.
        second: Of the other.
        degree: Of the kernel.
        gamma: None for 1 / d.
        coef0: Added to the scaled product.
        is_biased: Whether a clip is compared with itself too.

    Raises:
        ValueError: Other widths, or too few clips: one a set, two without the diagonal.
        FloatingPointError: A feature is not finite.
    """
    fewest = 1 if is_biased else 2
    if min(len(first), len(second)) < fewest or first.shape[1] != second.shape[1]:
        raise ValueError(
            f"features of {list(first.shape)} and {list(second.shape)}: use {fewest} or more of one width"
        )
    if not bool(torch.isfinite(first).all() and torch.isfinite(second).all()):
        raise FloatingPointError("a feature is NaN or infinite: look for a clip that is empty or damaged")
    x, y = (features.detach().cpu().double() for features in (first, second))
    scale = 1.0 / x.shape[1] if gamma is None else gamma

    def mean_kernel(a: Tensor, b: Tensor) -> float:
        total = sum(float((scale * rows @ b.mT + coef0).pow(degree).sum()) for rows in a.split(_ROWS))
        return total / (len(a) * len(b))

    def mean_within(a: Tensor) -> float:
        if is_biased:
            return mean_kernel(a, a)
        own = float((scale * a.square().sum(dim=1) + coef0).pow(degree).sum())
        return (mean_kernel(a, a) * len(a) ** 2 - own) / (len(a) * (len(a) - 1))

    return mean_within(x) + mean_within(y) - 2 * mean_kernel(x, y)


def jedi(first: Float[Tensor, "n d"], second: Float[Tensor, "m _"]) -> float:
    """100 times the biased discrepancy of degree 2: the published figure, if the features are its network's.

    Raises:
        ValueError: No clips, or other widths.
        FloatingPointError: A feature is not finite.
    """
    return 100.0 * polynomial_mmd(first, second)
