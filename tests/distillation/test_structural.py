from dataclasses import replace

import pytest
import torch

from rufous.diffusion.timesteps import draw_timesteps
from rufous.distillation.structural import StructuralConfig, StructuralObjective
from rufous.distillation.teaching import GuidanceRange
from tests.distillation.conftest import OTHER_SCHEDULE, SCHEDULE, denoiser, prompts

EMPTY = prompts(-1.0)
PLAIN = StructuralConfig(guidance=GuidanceRange(1.0, 1.0))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_student_like_its_teacher_has_no_loss(batch):
    loss, _ = StructuralObjective(denoiser(), denoiser(), EMPTY, PLAIN).loss(batch, generator())
    assert loss.item() == 0.0


def test_the_target_is_the_guided_output(batch):
    # the networks add their prompt: guided = empty + g (prompt - empty), a constant off the plain output
    config = StructuralConfig(guidance=GuidanceRange(3.0, 3.0))
    loss, _ = StructuralObjective(denoiser(), denoiser(), EMPTY, config).loss(batch, generator())
    off = torch.tensor([2.0 * (1.0 + 1.0), 2.0 * (2.0 + 1.0)])
    assert loss.item() == pytest.approx(float(off.square().mean()), rel=1e-4)


def test_both_halves_of_guidance_have_the_same_fps(batch):
    teacher = denoiser()
    config = StructuralConfig(guidance=GuidanceRange(3.0, 3.0))
    StructuralObjective(denoiser(), teacher, EMPTY, config).loss(batch, generator())
    assert teacher.network.calls[0].cond.fps.tolist() == [1.0, 2.0, 1.0, 2.0]
    assert teacher.network.calls[0].cond.prompt_embeds[:, 0, 0].tolist() == [1.0, 2.0, -1.0, -1.0]


def test_only_the_student_learns_and_is_saved(batch):
    student, teacher = denoiser(0.2), denoiser()
    objective = StructuralObjective(student, teacher, EMPTY, PLAIN)
    loss, _ = objective.loss(batch, generator())
    loss.backward()
    assert student.network.scale.grad is not None
    assert teacher.network.scale.grad is None
    assert not teacher.network.calls[0].training
    assert objective.trainable is student.network
    assert objective.state_dict() == {}


