"""The Frechet distance between two sets of features, each taken as a Gaussian.

d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^(1/2) C2 C1^(1/2))^(1/2))

Biased upwards for few clips: compare sets of equal size alone.
Source: Dowson and Landau 1982; Heusel et al. 2017 (arXiv:1706.08500) for images, Unterthiner et al. 2018
(arXiv:1812.01717) for video.

Shapes: n clips, d features.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def frechet_distance(first: Float[Tensor, "n d"], second: Float[Tensor, "m d"]) -> float:
    """Squared distance of the Gaussians of two sets, in float64; covariances divide by n - 1.

    Raises:
        ValueError: Fewer than two clips in a set, or other widths.
        FloatingPointError: A feature is not finite.
    """
    if min(len(first), len(second)) < 2 or first.shape[1] != second.shape[1]:
        raise ValueError(
            f"features of {list(first.shape)} and {list(second.shape)}: use two clips or more of one width"
        )
    (mean1, cov1), (mean2, cov2) = (_gaussian(features) for features in (first, second))
    root = _square_root(cov1)
    mixed = _square_root(root @ cov2 @ root)
    squared = (mean1 - mean2).square().sum() + (cov1 + cov2 - 2 * mixed).trace()
    return max(0.0, float(squared))


def _gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    if not bool(torch.isfinite(features).all()):
        raise FloatingPointError("a feature is NaN or infinite: look for a clip that is empty or damaged")
    features = features.double()
    mean = features.mean(dim=0)
    centered = features - mean
    return mean, centered.mT @ centered / (len(features) - 1)


def _square_root(matrix: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """Of a symmetric matrix without negative eigenvalues but for rounding."""
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    return vectors * values.clamp(min=0.0).sqrt() @ vectors.mT
