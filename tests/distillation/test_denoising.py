from dataclasses import replace

import pytest
import torch
from torch import nn

from rufous.core.randomness import generator_from
from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.guidance import without_prompt
from rufous.diffusion.schedules import ScheduleConfig, make_schedule
from rufous.distillation import DenoisingConfig, DenoisingObjective, LatentBatch
from rufous.distillation.denoising import drop_captions
from rufous.training import OptimizerConfig, ShuffledBatches, TrainConfig, train
from rufous.training.metrics import read_metrics

UNCOND = Conditioning(prompt_embeds=torch.zeros(1, 3, 5))


class Tiny(nn.Module):
    """The smallest network that can denoise: a pointwise map of latents, time and mean caption."""

    def __init__(self):
        super().__init__()
        self.inputs = nn.Conv3d(2, 8, 1)
        self.captions = nn.Linear(5, 8)
        self.outputs = nn.Conv3d(8, 2, 1)

    def forward(self, latents, timesteps, cond):
        shift = self.captions(cond.prompt_embeds.mean(dim=1)) + timesteps[:, None] / 1000
        return self.outputs(torch.relu(self.inputs(latents) + shift[:, :, None, None, None]))


class Fixed(nn.Module):
    """Answers with what a test gives it, and remembers what it was asked."""

    def __init__(self, answer):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.answer = answer

    def forward(self, latents, timesteps, cond):
        self.asked = (latents, timesteps, cond)
        return self.scale * self.answer(latents)


def denoiser(network, kind="rectified_flow", prediction_type="flow_prediction"):
    return Denoiser(network, make_schedule(ScheduleConfig(kind=kind)), prediction_type)


def batch(num_examples=8, **cond):
    generator = generator_from(0, "batch")
    latents = torch.randn(num_examples, 2, 3, 4, 4, generator=generator)
    embeds = torch.randn(num_examples, 3, 5, generator=generator)
    return LatentBatch(latents=latents, cond=Conditioning(prompt_embeds=embeds, **cond))


def test_the_loss_is_the_error_against_the_target():
    network = Fixed(torch.zeros_like)
    objective = DenoisingObjective(denoiser(network), UNCOND, DenoisingConfig(caption_dropout=0.0))
    examples = batch()
    loss, metrics = objective.loss(examples, generator_from(1))
    noisy, timesteps, _ = network.asked
    u = (timesteps / 1000)[:, None, None, None, None]
    noise = (noisy - (1 - u) * examples.latents) / u
    expected = (examples.latents - noise).square().mean(dim=(1, 2, 3, 4))
    torch.testing.assert_close(metrics["error"], expected, rtol=1e-3, atol=1e-3)
    assert loss.item() == pytest.approx(expected.mean().item(), rel=1e-3)


def test_each_example_is_measured_in_one_quarter():
    objective = DenoisingObjective(denoiser(Tiny(), "scaled_linear", "epsilon"), UNCOND)
    _, metrics = objective.loss(batch(64), generator_from(1))
    quarters = torch.stack([metrics[f"error_quarter_{i}"] for i in (1, 2, 3, 4)])
    assert (~quarters.isnan()).sum(dim=0).tolist() == [1] * 64
    torch.testing.assert_close(quarters.nansum(dim=0), metrics["error"])


def test_the_noisiest_timesteps_are_in_the_fourth_quarter():
    network = Fixed(torch.zeros_like)
    objective = DenoisingObjective(denoiser(network), UNCOND, DenoisingConfig(timestep_shift=1e6))
    _, metrics = objective.loss(batch(), generator_from(1))
    assert not metrics["error_quarter_4"].isnan().any()


def test_given_frames_stay_clean_and_carry_no_loss():
    network = Fixed(torch.zeros_like)
    mask = torch.ones(8, 3, dtype=torch.bool)
    mask[:, 0] = False
    examples = batch(frame_mask=mask)
    objective = DenoisingObjective(denoiser(network), UNCOND)
    loss, _ = objective.loss(examples, generator_from(1))
    assert torch.equal(network.asked[0][:, :, 0], examples.latents[:, :, 0])
    network.answer = lambda x: torch.nn.functional.pad(torch.full_like(x[:, :, :1], 9.0), (0, 0, 0, 0, 0, 2))
    again, _ = objective.loss(examples, generator_from(1))
    assert loss.item() == again.item()


def test_min_snr_weighs_clean_epsilon_errors_less():
    settings = {"none": DenoisingConfig(), "min_snr": DenoisingConfig(loss_weighting="min_snr")}
    losses = {}
    for name, config in settings.items():
        objective = DenoisingObjective(denoiser(Fixed(torch.zeros_like), "linear", "epsilon"), UNCOND, config)
        losses[name], metrics = objective.loss(batch(), generator_from(1))
        assert metrics["error"].mean().item() == pytest.approx(losses["none"].item())
    assert losses["min_snr"] < losses["none"]


