from dataclasses import replace

import pytest
import torch

from rufous.distillation.distribution_matching import (
    DistributionMatchingConfig,
    DistributionMatchingObjective,
)
from rufous.distillation.teaching import GuidanceRange
from tests.distillation.conftest import Remembering, denoiser, prompts

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


def answering(value: float):
    return replace(denoiser(), network=Answers(value), prediction_type="sample")


def objective(student=2.0, critic=2.0, teacher=5.0, config=CONFIG, **options):
    parts = (answering(student), answering(critic), answering(teacher))
    return DistributionMatchingObjective(*parts, EMPTY, config, **options)


def test_the_student_moves_from_the_critic_to_the_teacher(batch):
    made = objective(student=2.0, critic=2.0, teacher=5.0)
    made.loss(batch, generator())[0].backward()
    student = made.trainable["student"].value
    # the direction is (2 - 5) / |2 - 5| = -1 everywhere: descending it raises the answer
    assert student.grad.item() == pytest.approx(-1.0, rel=1e-3)


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


def test_the_critic_needs_a_network_of_its_own():
    one = answering(1.0)
    with pytest.raises(ValueError, match="of its own"):
        DistributionMatchingObjective(one, one, answering(1.0), EMPTY, CONFIG)
