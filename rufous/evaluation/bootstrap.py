"""Intervals by resampling clips: of a weighted mean, and of the mean difference of pairs.

Source: Efron 1979; the 95 % percentile interval.
"""

import numpy as np
from jaxtyping import Float

NUM_RESAMPLES = 2_000


def mean_interval(
    values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"] | None = None, *, seed: int = 0
) -> tuple[float, float] | None:
    """95 % interval of the weighted mean of ``values``; None for fewer than two of them."""
    if len(values) < 2:
        return None
    chosen = np.random.default_rng(seed).integers(len(values), size=(NUM_RESAMPLES, len(values)))
    counts = np.ones(len(values)) if weights is None else weights
    means = (values * counts)[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))
