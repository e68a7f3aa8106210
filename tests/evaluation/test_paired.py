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
        results_of("b", x=[*SPREAD[:9]] + [None] * 11),
    )
    comparison = compare_results(first, second)
    assert [(row.row, row.num_pairs, row.num_prompts) for row in comparison.rows] == [("x", 9, 9)]
    assert comparison.left_out == dict.fromkeys("yz", "only one of both has it")


def test_few_prompts_are_too_few_to_tell_however_many_clips_they_have():
    better = [value + 0.1 for value in SPREAD]
    [row] = compare_results(results_of("a", samples=5, x=SPREAD), results_of("b", samples=5, x=better)).rows
    assert (row.num_pairs, row.num_prompts, row.interval_95, row.differs) == (20, 4, None, False)
    assert row.difference == pytest.approx(0.1)
    assert row.sentence == "too few to tell: 4 prompts, 8 or more are needed"


def test_another_version_of_a_row_is_refused_and_an_unknown_one_is_told():
    first, second = results_of("a", x=SPREAD, y=SPREAD), results_of("b", x=SPREAD, y=SPREAD)
    second["rows"]["x"]["version"] += 1
    del second["rows"]["y"]["version"]  # as in files of before
    comparison = compare_results(first, second)
    assert comparison.left_out == {"x": "measured by another version of the row"}
    [row] = comparison.rows
    assert row.sentence.startswith("no difference")
    assert row.sentence.endswith("; of an unknown version of the row")
    [known] = compare_results(first, results_of("b", x=SPREAD)).rows
    assert "unknown" not in known.sentence


def test_other_networks_or_no_pair_are_refused():
    with pytest.raises(ValueError, match="x: measured with other networks"):
        compare_results(results_of("a", x=SPREAD), results_of("b", "v2", x=SPREAD))
    with pytest.raises(ValueError, match="x: no clip in common"):
        compare_results(results_of("a", x=SPREAD), results_of("b", x=[None]))
