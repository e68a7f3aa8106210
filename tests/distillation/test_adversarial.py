import math
from dataclasses import replace

import pytest
import torch
from einops import rearrange
from torch import nn

from rufous.diffusion.denoiser import Denoiser
from rufous.distillation.adversarial import (
    AdversarialConfig,
    Discriminator,
    StageHeads,
    is_made_loss,
    is_real_loss,
    share_taken_for_real,
)
from rufous.distillation.denoising import LatentBatch
from rufous.distillation.distribution_matching import (
    DistributionMatchingConfig,
    DistributionMatchingObjective,
)
from rufous.distillation.teaching import GuidanceRange
from tests.distillation.conftest import SCHEDULE, denoiser, prompts

CONFIG = AdversarialConfig(weight=1.0, stages=("first", "block.last"), width=4)
WIDTHS = {"first": 4, "block.last": 8, "block.other": 8}


class Framed(nn.Module):
    """Two stages that run a clip's frames as one batch, as a U-Net's do; answers with clean latents of 0."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 1)
        self.block = nn.ModuleDict({"last": nn.Conv2d(4, 8, 1, stride=2), "other": nn.Identity()})

    def forward(self, latents, timesteps, cond):
        x = self.first(rearrange(latents, "b c f h w -> (b f) c h w"))
        return 0.0 * latents + 0.0 * self.block["last"](x).sum()


class Answers(nn.Module):
    """The same clean latents for every input."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, latents, timesteps, cond):
        return self.value.expand_as(latents)


def sampling(network: nn.Module) -> Denoiser:
    return Denoiser(network, SCHEDULE, "sample")


def test_a_fresh_head_is_undecided_and_gives_a_logit_for_each_place():
    discriminator = Discriminator(sampling(Framed()), WIDTHS, CONFIG)
    latents = torch.randn(2, 4, 3, 4, 4)
    output, logits = discriminator(latents, torch.full((2,), 500.0), prompts(1.0, 2.0))
    assert torch.equal(output, torch.zeros_like(latents))
    assert [tuple(each.shape) for each in logits] == [(2, 3 * 4 * 4), (2, 3 * 2 * 2)]
    assert is_real_loss(logits).item() == pytest.approx(math.log(2.0))
    assert is_made_loss(logits).item() == pytest.approx(math.log(2.0))


def test_heads_read_their_own_stage_in_the_order_of_frames():
    network = Framed()
    discriminator = Discriminator(sampling(network), WIDTHS, replace(CONFIG, stages=("first",)))
    head = discriminator.heads["first"]
    seen = []
    head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    latents = torch.randn(2, 4, 3, 2, 2)
    discriminator(latents, torch.full((2,), 500.0), prompts(1.0, 2.0))
    assert torch.allclose(seen[0][1, :, 2], network.first(latents[1, :, 2]), atol=1e-6)


def test_fresh_heads_are_of_their_seed_alone_and_leave_the_global_generator():
    torch.manual_seed(1)
    first, state = StageHeads(WIDTHS, CONFIG, seed=3).state_dict(), torch.random.get_rng_state()
    torch.rand(5)
    again, other = StageHeads(WIDTHS, CONFIG, seed=3).state_dict(), StageHeads(WIDTHS, CONFIG).state_dict()
    assert all(torch.equal(first[name], value) for name, value in again.items())
    assert not torch.equal(first["first.mix.weight"], other["first.mix.weight"])
    torch.manual_seed(1)
    assert torch.equal(state, torch.random.get_rng_state())


def test_heads_are_where_the_critic_is():
    discriminator = Discriminator(sampling(Framed().to("meta")), WIDTHS, CONFIG)
    assert {parameter.device.type for parameter in discriminator.heads.parameters()} == {"meta"}


def test_stages_weigh_alike_however_many_places_they_have():
    logits = [torch.full((1, 8), 3.0), torch.full((1, 2), -1.0)]
    expected = (math.log1p(math.exp(-3.0)) + math.log1p(math.exp(1.0))) / 2
    assert is_real_loss(logits).item() == pytest.approx(expected)
    assert share_taken_for_real(logits).item() == 0.5


def test_a_stage_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"\['lost'\] are not in this critic: use some of first"):
        StageHeads(WIDTHS, replace(CONFIG, stages=("first", "lost")))


@pytest.mark.parametrize("change", [{"weight": 0.0}, {"critic_weight": -1.0}, {"stages": ()}, {"width": 0}])
def test_settings_that_mean_nothing_are_refused(change):
    with pytest.raises(ValueError, match="use "):
        replace(CONFIG, **change)


def matching(weight: float, **options) -> DistributionMatchingObjective:
    config = DistributionMatchingConfig(
        timesteps=(999.0,),
        guidance=GuidanceRange(1.0, 1.0),
        student_every=1,
        score_range=(0.0, 0.5),
        adversarial=replace(CONFIG, weight=weight, critic_weight=1.0),
    )
    parts = (sampling(Answers(0.0)), sampling(Framed()), sampling(Answers(0.0)))
    return DistributionMatchingObjective(*parts, prompts(-1.0), config, stage_widths=WIDTHS, **options)


def of_ones() -> LatentBatch:
    return LatentBatch(latents=torch.ones(4, 4, 3, 2, 2), cond=prompts(1.0, 2.0, 3.0, 4.0))


def test_real_clips_pull_the_student_where_teacher_and_critic_agree():
    """Both scores say 0 and so does the student; real clips are 1."""
    torch.manual_seed(0)
    made, generator = matching(weight=0.5), torch.Generator().manual_seed(0)
    student, heads = made.trainable["student"], made.trainable["heads"]
    assert set(made.networks) == {"student", "critic", "heads"}
    optimizer = torch.optim.Adam([*heads.parameters(), *made.trainable["critic"].parameters()], 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss, metrics = made.loss(of_ones(), generator)
        loss.backward()
        optimizer.step()
        made.after_step()
    assert metrics["real_taken_for_real"].item() > 0.75 > 0.25 > metrics["made_taken_for_real"].item()
    assert metrics["score_gap"].item() == 0.0
    student.value.grad = None
    made.loss(of_ones(), generator)[0].backward()
    assert student.value.grad.item() < -0.01  # descending raises the answer


def test_the_students_term_moves_neither_heads_nor_critic():
    """Their gradients are those of the critic's own loss, whatever the weight of the student's."""
    found = []
    for weight in (0.1, 10.0):
        torch.manual_seed(0)
        made = matching(weight)
        for head in made.trainable["heads"].values():
            nn.init.normal_(head.out.weight)
        loss, metrics = made.loss(of_ones(), torch.Generator().manual_seed(0))
        loss.backward()
        parts = [*made.trainable["heads"].parameters(), *made.trainable["critic"].parameters()]
        found.append([part.grad for part in parts])
        assert metrics["adversarial_pull"].item() > 0.0
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_without_the_term_nothing_is_asked_of_the_critic():
    config = DistributionMatchingConfig(guidance=GuidanceRange(1.0, 1.0))
    made = DistributionMatchingObjective(denoiser(), denoiser(), denoiser(), prompts(-1.0), config)
    assert set(made.networks) == {"student", "critic"}
