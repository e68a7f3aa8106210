import numpy as np
import pytest

from rufous.evaluation.bootstrap import FEWEST_PROMPTS, mean_interval


def test_the_interval_holds_the_mean_and_narrows_with_more_clips():
    values = np.tile([0.0, 1.0], 10)
    low, high = mean_interval(values)
    assert low < 0.5 < high
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(20), rel=0.2)
    narrow = mean_interval(np.tile([0.0, 1.0], 200))
    assert narrow[1] - narrow[0] < (high - low) / 3


def test_weights_count():
    assert mean_interval(np.array([1.0, 0.0, 1.0]), np.array([1.0, 1e-9, 1.0]))[1] == pytest.approx(1.0)
    assert mean_interval(np.array([0.25, 0.25])) == (0.25, 0.25)


def test_too_few_clips_or_groups_have_no_interval():
    assert mean_interval(np.array([0.5])) is None
    assert mean_interval(np.arange(5.0), groups=["a"] * 5) is None
    assert mean_interval(np.arange(5.0), groups=list("abbcc"), fewest=4) is None


def test_clips_of_a_group_stay_together():
    values, weights = np.array([0.0, 1.0, 1.0, 0.5]), np.array([1.0, 2.0, 1.0, 1.0])
    low, high = mean_interval(values, weights, groups=["b", "a", "b", "a"])
    assert (low, high) == (0.5, pytest.approx(2.5 / 3))  # the means of b and of a


@pytest.mark.parametrize(("prompts", "samples"), [(FEWEST_PROMPTS, 1), (12, 1), (20, 5)])
def test_where_nothing_differs_one_interval_in_twenty_leaves_out_zero(prompts, samples):
    rng = np.random.default_rng(prompts)
    groups = [str(i) for i in range(prompts) for _ in range(samples)]
    of_prompts = np.repeat(rng.normal(size=(400, prompts)), samples, axis=1)
    found = [
        mean_interval(row, groups=groups, seed=seed)
        for seed, row in enumerate(of_prompts + 0.5 * rng.normal(size=of_prompts.shape))
    ]
    assert 0.02 < np.mean([not low <= 0 <= high for low, high in found]) < 0.08
