from dataclasses import dataclass, replace

import pytest
import torch

from rufous.compression.budget import parse_budget
from rufous.compression.calls import unet3d_call
from rufous.compression.footprint import Footprint, Scales
from rufous.compression.search import Measured, meet_budget
from rufous.compression.sensitivity import output_changes
from tests.compression.conftest import TINY

NAMES = ("input_blocks.2", "middle_block", "output_blocks.1")


@dataclass(frozen=True, kw_only=True)
class SlowScales(Scales):
    """A clock on which each removal saves the same."""

    saving: float

    def weigh(self, *networks: torch.nn.Module) -> list[Footprint]:
        times = [1.0 - self.saving * len(network.config.removed_blocks) for network in networks]
        counted = [self.count(network.config) for network in networks]
        return [replace(one, latency_s=time) for one, time in zip(counted, times, strict=True)]


def scales(size, saving: float) -> SlowScales:
    return SlowScales(
        size=size,
        stored_dtype=torch.float32,
        example=unet3d_call(TINY, size),
        num_latency_calls=1,
        saving=saving,
    )


def test_importance_is_output_change_or_else_influence_and_never_negative():
    assert Measured(changes={"a": -0.1}, influences={"a": 2.0}).importance == {"a": 0.0}
    assert Measured(influences={"a": 2.0}).importance == {"a": 2.0}


def test_more_goes_until_the_measured_time_is_met(teacher, size):
    clock, budget = (
        scales(size, saving=0.15),
        parse_budget("1.4x"),
    )  # 0.714 s: two blocks, one by their own times
    measured = Measured(influences={"input_blocks.2": 0.2, "middle_block": 0.1, "output_blocks.1": 0.3})
    savings = dict.fromkeys(NAMES, 0.3)
    student, _, after = meet_budget(teacher, budget, clock.weigh(teacher)[0], savings, measured, scales=clock)
    assert student.config.removed_blocks == {"middle_block", "input_blocks.2"}
    assert after.latency_s == pytest.approx(0.7)


def test_a_time_that_is_never_met_is_refused_with_the_best_that_was(teacher, size):
    clock, budget = scales(size, saving=0.1), parse_budget("2x")
    measured = Measured(influences=dict.fromkeys(NAMES, 0.2))
    with pytest.raises(ValueError, match=r"'2x' cannot be reached: the least seconds of a pass .* are 70.0%"):
        meet_budget(
            teacher, budget, clock.weigh(teacher)[0], dict.fromkeys(NAMES, 0.3), measured, scales=clock
        )


def test_measuring_anew_meets_the_budget_too(teacher, size, calls):
    clock, budget = scales(size, saving=0.0), parse_budget("-20%")
    before = clock.weigh(teacher)[0]
    measured = Measured(calls=calls, changes=output_changes(teacher, NAMES, calls))
    savings = {
        name: float(sum(p.numel() for p in teacher.get_submodule(name).parameters())) for name in NAMES
    }
    student, _, after = meet_budget(teacher, budget, before, savings, measured, scales=clock, remeasure=True)
    assert after.parameters <= 0.8 * before.parameters
    assert after.parameters == sum(parameter.numel() for parameter in student.parameters())


def test_a_stage_whose_every_part_goes_is_named_itself(teacher, size):
    clock, names = scales(size, saving=0.0), [f"middle_block.{i}" for i in range(4)]
    savings = {
        name: float(sum(p.numel() for p in teacher.get_submodule(name).parameters())) for name in names
    }
    before, measured = clock.weigh(teacher)[0], Measured(influences=dict.fromkeys(names, 0.1))
    budget = parse_budget(f"-{99.9 * sum(savings.values()) / before.parameters}%")
    student, *_ = meet_budget(teacher, budget, before, savings, measured, scales=clock)
    assert student.config.removed_blocks == {"middle_block"}
