import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rufous.compression.blocks import outermost
from rufous.compression.budget import check_reachable, choose_blocks, meet_budget, parse_budget
from rufous.compression.calls import unet3d_call
from rufous.compression.footprint import Footprint, Scales, total_of
from tests.compression.conftest import TINY

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
    with pytest.raises(ValueError, match=r"leaves 550 of 1,000 parameters, .* no lower than 560 \(-44.0%\)"):
        check_reachable(parse_budget("-45%"), BEFORE, {"a": 440.0, "a.1": 400.0})
    with pytest.raises(ValueError, match="met already: the network has 2,000 bytes"):
        check_reachable(parse_budget("1GB"), BEFORE, {"a": 440.0})


def summed(importance: dict[str, float]):
    """The change of several blocks as the sum of single ones."""
    return lambda names: sum(importance[name] for name in names)


def test_the_cheapest_blocks_that_suffice_are_chosen():
    change = summed({"a": 1.0, "a.0": 0.1, "a.1": 0.3, "b": 0.35, "c": 0.2})
    assert choose_blocks(change, SAVINGS, 450.0) == {"a.0", "c"}  # 0.30, as much as b with a.1 at 0.65
    assert choose_blocks(change, SAVINGS, 150.0) == {"a.0"}
    assert choose_blocks(change, SAVINGS, 260.0) == {"a.0", "c"}  # 0.30 against b alone at 0.35


def test_a_whole_is_taken_when_it_costs_less_than_its_parts():
    change = summed({"a": 0.2, "a.0": 0.15, "a.1": 0.15, "b": 5.0, "c": 5.0})
    assert choose_blocks(change, SAVINGS, 400.0) == {"a"}


def test_a_whole_may_follow_its_parts():
    change = summed({"a": 0.3, "a.0": 0.05, "a.1": 0.4, "b": 3.0, "c": 3.0})
    assert choose_blocks(change, SAVINGS, 400.0) == {"a"}


def test_what_turns_out_needless_is_taken_back():
    assert choose_blocks(summed({"small": 0.1, "large": 1.0}), {"small": 50.0, "large": 300.0}, 300.0) == {
        "large"
    }


def test_of_two_blocks_that_do_the_same_one_stays_if_removals_are_measured_together():
    savings = {"twin_1": 100.0, "twin_2": 100.0, "other": 100.0}

    def change(names: frozenset[str]) -> float:
        return 10.0 * (names >= {"twin_1", "twin_2"}) + 0.5 * ("other" in names)

    alone = {name: change(frozenset({name})) for name in savings}
    assert choose_blocks(summed(alone), savings, 200.0) == {"twin_1", "twin_2"}
    assert choose_blocks(change, savings, 200.0) == {"other", "twin_1"}


blocks = st.dictionaries(
    st.sampled_from(["a", "a.0", "a.1", "a.1.x", "b", "b.0", "c", "d"]),
    st.tuples(st.floats(0.1, 40), st.integers(0, 50)),
    min_size=1,
)


@settings(max_examples=60, deadline=None)
@given(blocks=blocks, share=st.floats(0.05, 1.0))
def test_every_need_up_to_all_there_is_is_met_and_by_no_block_too_many(
    blocks: dict[str, tuple[float, int]], share: float
):
    own = {name: saving for name, (saving, _) in blocks.items()}
    savings = {n: sum(v for k, v in own.items() if k == n or k.startswith(f"{n}.")) for n in own}
    needed = share * total_of(savings, savings)
    found = choose_blocks(summed({name: value / 10 for name, (_, value) in blocks.items()}), savings, needed)
    assert outermost(found) == found
    assert total_of(savings, found) >= needed
    assert all(total_of(savings, found - {name}) < needed for name in found)


STAGES = ("input_blocks.2", "middle_block", "output_blocks.1")


@pytest.fixture
def clock(size, monkeypatch):
    """Scales on which a pass takes a second less ``saving`` for each stage that is gone."""

    def scales(saving: float) -> Scales:
        def latencies(networks, call, *, num_calls):
            return [1.0 - saving * len(network.config.removed_blocks) for network in networks]

        monkeypatch.setattr("rufous.compression.footprint.measure_latencies_s", latencies)
        return Scales(
            size=size, stored_dtype=torch.float32, example=unet3d_call(TINY, size), num_latency_calls=1
        )

    return scales


def test_a_student_is_weighed_itself_and_costs_no_more_than_the_budget(teacher, clock):
    scales, budget = clock(0.0), parse_budget("-20%")
    before = scales.count(TINY)
    savings = {
        name: float(sum(p.numel() for p in teacher.get_submodule(name).parameters())) for name in STAGES
    }
    change = summed(dict(zip(STAGES, (0.1, 5.0, 0.2), strict=True)))
    student, _, after = meet_budget(teacher, budget, before, savings, change, scales=scales)
    assert after.parameters == sum(parameter.numel() for parameter in student.parameters())
    assert after.parameters <= 0.8 * before.parameters


def test_more_goes_until_the_measured_time_is_met(teacher, clock):
    scales, budget = clock(0.15), parse_budget("1.4x")  # 0.714 s: two stages, one by their own times
    change = summed({"input_blocks.2": 0.2, "middle_block": 0.1, "output_blocks.1": 0.3})
    savings = dict.fromkeys(STAGES, 0.3)
    student, _, after = meet_budget(teacher, budget, scales.weigh(teacher)[0], savings, change, scales=scales)
    assert student.config.removed_blocks == {"middle_block", "input_blocks.2"}
    assert after.latency_s == pytest.approx(0.7)


def test_all_is_tried_before_a_time_is_refused_with_the_best_that_was_measured(teacher, clock):
    scales, change, savings = clock(0.1), summed(dict.fromkeys(STAGES, 0.2)), dict.fromkeys(STAGES, 0.3)
    before = scales.weigh(teacher)[0]
    student, *_ = meet_budget(teacher, parse_budget("1.42x"), before, savings, change, scales=scales)
    assert student.config.removed_blocks == set(STAGES)
    with pytest.raises(
        ValueError, match=r"'2x' cannot be reached: .* of 1 seconds of a pass, .* lower than 0.7 \(-30.0%\)"
    ):
        meet_budget(teacher, parse_budget("2x"), before, savings, change, scales=scales)