def test_dropped_captions_become_the_empty_one_at_the_given_rate():
    cond = Conditioning(prompt_embeds=torch.ones(4000, 3, 5), fps=torch.arange(4000.0))
    dropped = drop_captions(cond, UNCOND, 0.1, generator_from(3))
    share = (dropped.prompt_embeds == 0).all(dim=2).all(dim=1).float().mean().item()
    assert share == pytest.approx(0.1, abs=0.02)
    assert torch.equal(dropped.fps, cond.fps)


def test_the_mask_is_dropped_with_its_caption():
    cond = Conditioning(prompt_embeds=torch.ones(50, 3, 5), prompt_mask=torch.ones(50, 3, dtype=torch.bool))
    empty = Conditioning(prompt_embeds=torch.zeros(1, 3, 5), prompt_mask=torch.tensor([[True, False, False]]))
    dropped = drop_captions(cond, empty, 0.5, generator_from(3))
    assert torch.equal(dropped.prompt_mask[:, 1], dropped.prompt_embeds[:, 0, 0] == 1)


@pytest.mark.parametrize("num_tokens", [2, 3, 5])
def test_a_masked_empty_caption_gets_as_many_tokens_as_the_others(num_tokens):
    mask = torch.ones(8, 3, dtype=torch.bool)
    cond = replace(batch().cond, prompt_embeds=torch.ones(8, 3, 5), prompt_mask=mask)
    words = torch.arange(num_tokens) < 2
    empty = Conditioning(prompt_embeds=7.0 * torch.ones(1, num_tokens, 5), prompt_mask=words[None])
    dropped = without_prompt(cond, empty)
    assert dropped.prompt_embeds.shape == (8, 3, 5)
    assert dropped.prompt_mask.tolist() == [[True, True, False]] * 8
    assert (dropped.prompt_embeds[:, :2] == 7.0).all()


def test_words_of_a_long_negative_prompt_are_not_cut():
    cond = replace(
        batch().cond, prompt_embeds=torch.ones(8, 3, 5), prompt_mask=torch.ones(8, 3, dtype=torch.bool)
    )
    negative = Conditioning(
        prompt_embeds=torch.zeros(1, 4, 5), prompt_mask=torch.ones(1, 4, dtype=torch.bool)
    )
    with pytest.raises(ValueError, match=r"\[1, 4, 5\] do not fit"):
        without_prompt(cond, negative)


@pytest.mark.parametrize(
    ("empty", "problem"),
    [
        (Conditioning(prompt_embeds=torch.zeros(1, 4, 5)), r"\[1, 4, 5\] do not fit"),
        (Conditioning(), "None do not fit"),
        (
            Conditioning(prompt_embeds=torch.zeros(1, 3, 5), prompt_mask=torch.ones(1, 3, dtype=torch.bool)),
            "prompt_mask is set on one",
        ),
    ],
)
def test_an_empty_caption_that_does_not_fit_is_refused(empty, problem):
    with pytest.raises(ValueError, match=problem):
        drop_captions(batch().cond, empty, 0.1, generator_from(0))


def test_a_plain_function_cannot_be_trained():
    with pytest.raises(ValueError, match=r"no nn\.Module"):
        DenoisingObjective(denoiser(lambda latents, timesteps, cond: latents), UNCOND)


@pytest.mark.parametrize("settings", [{"caption_dropout": 1.0}, {"min_snr_gamma": 0.0}])
def test_contradictory_settings_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        DenoisingConfig(**settings)


def test_a_shift_needs_rectified_flow():
    with pytest.raises(ValueError, match="timestep_shift"):
        DenoisingObjective(denoiser(Tiny(), "linear", "epsilon"), UNCOND, DenoisingConfig(timestep_shift=3.0))


def test_a_batch_moves_as_a_whole():
    moved = batch().to("meta")
    assert moved.latents.device.type == moved.cond.prompt_embeds.device.type == "meta"
    assert len(moved) == 8


def test_the_loop_trains_a_network_with_it(tmp_path):
    torch.manual_seed(0)  # layer constructors know no generator
    everything = batch(32)

    def collate(indices):
        chosen = torch.tensor(indices)
        return LatentBatch(latents=0.1 * everything.latents[chosen], cond=everything.cond[chosen])

    objective = DenoisingObjective(denoiser(Tiny()), UNCOND)
    config = TrainConfig(
        num_steps=40, optimizer=OptimizerConfig(learning_rate=3e-2), ema_decay=0.9, log_every=10
    )
    train(objective, ShuffledBatches(range(32), collate, batch_size=16), config, run_dir=tmp_path)
    losses = [line["loss"] for line in read_metrics(tmp_path / "metrics.jsonl")]
    assert losses[-1] < 0.75 * losses[0]
