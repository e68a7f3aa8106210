from dataclasses import replace

import pytest
import torch

from rufous.distillation.consistency import ConsistencyConfig, ConsistencyObjective
from rufous.distillation.teaching import GuidanceRange
from tests.distillation.conftest import OTHER_SCHEDULE, SCHEDULE, Remembering, denoiser, prompts

EMPTY = prompts(-1.0)
ONE_SCALE = ConsistencyConfig(guidance=GuidanceRange(3.0, 3.0))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Certain(torch.nn.Module):
    """The same clean latents whatever it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = torch.nn.Parameter(torch.tensor(0.7))

    def forward(self, latents, timesteps, cond):
        return self.answer.expand_as(latents)


def certain():
    return replace(denoiser(), network=Certain(), prediction_type="sample")


def test_a_student_that_answers_the_same_everywhere_is_consistent(batch):
    for target in ("student", "ema"):
        objective = ConsistencyObjective(
            certain(), denoiser(), EMPTY, replace(ONE_SCALE, target=target, num_points=5)
        )
        # with points 200 apart no nearer point but the first is on the boundary, where the answer is x itself
        losses = [objective.loss(batch, generator(seed))[0].item() for seed in range(6)]
        assert min(losses) == pytest.approx(0.0, abs=1e-6)
        assert len([loss for loss in losses if loss < 1e-6]) >= 2


def test_another_student_is_not(batch):
    objective = ConsistencyObjective(denoiser(0.3), denoiser(), EMPTY, ONE_SCALE)
    assert objective.loss(batch, generator())[0].item() > 1e-3


def test_the_target_runs_in_eval_mode_and_the_student_in_train_mode(batch):
    student = denoiser()
    student.network.train()
    objective = ConsistencyObjective(student, denoiser(), EMPTY, replace(ONE_SCALE, target="student"))
    objective.loss(batch, generator())
    assert [call.training for call in student.network.calls] == [True, False]
    assert student.network.training


def test_the_nearer_point_is_one_grid_step_below(batch):
    student = denoiser()
    objective = ConsistencyObjective(student, denoiser(), EMPTY, replace(ONE_SCALE, target="student"))
    objective.loss(batch, generator(3))
    now, before = (call.timesteps for call in student.network.calls)
    assert torch.equal(before, (now - 20).clamp(min=0))
    assert all(float(t + 1) % 20 == 0 for t in now)


def test_the_nearer_point_is_the_teachers_ddim_step_at_scale_3(batch):
    student, teacher = denoiser(0.3), denoiser(0.5)
    config = replace(ONE_SCALE, target="student")
    ConsistencyObjective(student, teacher, EMPTY, config).loss(batch, generator(3))
    now, before = student.network.calls
    x = now.latents
    # v of the teacher: 0.5 x + prompt; prompts 1 and 2 and the empty -1, so -1 + 3 * 2 = 5 and -1 + 3 * 3 = 8
    v = 0.5 * x + torch.tensor([5.0, 8.0]).reshape(2, 1, 1, 1, 1)
    alpha, sigma, alpha_before, sigma_before = (
        value.reshape(2, 1, 1, 1, 1)
        for call in (now, before)
        for value in (SCHEDULE.alpha(call.timesteps), SCHEDULE.sigma(call.timesteps))
    )
    x0, epsilon = alpha * x - sigma * v, sigma * x + alpha * v
    torch.testing.assert_close(before.latents, alpha_before * x0 + sigma_before * epsilon)


def test_at_scale_1_the_teacher_makes_no_second_pass(batch):
    for scale, size in ((1.0, 2), (3.0, 4)):
        teacher = denoiser()
        config = replace(ONE_SCALE, guidance=GuidanceRange(scale, scale))
        ConsistencyObjective(denoiser(), teacher, EMPTY, config).loss(batch, generator())
        assert [len(call.timesteps) for call in teacher.network.calls] == [size]


def test_the_target_is_spread_like_the_student(batch):
    objective = ConsistencyObjective(denoiser(), denoiser(), EMPTY, replace(ONE_SCALE, target="ema"))
    assert list(objective.networks) == ["student", "target"]
    assert objective.networks["student"] is objective.trainable
    assert objective.networks["target"].scale is not objective.trainable.scale
    objective.networks["target"].scale.fill_(9.0)
    assert objective.state_dict()["target"]["scale"].item() == 9.0
    current = ConsistencyObjective(denoiser(), denoiser(), EMPTY, replace(ONE_SCALE, target="student"))
    assert list(current.networks) == ["student"]


def test_a_student_of_another_schedule_is_refused():
    with pytest.raises(ValueError, match=r"the student's schedule is .*noise_shift=3\.0"):
        ConsistencyObjective(replace(denoiser(), schedule=OTHER_SCHEDULE), denoiser(), EMPTY, ONE_SCALE)


def test_the_averaged_target_follows_the_student_and_is_saved(batch):
    student = denoiser(0.0)
    config = replace(ONE_SCALE, target="ema", target_decay=0.75)
    objective = ConsistencyObjective(student, denoiser(), EMPTY, config)
    with torch.no_grad():
        student.network.scale.fill_(1.0)
    objective.after_step()
    state = objective.state_dict()
    assert state["target"]["scale"].item() == pytest.approx(0.25)
    fresh = ConsistencyObjective(denoiser(0.0), denoiser(), EMPTY, config)
    fresh.load_state_dict(state)
    assert fresh.state_dict()["target"]["scale"].item() == pytest.approx(0.25)
    current = ConsistencyObjective(student, denoiser(), EMPTY, replace(config, target="student"))
    assert current.state_dict() == {}


def test_a_student_that_reads_the_scale_is_told_it(batch):
    student = denoiser()
    config = ConsistencyConfig(guidance=GuidanceRange(2.0, 4.0, 8), target="student")
    ConsistencyObjective(student, denoiser(), EMPTY, config).loss(batch, generator())
    now, before = (call.cond.guidance_embeds for call in student.network.calls)
    assert now.shape == (2, 8)
    assert torch.equal(now, before)


def test_feedback_sees_the_clean_estimate_and_is_added(batch):
    feedback = Remembering(10.0)
    student = certain()
    plain = ConsistencyObjective(certain(), denoiser(), EMPTY, ONE_SCALE)
    fed = ConsistencyObjective(student, denoiser(), EMPTY, ONE_SCALE, feedback=feedback)
    loss, metrics = fed.loss(batch, generator())
    assert metrics["reward"] == 1.0
    assert feedback.seen[0].shape == batch.latents.shape
    expected = plain.loss(batch, generator())[0].item() + 10.0 * feedback.seen[0].mean().item()
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert student.network.answer.grad.item() == pytest.approx(10.0, rel=0.1)
    assert fed.state_dict()["feedback"] == {"calls": 1}
    fed.load_state_dict({**fed.state_dict(), "feedback": {"calls": 5}})
    assert fed.state_dict()["feedback"] == {"calls": 5}


def test_only_the_student_gets_gradients(batch):
    student, teacher = denoiser(0.3), denoiser()
    objective = ConsistencyObjective(student, teacher, EMPTY, ONE_SCALE)
    objective.loss(batch, generator())[0].backward()
    assert student.network.scale.grad is not None
    assert teacher.network.scale.grad is None
