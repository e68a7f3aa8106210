"""95 % intervals of a weighted mean, of clips or of differences of pairs, by resampling groups of clips; and
of a ratio of two means, by resampling pairs.

Clips of one prompt are alike, so prompts are drawn and not clips. With few groups percentiles are too narrow;
here they are as far out as Student's t is beyond the normal:

    level = Phi(-sqrt(n / (n - 1)) t_{0.975, n - 1})        of the lower end, for n groups

Source: Efron 1979 for percentiles; Hesterberg 2015 (arXiv:1411.5279) for their levels.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from jaxtyping import Float

NUM_RESAMPLES = 2_000
FEWEST_PROMPTS = 8
"""With fewer an evaluation claims nothing: their intervals leave the truth out too often."""
_NORMAL = NormalDist()


def mean_interval(
    values: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"] | None = None,
    *,
    groups: Sequence[str] | None = None,
    fewest: int = 2,
    seed: int = 0,
) -> tuple[float, float] | None:
    """95 % interval of the weighted mean of ``values``; None for too few groups.

    Args:
        values: One of each clip.
        weights: How much each counts; None for all alike.
        groups: What each belongs to, for example its prompt; None if each stands for itself.
        fewest: Groups that there must be.
        seed: Of the resamples.
    """
    counts = np.ones(len(values)) if weights is None else weights
    sums, totals = values * counts, counts
    if groups is not None:
        group_of = np.unique(np.asarray(groups), return_inverse=True)[1]
        # without groups there is nothing to count, and that is of whole numbers
        sums, totals = (np.bincount(group_of, each).astype(np.float64) for each in (sums, totals))
    return ratio_interval(sums, totals, fewest=fewest, seed=seed)


def ratio_interval(
    above: Float[np.ndarray, " n"], below: Float[np.ndarray, " n"], *, fewest: int = 2, seed: int = 0
) -> tuple[float, float] | None:
    """95 % interval of ``above.sum() / below.sum()``, of pairs; None for too few of them.

    Args:
        above: Of each pair, for example of each prompt what one model made of it.
        below: The other's.
        fewest: Pairs that there must be.
        seed: Of the resamples.
    """
    number = len(above)
    if number < fewest:
        return None
    chosen = np.random.default_rng(seed).integers(number, size=(NUM_RESAMPLES, number))
    ratios = above[chosen].sum(axis=1) / below[chosen].sum(axis=1)
    level = _NORMAL.cdf(-math.sqrt(number / (number - 1)) * _student_t(number - 1))
    return float(np.quantile(ratios, level)), float(np.quantile(ratios, 1.0 - level))


def _student_t(freedom: int) -> float:
    """The 97.5 % point of Student's t by Fisher's expansion; to 0.01 from 4 degrees of freedom on.

    Below it is too small, but so far out that an end is the lowest or highest group in any case.
    """
    z = _NORMAL.inv_cdf(0.975)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))
