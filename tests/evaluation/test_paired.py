import numpy as np
import pytest

from rufous.evaluation.paired import compare_results
from tests.evaluation.results_of import results_of

SPREAD = list(np.linspace(0.1, 0.9, 20))


def test_equal_results_show_no_difference():
    [row] = compare_results(results_of("a", x=SPREAD), results_of("b", x=SPREAD)).rows
    assert (row.num_pairs, row.difference, row.differs) == (20, 0.0, False)
    assert row.sentence.startswith("no difference")


def test_noise_shows_no_difference():
    noise = np.random.default_rng(0).normal(0, 0.1, 20)
    [row] = compare_results(results_of("a", x=SPREAD), results_of("b", x=list(SPREAD + noise))).rows
    assert not row.differs


def test_pairs_show_a_small_difference_that_the_spread_would_hide():
    better = [value + 0.01 + 0.002 * (i % 3) for i, value in enumerate(SPREAD)]
    [row] = compare_results(results_of("a", x=SPREAD), results_of("b", x=better)).rows
    assert row.differs
    assert row.sentence.startswith("second higher by 0.01")
    [back] = compare_results(results_of("b", x=better), results_of("a", x=SPREAD)).rows
    assert back.sentence.startswith("second lower by 0.01")


def test_only_what_both_have_is_compared():
    first, second = (
        results_of("a", x=SPREAD, y=SPREAD, z=SPREAD),
        results_of("b", x=[*SPREAD[:5]] + [None] * 15),
    )
    comparison = compare_results(first, second)
    assert [(row.row, row.num_pairs) for row in comparison.rows] == [("x", 5)]
    assert comparison.left_out == dict.fromkeys("yz", "only one of both has it")


def test_other_networks_or_too_few_pairs_are_refused():
    with pytest.raises(ValueError, match="x: measured with other networks"):
        compare_results(results_of("a", x=SPREAD), results_of("b", "v2", x=SPREAD))
    with pytest.raises(ValueError, match="x: 1 clips in common"):
        compare_results(results_of("a", x=SPREAD), results_of("b", x=[0.5]))
