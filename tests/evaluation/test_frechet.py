import pytest
import torch

from rufous.evaluation.frechet import Moments, frechet_distance


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


CORNERS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
R = torch.tensor([[0.0, 0.0], [2.0, 1.0], [1.0, 3.0], [4.0, 2.0], [3.0, 5.0]])
Y = torch.tensor([[1.0, 0.0], [0.0, 2.0], [5.0, 1.0], [2.0, 2.0], [3.0, 3.0]])


@pytest.mark.parametrize(
    ("first", "second", "ddof", "expected"),
    [
        (CORNERS, 2 * CORNERS, 1, 1.1666667),
        (CORNERS, 2 * CORNERS, 0, 1.0),
        (R, Y, 1, 1.4111627),
        (R, Y, 0, 1.2089302),
        (R, R + torch.tensor([3.0, 4.0]), 1, 25.0),
    ],
)
def test_small_sets_have_their_known_distances_in_either_order(first, second, ddof, expected):
    assert frechet_distance(first, second, ddof=ddof) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(second, first, ddof=ddof) == pytest.approx(expected, rel=1e-6)


def test_batches_change_no_bit_of_streamed_moments():
    rows = features(50, scale=2.0, shift=3.0).float()
    streams = [
        Moments.none(3).with_batch(rows),
        Moments.none(3).with_batch(rows[:1]).with_batch(rows[1:17]).with_batch(rows[17:]),
    ]
    assert torch.equal(streams[0].mean, streams[1].mean)
    assert torch.equal(streams[0].scatter, streams[1].scatter)
    whole = Moments.of(rows)
    torch.testing.assert_close(streams[0].mean, whole.mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(streams[0].covariance(), whole.covariance(), rtol=1e-10, atol=1e-12)


def test_merged_moments_are_those_of_all_features():
    rows = features(50, shift=100.0).float()
    parts = [Moments.of(rows[:7]), Moments.of(rows[7:20]), Moments.none(3), Moments.of(rows[20:])]
    merged = parts[0].merged(parts[1]).merged(parts[2]).merged(parts[3])
    whole = Moments.of(rows)
    assert merged.count == 50
    torch.testing.assert_close(merged.mean, whole.mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(merged.scatter, whole.scatter, rtol=1e-10, atol=1e-9)
    assert Moments.none(3).merged(Moments.none(3)).count == 0
    assert frechet_distance(merged, whole) == pytest.approx(0.0, abs=1e-9)


def test_a_large_mean_costs_streamed_moments_no_precision():
    rows = features(200) + 1e6
    streamed = Moments.none(3).with_batch(rows)
    torch.testing.assert_close(streamed.covariance(), torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-6)


def test_bias_grows_as_clips_get_fewer_as_far_as_is_known():
    """Two white samples of one Gaussian: mean term 2 d / n, covariance term about d (d + 1) / (2 n)."""
    generator = torch.Generator().manual_seed(5)
    width, count = 6, 400
    pairs = torch.randn(40, 2, count, width, generator=generator, dtype=torch.float64)
    found = torch.tensor([frechet_distance(*pair) for pair in pairs]).mean()
    known = 2 * width / count + width * (width + 1) / (2 * count)
    assert float(found) == pytest.approx(known, rel=0.1)


def test_widths_and_too_few_clips_are_refused():
    with pytest.raises(ValueError, match="features of 3 and 2 numbers"):
        frechet_distance(features(9), features(9)[:, :2])
    with pytest.raises(ValueError, match="features of 3 and 2 numbers"):
        Moments.none(3).with_batch(features(9)[:, :2])
    with pytest.raises(ValueError, match="there are no features"):
        Moments.of(torch.zeros(0, 3))
    with pytest.raises(FloatingPointError, match="NaN"):
        Moments.none(3).with_batch(features(9) * torch.inf)
