from dataclasses import replace

import pytest
import torch
from torch import nn

from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.guidance import embed_guidance_scale
from rufous.diffusion.schedules import make_schedule
from rufous.distillation.teaching import (
    BlockFeatures,
    GuidanceRange,
    check_schedule,
    frozen,
    in_eval_mode,
    network_of,
)
from tests.distillation.conftest import OTHER_SCHEDULE, SCHEDULE, denoiser, prompts


def test_a_frozen_teacher_neither_drops_nor_learns():
    teacher = frozen(denoiser())
    assert not teacher.network.training
    assert not any(parameter.requires_grad for parameter in teacher.network.parameters())


def test_a_plain_function_has_nothing_to_train():
    function = Denoiser(lambda latents, timesteps, cond: latents, SCHEDULE, "v_prediction")
    with pytest.raises(ValueError, match="student's network is no"):
        network_of(function, "student")


def test_scales_are_drawn_evenly_between_the_ends():
    drawn = GuidanceRange(2.0, 6.0, 8).draw(4000, torch.Generator().manual_seed(0))
    assert drawn.min() >= 2.0
    assert drawn.max() <= 6.0
    assert float(drawn.mean()) == pytest.approx(4.0, abs=0.1)
    assert GuidanceRange(3.0, 3.0).draw(2, torch.Generator()).tolist() == [3.0, 3.0]


def test_the_student_is_told_the_weight_below_the_scale():
    cond = GuidanceRange(2.0, 6.0, 8).told(Conditioning(), torch.tensor([3.0]))
    assert torch.equal(cond.guidance_embeds, embed_guidance_scale(torch.tensor([2.0]), 8))
    assert GuidanceRange(3.0, 3.0).told(Conditioning(), torch.tensor([3.0])).guidance_embeds is None


def test_one_scale_of_1_is_the_plain_output_in_one_pass():
    teacher, latents, at = denoiser(0.5), torch.ones(2, 4, 1, 2, 2), torch.full((2,), 9.0)
    cond, empty = prompts(1.0, 2.0), prompts(-1.0)
    plain = GuidanceRange(1.0, 1.0).output_of(teacher, latents, at, cond, empty, torch.ones(2))
    assert plain[:, 0, 0, 0, 0].tolist() == [1.5, 2.5]
    guided = GuidanceRange(1.0, 3.0, 8).output_of(teacher, latents, at, cond, empty, torch.tensor([1.0, 3.0]))
    assert guided[:, 0, 0, 0, 0].tolist() == [1.5, 8.5]  # -0.5 + 3 * (2.5 + 0.5)
    assert [len(call.latents) for call in teacher.network.calls] == [2, 4]


def test_schedules_are_compared_by_what_they_say():
    same = replace(denoiser(), schedule=make_schedule(SCHEDULE.config))
    check_schedule(same, denoiser())
    with pytest.raises(ValueError, match=r"the critic's schedule is .*noise_shift=3\.0.* must be equal"):
        check_schedule(replace(denoiser(), schedule=OTHER_SCHEDULE), denoiser(), "critic")


@pytest.mark.parametrize(("ends", "says"), [((5.0, 2.0), "lower one"), ((2.0, 5.0), "is told the scale")])
def test_ranges_that_mean_nothing_are_refused(ends, says):
    with pytest.raises(ValueError, match=says):
        GuidanceRange(*ends)


def test_blocks_are_compared_relative_to_the_teacher():
    student, teacher = nn.Identity(), nn.Identity()
    features = BlockFeatures([(student, teacher)])
    with features.catching():
        student(torch.full((2, 3), 1.0))
        teacher(torch.cat([torch.full((2, 3), 2.0), torch.full((2, 3), 9.0)]))  # guided: twice the samples
        assert features.loss().item() == pytest.approx(1.0 / 4.0)


def test_blocks_outside_are_not_kept_and_missing_or_unequal_ones_are_named():
    student, teacher = nn.Identity(), nn.Identity()
    features = BlockFeatures([(student, teacher)])
    student(torch.ones(1))
    with features.catching(), pytest.raises(ValueError, match="did not run"):
        features.loss()
    with features.catching():
        student(torch.ones(1, 2))
        teacher(torch.ones(1, 3))
        with pytest.raises(ValueError, match="equal width"):
            features.loss()


def test_a_target_pass_has_no_dropout_and_no_gradient_and_leaves_the_mode():
    module = nn.Dropout(0.5).train()
    with in_eval_mode(module):
        assert not module.training
        assert not torch.is_grad_enabled()
    assert module.training
    assert torch.is_grad_enabled()
