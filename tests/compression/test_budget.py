import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rufous.compression.blocks import outermost
from rufous.compression.budget import check_reachable, choose_blocks, choose_one_by_one, parse_budget
from rufous.compression.footprint import Footprint

BEFORE = Footprint(parameters=1000, size_bytes=2000, flop=1.0, latency_s=0.5)
SAVINGS = {"a": 400.0, "a.0": 250.0, "a.1": 150.0, "b": 300.0, "c": 200.0}


@pytest.mark.parametrize(
    ("text", "measure", "most"),
    [
        ("-45%", "parameters", 550.0),
        (" - 12.5 % ", "parameters", 875.0),
        ("1.6GB", "size_bytes", 1.6e9),
        ("800 mb", "size_bytes", 8e8),
        ("1GiB", "size_bytes", 2.0**30),
        ("2x", "latency_s", 0.25),
        ("1.25 X", "latency_s", 0.4),
    ],
)
def test_budgets_are_read(text, measure, most):
    budget = parse_budget(text)
    assert budget.measure == measure
    assert budget.most(BEFORE) == pytest.approx(most)


@pytest.mark.parametrize(
    "text", ["", "45%", "-100%", "-0%", "half", "1x", "0.5x", "-2x", "1.6", "1.6TB", "-1GB", "0MB"]
)
def test_what_is_no_budget_is_refused_with_the_three_forms(text):
    with pytest.raises(ValueError, match=r"'-45%' \(parameters\), '1.6GB' \(bytes .* or '2x'"):
        parse_budget(text)


def test_a_budget_that_is_met_or_out_of_reach_is_refused_with_the_numbers():
    check_reachable(parse_budget("-45%"), BEFORE, {"a": 450.0, "a.1": 400.0})
    with pytest.raises(ValueError, match=r"leaves 550 of 1,000 parameters, and 560 \(-44.0%\) stay"):
        check_reachable(parse_budget("-45%"), BEFORE, {"a": 440.0, "a.1": 400.0})
    with pytest.raises(ValueError, match="met already: the network has 2,000 bytes"):
        check_reachable(parse_budget("1GB"), BEFORE, {"a": 440.0})


def test_the_cheapest_blocks_that_suffice_are_chosen():
    importance = {"a": 1.0, "a.0": 0.1, "a.1": 0.3, "b": 0.35, "c": 0.2}
    assert choose_blocks(importance, SAVINGS, 450.0) == {"a.0", "c"}  # 0.30, as much as b with a.1 at 0.65
    assert choose_blocks(importance, SAVINGS, 150.0) == {"a.0"}
    assert choose_blocks(importance, SAVINGS, 260.0) == {"a.0", "c"}  # 0.30 against b alone at 0.35


def test_a_whole_is_taken_when_it_costs_less_than_its_parts():
    importance = {"a": 0.2, "a.0": 0.15, "a.1": 0.15, "b": 5.0, "c": 5.0}
    assert choose_blocks(importance, SAVINGS, 400.0) == {"a"}


def test_all_there_is_can_be_asked_for_and_no_more():
    importance = dict.fromkeys(SAVINGS, 1.0)
    assert choose_blocks(importance, SAVINGS, 900.0) == {"a", "b", "c"}
    with pytest.raises(ValueError, match="more than all 5 blocks save together, 900"):
        choose_blocks(importance, SAVINGS, 900.1)


blocks = st.dictionaries(
    st.sampled_from(["a", "a.0", "a.1", "a.1.x", "b", "b.0", "c", "d"]),
    st.tuples(st.integers(1, 40), st.integers(0, 50)),
    min_size=1,
)


@settings(max_examples=60, deadline=None)
@given(blocks=blocks, share=st.floats(0.05, 1.0))
def test_no_choice_is_better_than_the_one_found(blocks: dict[str, tuple[int, int]], share: float):
    own = {name: saving for name, (saving, _) in blocks.items()}
    savings = {n: float(sum(v for k, v in own.items() if k == n or k.startswith(f"{n}."))) for n in own}
    importance = {name: value / 10 for name, (_, value) in blocks.items()}
    needed = share * sum(savings[name] for name in outermost(savings))
    found = choose_blocks(importance, savings, needed)
    subsets = (s for r in range(len(blocks) + 1) for s in itertools.combinations(blocks, r))
    legal = [s for s in subsets if outermost(s) == set(s) and sum(savings[n] for n in s) >= needed]
    assert outermost(found) == found
    assert sum(savings[name] for name in found) >= needed
    assert sum(importance[n] for n in found) == pytest.approx(
        min(sum(importance[n] for n in s) for s in legal)
    )


def test_measured_one_by_one_twins_do_not_both_go():
    """Either of two blocks that do the same is worth nothing as long as the other is there."""
    savings = {"twin_1": 100.0, "twin_2": 100.0, "other": 100.0}

    def change(names: frozenset[str]) -> float:
        return 10.0 * (names >= {"twin_1", "twin_2"}) + 0.5 * ("other" in names)

    alone = {name: change(frozenset({name})) for name in savings}
    assert choose_blocks(alone, savings, 200.0) == {"twin_1", "twin_2"}
    assert choose_one_by_one(change, savings, 200.0) == {"other", "twin_1"}


def test_measured_one_by_one_a_whole_may_follow_its_parts():
    values = {"a": 0.3, "a.0": 0.05, "a.1": 0.4, "b": 3.0, "c": 3.0}
    chosen = choose_one_by_one(lambda names: sum(values[name] for name in names), SAVINGS, 400.0)
    assert chosen == {"a"}


def test_what_turns_out_needless_is_taken_back():
    values = {"small": 0.1, "large": 1.0}
    chosen = choose_one_by_one(
        lambda names: sum(values[name] for name in names), {"small": 50.0, "large": 300.0}, 300.0
    )
    assert chosen == {"large"}
