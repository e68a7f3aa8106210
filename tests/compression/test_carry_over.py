from dataclasses import replace

import pytest
import torch

from rufous.checkpoints.kinds import shapes_of
from rufous.compression.blocks import without_blocks
from rufous.compression.carry_over import carry_over, paired_stages, plan_carry_over
from rufous.core.errors import ConfigError
from rufous.networks.unet3d import UNET_0_7B, UNET_0_9B, VIDEOCRAFTER2, Removed
from tests.compression.conftest import TINY

# specs of the released students: student's number to teacher's number
PUBLISHED_INPUTS = {0: 0, 1: 1, 2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10}
PUBLISHED_OUTPUTS = {0: 1, 1: 2, 2: 4, 3: 5, 4: 6, 5: 8, 6: 9, 7: 11}
DROPPED_STAGES = (
    *(f"input_blocks.{i}" for i in (2, 5, 8, 11)),
    *(f"output_blocks.{i}" for i in (0, 3, 7, 10)),
)


@pytest.mark.parametrize(
    ("student", "middle", "tensors"), [(UNET_0_9B, (), 956), (UNET_0_7B, ("middle_block",), 852)]
)
def test_the_map_found_for_hummingbird_is_the_published_one(student, middle, tensors):
    plan = plan_carry_over(VIDEOCRAFTER2, student)
    assert plan.stages == {
        **{f"input_blocks.{ours}": f"input_blocks.{theirs}" for ours, theirs in PUBLISHED_INPUTS.items()},
        **{f"output_blocks.{ours}": f"output_blocks.{theirs}" for ours, theirs in PUBLISHED_OUTPUTS.items()},
        **({} if middle else {"middle_block": "middle_block"}),
    }
    assert sorted(plan.removed) == sorted((*DROPPED_STAGES, *middle))
    given, wanted = shapes_of(VIDEOCRAFTER2), shapes_of(student)
    assert plan.tensors.keys() == wanted.keys()
    assert len(plan.tensors) == tensors
    assert all(wanted[name] == given[source] for name, source in plan.tensors.items())
    assert len(set(plan.tensors.values())) + len(plan.dropped) == len(given)


def test_removed_blocks_leave_every_other_name_as_it_is():
    student = without_blocks(TINY, ["output_blocks.1", "input_blocks.5.2"])
    plan = plan_carry_over(TINY, student)
    assert all(name == source for name, source in plan.tensors.items())
    assert plan.removed == ("input_blocks.5.2", "output_blocks.1")
    assert "output_blocks.1" not in plan.stages


def test_the_students_weights_are_the_teachers_tensors(teacher):
    student = carry_over(teacher, replace(TINY, num_res_blocks=1))
    plan = plan_carry_over(TINY, student.config)
    theirs = teacher.state_dict()
    for name, tensor in student.state_dict().items():
        assert tensor.data_ptr() == theirs[plan.tensors[name]].data_ptr(), name
    assert not student.training


@pytest.mark.parametrize(
    "name", ["middle_block", "middle_block.3", "input_blocks.2", "output_blocks.3.0.temopral_conv"]
)
def test_without_a_block_the_student_computes_what_the_teacher_would_if_it_were_skipped(name, teacher, calls):
    student = carry_over(teacher, without_blocks(TINY, [name]))
    before = calls[0].of(teacher)
    skipped = teacher.get_submodule(name)
    skipped.forward = Removed().forward
    # close, not equal: the student holds fewer gradients, and attention takes another road for each
    torch.testing.assert_close(calls[0].of(student), calls[0].of(teacher), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(before, calls[0].of(teacher), atol=1e-4)


def named(network: torch.nn.Module, module: torch.nn.Module) -> str:
    return next(name for name, each in network.named_modules() if each is module)


def names_of(student: torch.nn.Module, teacher: torch.nn.Module) -> dict[str, str]:
    return {named(student, mine): named(teacher, its) for mine, its in paired_stages(student, teacher)}


def test_stages_that_keep_their_names_are_paired_by_them(teacher):
    gone = ("input_blocks.2", "output_blocks.1")
    stages = [f"input_blocks.{i}" for i in range(len(teacher.input_blocks))]
    stages += ["middle_block", *(f"output_blocks.{i}" for i in range(len(teacher.output_blocks)))]
    found = names_of(carry_over(teacher, without_blocks(TINY, [*gone, "middle_block.1"])), teacher)
    assert found == {name: name for name in stages if name not in gone}


def test_stages_that_are_numbered_anew_are_paired_with_those_they_came_from(teacher):
    student = carry_over(teacher, replace(TINY, num_res_blocks=1, removed_blocks=frozenset({"middle_block"})))
    assert names_of(student, teacher) == {
        **{"input_blocks.0": "input_blocks.0", "input_blocks.1": "input_blocks.1"},
        **{"input_blocks.2": "input_blocks.3", "input_blocks.3": "input_blocks.4"},
        **{"output_blocks.0": "output_blocks.1", "output_blocks.1": "output_blocks.2"},
        **{"output_blocks.2": "output_blocks.3", "output_blocks.3": "output_blocks.5"},
    }


def test_a_stage_that_one_of_the_two_does_not_run_is_in_no_pair(teacher):
    parts = frozenset(f"middle_block.{i}" for i in range(4))
    hollow = carry_over(teacher, replace(TINY, removed_blocks=parts))  # stands there, and does nothing
    assert len(hollow.middle_block) == 4
    assert "middle_block" not in names_of(hollow, teacher)
    without = carry_over(teacher, without_blocks(TINY, ["middle_block"]))
    assert "middle_block" not in names_of(without, without)
    assert names_of(teacher, teacher)["middle_block"] == "middle_block"


def test_a_pruned_network_can_be_pruned_on(teacher, calls):
    first = carry_over(teacher, without_blocks(TINY, ["middle_block.1"]))
    second = carry_over(first, without_blocks(first.config, ["middle_block", "output_blocks.1"]))
    at_once = carry_over(teacher, without_blocks(TINY, ["middle_block", "output_blocks.1"]))
    assert torch.equal(calls[0].of(second), calls[0].of(at_once))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_channels": 16}, "model_channels=16, the teacher 8: pruning changes nothing but"),
        ({"num_head_channels": 4}, "num_head_channels=4"),  # same shapes, another meaning
        ({"num_res_blocks": 3}, "no counterpart in the teacher: input_blocks has 8"),
    ],
)
def test_a_student_that_is_no_part_of_the_teacher_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        plan_carry_over(TINY, replace(TINY, **change))


def test_a_student_cannot_have_what_its_teacher_has_lost():
    pruned = without_blocks(TINY, ["middle_block.1"])
    with pytest.raises(
        ConfigError, match=r"26 tensors that no tensor of the teacher fits \(middle_block.1.norm"
    ):
        plan_carry_over(pruned, TINY)