def test_steps_bring_the_student_to_the_teacher(batch):
    student = denoiser(0.1)
    objective = StructuralObjective(student, denoiser(), EMPTY, PLAIN)
    optimizer = torch.optim.SGD(student.network.parameters(), lr=0.3)
    for step in range(30):
        loss, _ = objective.loss(batch, generator(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert student.network.scale.item() == pytest.approx(0.5, abs=1e-3)


def test_the_truth_term_is_the_plain_diffusion_loss(batch):
    config = replace(PLAIN, output_weight=0.0, truth_weight=1.0)
    mine, _ = StructuralObjective(denoiser(0.2), denoiser(), EMPTY, config).loss(batch, generator())
    # the draws of a step: timesteps, then scales, then noise
    source, plain = generator(), denoiser(0.2)
    timesteps = draw_timesteps(SCHEDULE, len(batch), source)
    PLAIN.guidance.draw(len(batch), source)
    noise = torch.randn(batch.latents.shape, generator=source)
    noisy = plain.add_noise(batch.latents, noise, timesteps)
    target = plain.target(batch.latents, noise, timesteps)
    error = (plain.output(noisy, timesteps, batch.cond) - target).detach().square().mean()
    assert mine.item() == pytest.approx(error.item(), rel=1e-5)


def test_the_feature_term_compares_the_given_blocks(batch):
    student, teacher = denoiser(0.25), denoiser(0.5)
    config = replace(PLAIN, output_weight=0.0, feature_weight=1.0)
    blocks = [(student.network.block, teacher.network.block)]
    loss, terms = StructuralObjective(student, teacher, EMPTY, config, blocks=blocks).loss(batch, generator())
    assert loss.item() == pytest.approx(0.25, rel=1e-4)  # half the output: a quarter of its mean square
    assert set(terms) == {"feature", "output"}


def test_the_ode_term_vanishes_for_a_student_whose_clean_estimate_never_changes(batch):
    class Certain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.answer = torch.nn.Parameter(torch.tensor(0.7))

        def forward(self, latents, timesteps, cond):
            return self.answer.expand_as(latents)

    config = replace(PLAIN, output_weight=0.0, ode_weight=1.0)
    sure = replace(denoiser(), network=Certain(), prediction_type="sample")
    teacher = replace(denoiser(0.3), prediction_type="sample")
    loss, _ = StructuralObjective(sure, teacher, EMPTY, config).loss(batch, generator())
    assert loss.item() == pytest.approx(0.0, abs=1e-10)
    unsure = replace(denoiser(0.3), prediction_type="sample")
    assert StructuralObjective(unsure, teacher, EMPTY, config).loss(batch, generator())[0].item() > 1e-4


def test_the_ode_term_looks_one_guided_teacher_step_further(batch):
    student, teacher = denoiser(0.3), denoiser(0.5)
    config = replace(PLAIN, output_weight=0.0, ode_weight=1.0, guidance=GuidanceRange(3.0, 3.0))
    loss, _ = StructuralObjective(student, teacher, EMPTY, config).loss(batch, generator(3))
    now, before = student.network.calls
    assert torch.equal(before.timesteps, (now.timesteps - config.ode_skip).clamp(min=0.0))
    alpha, sigma, alpha_before, sigma_before = (
        value.reshape(2, 1, 1, 1, 1)
        for call in (now, before)
        for value in (SCHEDULE.alpha(call.timesteps), SCHEDULE.sigma(call.timesteps))
    )
    # v of the teacher: 0.5 x + prompt; prompts 1 and 2 and the empty -1, so -1 + 3 * 2 = 5 and -1 + 3 * 3 = 8
    prompt, guided = (torch.tensor(pair).reshape(2, 1, 1, 1, 1) for pair in ([1.0, 2.0], [5.0, 8.0]))
    v = 0.5 * now.latents + guided
    x0, epsilon = alpha * now.latents - sigma * v, sigma * now.latents + alpha * v
    torch.testing.assert_close(before.latents, alpha_before * x0 + sigma_before * epsilon)
    mine = alpha * now.latents - sigma * (0.3 * now.latents + prompt)
    goal = alpha_before * before.latents - sigma_before * (0.3 * before.latents + prompt)
    assert loss.item() == pytest.approx((mine - goal).square().mean().item(), rel=1e-5)


def test_the_loss_and_its_gradient_are_the_weighted_sums_of_those_of_the_terms(batch):
    weights = {"output_weight": 0.7, "truth_weight": 1.3, "feature_weight": 0.5, "ode_weight": 2.0}

    def found(**chosen: float) -> tuple[float, float]:
        student, teacher = denoiser(0.2), denoiser(0.5)
        terms = {**dict.fromkeys(weights, 0.0), **chosen}
        config = StructuralConfig(guidance=GuidanceRange(3.0, 3.0), **terms)
        blocks = [(student.network.block, teacher.network.block)]
        loss, _ = StructuralObjective(student, teacher, EMPTY, config, blocks=blocks).loss(batch, generator())
        loss.backward()
        return loss.item(), student.network.scale.grad.item()

    single = {name: found(**{name: 1.0}) for name in weights}
    assert len({round(loss, 3) for loss, _ in single.values()} - {0.0}) == 4
    expected = [sum(weights[name] * values[part] for name, values in single.items()) for part in (0, 1)]
    assert found(**weights) == pytest.approx(tuple(expected), rel=1e-5)


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="loss weights"):
        StructuralConfig(output_weight=0.0)
    with pytest.raises(ValueError, match="no blocks"):
        StructuralObjective(denoiser(), denoiser(), EMPTY, replace(PLAIN, feature_weight=1.0))
    with pytest.raises(ValueError, match="the student's schedule"):
        StructuralObjective(replace(denoiser(), schedule=OTHER_SCHEDULE), denoiser(), EMPTY, PLAIN)
    with pytest.raises(ValueError, match="predicts sample"):
        StructuralObjective(replace(denoiser(), prediction_type="sample"), denoiser(), EMPTY, PLAIN)
