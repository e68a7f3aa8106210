"""The Frechet distance between two sets of features, each taken as a Gaussian, and their streamed moments.

d^2 = |m1 - m2|^2 + tr(C1 + C2) - 2 sum_i sqrt(eig_i(C1^(1/2) C2 C1^(1/2)))

Biased upwards for few clips: compare sets of equal size alone.
Source: Dowson and Landau 1982; Heusel et al. 2017 (arXiv:1706.08500) for images, Unterthiner et al. 2018
(arXiv:1812.01717) for video. Merging of moments: Chan, Golub and LeVeque 1979.

Shapes: n m clips, d features.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Moments:
    """How many features there were, their mean, and the sum of the outer products of deviations; float64."""

    count: int
    mean: Float[Tensor, " d"]
    scatter: Float[Tensor, "d d"]

    @staticmethod
    def none(width: int) -> "Moments":
        """Of no features yet."""
        zeros = torch.zeros(width, width, dtype=torch.float64)
        return Moments(0, zeros[:, 0].clone(), zeros)

    @staticmethod
    def of(features: Float[Tensor, "n d"]) -> "Moments":
        """Of a whole set at once.

        Raises:
            ValueError: No features.
            FloatingPointError: A feature is not finite.
        """
        _check_finite(features)
        if not len(features):
            raise ValueError("there are no features: give one clip or more")
        values = features.detach().cpu().double()
        mean = values.mean(dim=0)
        centered = values - mean
        return Moments(len(values), mean, centered.mT @ centered)

    def with_batch(self, features: Float[Tensor, "n d"]) -> "Moments":
        """With more features, taken one by one: how they are cut into batches changes no bit.

        Raises:
            ValueError: Features of another width.
            FloatingPointError: A feature is not finite.
        """
        _check_widths(self.mean.shape[0], features.shape[1])
        _check_finite(features)
        count, mean, scatter = self.count, self.mean.clone(), self.scatter.clone()
        for row in features.detach().cpu().double():
            count += 1
            step = row - mean
            mean += step / count
            scatter.addr_(step, row - mean)
        return Moments(count, mean, scatter)

    def merged(self, other: "Moments") -> "Moments":
        """Of both sets together, for example of two processes; in either order the same up to rounding.

        Raises:
            ValueError: They have other widths.
        """
        _check_widths(self.mean.shape[0], other.mean.shape[0])
        count = self.count + other.count
        if not count:
            return self
        apart = other.mean - self.mean
        share = other.count / count
        scatter = self.scatter + other.scatter + torch.outer(apart, apart) * (self.count * share)
        return Moments(count, self.mean + apart * share, scatter)

    def covariance(self, ddof: int = 1) -> Float[Tensor, "d d"]:
        """The scatter over ``count - ddof``.

        Raises:
            ValueError: Too few features for it.
        """
        if ddof not in (0, 1) or self.count < 2:
            raise ValueError(f"ddof={ddof}, {self.count} features: use 0 or 1, and two clips or more")
        return self.scatter / (self.count - ddof)


def frechet_distance(
    first: Float[Tensor, "n d"] | Moments, second: Float[Tensor, "m _"] | Moments, *, ddof: int = 1
) -> float:
    """Squared distance of the Gaussians of two sets, in float64; the order of the sets does not matter.

    Args:
        first: Features, or their moments.
        second: The same of the other set.
        ddof: Covariances divide by n - ddof: 1 in StyleGAN-V's FVD, 0 in the content-debiased one.

    Raises:
        ValueError: Fewer than two clips in a set, or other widths.
        FloatingPointError: A feature is not finite.
    """
    one, two = (each if isinstance(each, Moments) else Moments.of(each) for each in (first, second))
    _check_widths(one.mean.shape[0], two.mean.shape[0])
    cov1, cov2 = one.covariance(ddof), two.covariance(ddof)
    root = _square_root(cov1)
    mixed = root @ cov2 @ root
    roots = torch.linalg.eigvalsh((mixed + mixed.mT) / 2).clamp(min=0.0).sqrt()
    squared = (one.mean - two.mean).square().sum() + (cov1 + cov2).trace() - 2 * roots.sum()
    return max(0.0, float(squared))


def _check_widths(first: int, second: int) -> None:
    if first != second:
        raise ValueError(f"features of {first} and {second} numbers cannot be compared: use one network")


def _check_finite(features: Tensor) -> None:
    if not bool(torch.isfinite(features).all()):
        raise FloatingPointError("a feature is NaN or infinite: look for a clip that is empty or damaged")


def _square_root(matrix: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """Of a symmetric matrix without negative eigenvalues but for rounding."""
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    return vectors * values.clamp(min=0.0).sqrt() @ vectors.mT
