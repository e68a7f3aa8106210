from dataclasses import replace

import pytest
import torch

from rufous.distillation.distribution_matching import (
    DistributionMatchingConfig,
    DistributionMatchingObjective,
)
from rufous.distillation.teaching import GuidanceRange
from tests.distillation.conftest import OTHER_SCHEDULE, Remembering, denoiser, prompts

EMPTY = prompts(-1.0)
CONFIG = DistributionMatchingConfig(guidance=GuidanceRange(1.0, 1.0), student_every=2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Answers(torch.nn.Module):
    """The same clean latents for every input."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(value))

    def forward(self, latents, timesteps, cond):
        return self.value.expand_as(latents)


class Echoes(torch.nn.Module):
    """The prompt's first number as clean latents."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def forward(self, latents, timesteps, cond):
        return cond.prompt_embeds[:, :1, :1, None, None].expand_as(latents)


def answering(value: float):
    return replace(denoiser(), network=Answers(value), prediction_type="sample")


def objective(student=2.0, critic=2.0, teacher=5.0, config=CONFIG, **options):
    parts = (answering(student), answering(critic), answering(teacher))
    return DistributionMatchingObjective(*parts, EMPTY, config, **options)


def test_the_student_moves_from_the_critic_to_the_teacher(batch):
    made = objective(student=2.0, critic=2.0, teacher=5.0)
    loss, metrics = made.loss(batch, generator())
    loss.backward()
    student = made.trainable["student"].value
    # the direction is (2 - 5) / |2 - 5| = -1 everywhere: descending it raises the answer
    assert student.grad.item() == pytest.approx(-1.0, rel=1e-3)
    of_a_clip = batch.latents[0].numel() ** 0.5 / batch.latents.numel()
    assert metrics["student_pull"].item() == pytest.approx(of_a_clip, rel=1e-3)


def test_the_gradient_at_scale_3_is_that_of_the_guided_teacher(batch):
    teacher = replace(denoiser(), network=Echoes(), prediction_type="sample")
    config = replace(CONFIG, guidance=GuidanceRange(3.0, 3.0))
    made = DistributionMatchingObjective(answering(2.0), answering(3.0), teacher, EMPTY, config)
    loss, metrics = made.loss(batch, generator())
    # prompts 1 and 2, the empty one -1: the teacher says -1 + 3 * 2 = 5 and -1 + 3 * 3 = 8, the critic 3, so
    # the directions are (3 - 5) / |2 - 5| = -2/3 and (3 - 8) / |2 - 8| = -5/6; without guidance 2/1 and 1/0
    loss.backward()
    assert made.trainable["student"].value.grad.item() == pytest.approx((-2 / 3 - 5 / 6) / 2, rel=1e-4)
    assert metrics["score_gap"].item() == pytest.approx((2 + 5) / 2, rel=1e-5)


def test_at_scale_1_the_teacher_makes_no_second_pass(batch):
    for scale, size in ((1.0, 2), (3.0, 4)):
        config = replace(CONFIG, guidance=GuidanceRange(scale, scale))
        teacher = denoiser()
        made = DistributionMatchingObjective(answering(2.0), answering(3.0), teacher, EMPTY, config)
        made.loss(batch, generator())
        assert [len(call.timesteps) for call in teacher.network.calls] == [size]


def test_student_and_critic_are_told_the_scale_and_the_teacher_is_guided_by_it(batch):
    parts = (denoiser(), denoiser(), denoiser())
    config = replace(CONFIG, guidance=GuidanceRange(2.0, 6.0, 8))
    DistributionMatchingObjective(*parts, EMPTY, config).loss(batch, generator())
    student, critic, teacher = ([call.cond.guidance_embeds for call in part.network.calls] for part in parts)
    assert len(critic) == 2  # its own loss, and the student's
    assert all(torch.equal(told, student[0]) for told in (*student, *critic))
    assert not torch.equal(student[0][0], student[0][1])
    assert teacher == [None]


def test_where_the_critic_agrees_with_the_teacher_the_student_stays(batch):
    made = objective(student=2.0, critic=5.0, teacher=5.0)
    loss, metrics = made.loss(batch, generator())
    assert metrics["score_gap"].item() == 0.0
    loss.backward()
    assert made.trainable["student"].value.grad.item() == pytest.approx(0.0, abs=1e-7)


def test_the_critic_learns_what_the_student_makes_and_nothing_flows_back(batch):
    made = objective(student=2.0, critic=0.0, teacher=0.0)
    loss, metrics = made.loss(batch, generator())
    assert metrics["critic"].item() == pytest.approx(4.0, rel=1e-3)
    loss.backward()
    assert made.trainable["critic"].value.grad.item() == pytest.approx(-4.0, rel=1e-3)
    # critic and teacher agree, so whatever reached the student would have come through the critic's loss
    assert made.trainable["student"].value.grad.item() == pytest.approx(0.0, abs=1e-7)


def test_the_student_moves_on_its_turns_only_and_the_count_is_saved(batch):
    made = objective()
    assert "student" in made.loss(batch, generator())[1]
    made.after_step()
    loss, metrics = made.loss(batch, generator())
    assert set(metrics) == {"critic"}
    loss.backward()
    assert made.trainable["student"].value.grad is None
    assert made.state_dict() == {"step": 1}
    again = objective()
    again.load_state_dict({"step": 2})
    assert "student" in again.loss(batch, generator())[1]


def test_every_process_calls_the_student_equally_often(batch):
    """Ranks draw noise of their own; a sharded network must all the same run as often on each."""

    def depths(seed: int, rank: int) -> list[int]:
        student, others, found = denoiser(), (answering(0.0), denoiser()), []
        made = DistributionMatchingObjective(student, *others, EMPTY, replace(CONFIG, seed=seed))
        source = generator(rank)
        for _ in range(8):
            for _ in range(2):
                student.network.calls.clear()
                made.loss(batch, source)
                found.append(len(student.network.calls))
            made.after_step()
        return found

    first = depths(seed=0, rank=0)
    assert first == depths(seed=0, rank=1)
    assert first != depths(seed=1, rank=0)
    assert set(first) == {1, 2, 3, 4}
    assert any(one != other for one, other in zip(first[::2], first[1::2], strict=True))  # batches of a step


def test_a_resumed_run_goes_on_with_the_same_depths(batch):
    student, found = denoiser(), []
    for start in (0, 3):
        made = DistributionMatchingObjective(student, answering(0.0), denoiser(), EMPTY, CONFIG)
        made.load_state_dict({"step": start})
        while made.state_dict()["step"] < 6:
            student.network.calls.clear()
            made.loss(batch, generator())
            found.append((made.state_dict()["step"], len(student.network.calls)))
            made.after_step()
    assert found[3:6] == found[6:]


def test_the_student_is_called_down_to_a_random_one_of_its_timesteps(batch):
    student, parts = denoiser(), (answering(0.0), denoiser())
    made = DistributionMatchingObjective(student, *parts, EMPTY, replace(CONFIG, student_every=1))
    depths = set()
    for seed in range(16):
        student.network.calls.clear()
        made.loss(batch, generator(seed))
        called = [float(call.timesteps[0]) for call in student.network.calls]
        assert called == list(CONFIG.timesteps[: len(called)])
        assert [call.training for call in student.network.calls] == [False] * (len(called) - 1) + [True]
        depths.add(len(called))
    assert depths == {1, 2, 3, 4}


def test_feedback_is_added_on_the_students_turns(batch):
    plain, fed = objective(), objective(feedback=Remembering(7.0))
    difference = fed.loss(batch, generator())[0] - plain.loss(batch, generator())[0]
    assert difference.item() == pytest.approx(7.0 * 2.0, rel=1e-3)
    fed.after_step()
    assert fed.state_dict() == {"step": 1, "feedback": {"calls": 1}}
    assert "reward" not in fed.loss(batch, generator())[1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"timesteps": (279.0, 999.0)}, "falling"),
        ({"score_range": (0.9, 0.1)}, "rising"),
        ({"student_every": 0}, "1 or more"),
    ],
)
def test_settings_that_mean_nothing_are_refused(change, says):
    with pytest.raises(ValueError, match=says):
        replace(CONFIG, **change)


def test_student_and_critic_of_another_schedule_are_refused():
    other = replace(answering(1.0), schedule=OTHER_SCHEDULE)
    with pytest.raises(ValueError, match="the student's schedule"):
        DistributionMatchingObjective(other, answering(1.0), answering(1.0), EMPTY, CONFIG)
    with pytest.raises(ValueError, match="the critic's schedule"):
        DistributionMatchingObjective(answering(1.0), other, answering(1.0), EMPTY, CONFIG)


def test_the_critic_needs_a_network_of_its_own():
    one = answering(1.0)
    with pytest.raises(ValueError, match="of its own"):
        DistributionMatchingObjective(one, one, answering(1.0), EMPTY, CONFIG)
