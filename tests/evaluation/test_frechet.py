import pytest
import torch

from rufous.evaluation.frechet import frechet_distance


def features(count: int = 4000, *, scale: float = 1.0, shift: float = 0.0, seed: int = 0) -> torch.Tensor:
    """Exactly white up to rounding, then scaled and moved, so that the distance is known."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    raw = raw - raw.mean(dim=0)
    covariance = raw.mT @ raw / (count - 1)
    white = raw @ torch.linalg.inv(torch.linalg.cholesky(covariance)).mT
    return scale * white + shift


def test_a_set_is_at_no_distance_from_itself():
    assert frechet_distance(features(), features(seed=1)) == pytest.approx(0.0, abs=1e-9)


def test_a_shift_counts_squared_in_every_feature():
    assert frechet_distance(features(), features(shift=2.0)) == pytest.approx(3 * 4.0, rel=1e-9)


def test_a_scale_counts_by_the_difference_of_deviations():
    # tr(1 + 9 - 2 * 3) for each of three features
    assert frechet_distance(features(), features(scale=3.0)) == pytest.approx(3 * (3.0 - 1.0) ** 2, rel=1e-9)


def test_correlated_features_have_the_closed_form_of_commuting_covariances():
    turn = torch.linalg.qr(
        torch.randn(3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    )[0]
    first = features() * torch.tensor([1.0, 2.0, 3.0]) @ turn
    second = features() * torch.tensor([4.0, 2.0, 1.0]) @ turn
    assert frechet_distance(first, second) == pytest.approx(9.0 + 0.0 + 4.0, rel=1e-9)


def test_fewer_clips_than_features_are_borne():
    few = features()[:2]
    assert frechet_distance(few, few) == pytest.approx(0.0, abs=1e-6)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="two clips or more"):
        frechet_distance(features()[:1], features())
    with pytest.raises(FloatingPointError, match="NaN"):
        frechet_distance(features() * torch.nan, features())
