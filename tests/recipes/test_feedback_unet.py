import json
import shutil
from dataclasses import replace

import pytest
import torch

import rufous
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_config, verify_release
from rufous.core.errors import ConfigError
from rufous.distillation.adversarial import AdversarialConfig
from rufous.recipes import RECIPES
from rufous.recipes.distil_unet import UNVERIFIED
from rufous.recipes.feedback_unet import RewardChoice
from rufous.rewards.feedback import GuardConfig
from rufous.training.metrics import read_metrics
from tests.recipes.conftest import brief, saved, unwanted
from tests.recipes.videos import decoder_settings

CPU = torch.device("cpu")
WORLDS = (
    RewardChoice(name="world_video_text", weight=1.0, num_frames=4, frames="stride"),
    RewardChoice(name="world_image_text", weight=0.0, num_frames=2),
)
"""The embedded rewards stand in for the published ones, whose weights are not here."""


def settings(miniature, size="0_7b", preset=None, **changes):
    config = RECIPES[f"feedback_unet_{size}"].preset(preset)
    toy = {
        "teacher": str(miniature.teacher),
        "student": str(miniature.student),
        "data": miniature.data,
        "rewards": WORLDS,
        "num_validation_clips": 2,
        "train": replace(brief(2), accumulation=config.train.accumulation),
    }
    return replace(config, **{**toy, **changes})


def matching(miniature, **changes):
    """Distribution matching, whose student moves on every other step."""
    return settings(miniature, method="distribution_matching", **changes)


@pytest.mark.parametrize(
    ("size", "preset"), [("0_7b", None), ("0_7b", "paper"), ("0_7b", "code"), ("0_9b", None)]
)
def test_a_student_answers_in_four_steps_and_knows_its_scale(miniature, tmp_path, size, preset):
    folder = RECIPES[f"feedback_unet_{size}"].run(settings(miniature, size, preset), tmp_path, CPU)
    verify_release(folder)
    assert load_config(folder, "unet").guidance_embed_dim == 256
    diffusion = load_config(folder, "scheduler")
    assert (diffusion.sampling.solver, diffusion.sampling.num_inference_steps) == ("lcm", 4)
    assert diffusion.embedded_guidance_scale == 10.0
    pipe = rufous.load(folder, device="cpu")
    assert pipe.unet.time_cond_proj.weight.abs().sum() > 0
    clip = pipe("a red circle", num_frames=6, generator=torch.Generator().manual_seed(0)).frames[0]
    assert clip.shape == (6, 3, 16, 16)
    manifest = Manifest.load(folder)
    assert (manifest.name, manifest.licences) == (
        f"{miniature.student.parent.name}-4-steps",
        {"weights": "Apache-2.0"},
    )
    assert manifest.notes == (UNVERIFIED,)
    rewards = {f"reward {each.name}" for each in WORLDS}
    assert {parent.role for parent in manifest.parents} == {"teacher", "student", *rewards}
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    validated = next(row for row in rows if "frame_change" in row)
    assert {"reward_world_image_text", "reward_world_video_text"} <= set(validated)
    assert any("feedback_strength" in row for row in rows)


def test_without_rewards_it_is_a_plain_distillation(miniature, tmp_path):
    config = replace(settings(miniature), rewards=())
    folder = RECIPES["feedback_unet_0_7b"].run(config, tmp_path, CPU)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert not any("reward" in row for row in rows)
    assert Manifest.load(folder).config["rewards"] == []


def test_the_rewards_may_look_through_a_tiny_decoder_that_was_distilled_before(miniature, tmp_path):
    tiny = RECIPES["distil_decoder"].run(decoder_settings(miniature, brief(3)), tmp_path / "tiny", CPU)
    config = settings(miniature, tiny_decoder=str(tiny))
    folder = RECIPES["feedback_unet_0_7b"].run(config, tmp_path / "run", CPU)
    parents = {parent.role: parent.manifest_id for parent in Manifest.load(folder).parents}
    assert parents["tiny_decoder"] == Manifest.load(tiny).id
    full = replace(config, tiny_decoder=None)
    RECIPES["feedback_unet_0_7b"].run(full, tmp_path / "full", CPU)
    first, other = (
        next(line for line in read_metrics(tmp_path / name / "metrics.jsonl") if "reward" in line)
        for name in ("run", "full")
    )
    assert first["reward"] != other["reward"]  # of the same latents in other pixels
    with pytest.raises(ConfigError, match="without rewards nothing is decoded"):
        replace(config, rewards=())


def test_a_run_that_was_interrupted_ends_with_the_bits_of_an_unbroken_one(miniature, tmp_path):
    any_change = {"frame_change": 1.0}  # strays, and halves the feedback
    config = matching(
        miniature,
        adversarial=AdversarialConfig(weight=0.1, width=4),
        guard=GuardConfig(lowest=any_change, highest=any_change, level=0.99),
        num_validation_clips=2,
    )
    for folder, steps in (("whole", 3), ("parts", 2), ("parts", 3)):
        train = replace(config.train, num_steps=steps, save_every=steps, validate_every=2)
        RECIPES["feedback_unet_0_7b"].run(replace(config, train=train), tmp_path / folder, CPU)
    whole = saved(tmp_path / "whole", 3)
    assert whole["values"]["objective"]["feedback"]["strength"] == 0.5
    assert saved(tmp_path / "parts", 3) == whole


def test_releases_that_were_exchanged_between_two_calls_are_refused_however_they_are_named(
    miniature, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    roles = {"teacher": miniature.teacher, "student": miniature.student, "critic": miniature.teacher}
    for role, release in roles.items():
        shutil.copytree(release, tmp_path / role)
    named = {role: f"~/{role}" for role in roles}
    config = replace(matching(miniature), **named, rewards=(), train=replace(brief(1), validate_every=0))
    RECIPES["feedback_unet_0_7b"].run(config, tmp_path / "run", CPU)
    for role in roles:
        replace(Manifest.load(tmp_path / role), notes=("another",)).save(tmp_path / role)
    every = ".*".join(rf"{role}\.manifest_id was '\w+' and is '\w+'" for role in sorted(roles))
    with pytest.raises(ConfigError, match=every):
        RECIPES["feedback_unet_0_7b"].run(config, tmp_path / "run", CPU)


def test_a_critic_of_another_run_is_not_overwritten(miniature, tmp_path):
    shutil.copytree(miniature.teacher, tmp_path / "critic")
    with pytest.raises(ConfigError, match="critic exists, but there are no checkpoints"):
        RECIPES["feedback_unet_0_7b"].run(matching(miniature, rewards=()), tmp_path, CPU)
    assert Manifest.load(tmp_path / "critic").id == Manifest.load(miniature.teacher).id


def test_validation_shows_each_length_that_is_trained_on(miniature, tmp_path, monkeypatch):
    lengths = []

    def measure(frames):
        lengths.append(len(frames))
        return 0.1

    monkeypatch.setattr("rufous.recipes.feedback_unet.mean_frame_change", measure)
    config = settings(miniature)
    train = replace(config.train, num_steps=1, validate_every=1)
    RECIPES["feedback_unet_0_7b"].run(replace(config, train=train), tmp_path, CPU)
    assert lengths == [4, 6] * 3  # the teacher's and the student's at first, the student's at the end


def test_a_guard_that_could_not_watch_is_refused():
    usual = RECIPES["feedback_unet_0_7b"].config
    with pytest.raises(ConfigError, match=r"train\.validate_every=0"):
        replace(usual, train=replace(usual.train, validate_every=0))
    with pytest.raises(ValueError, match="guard: truth is not measured: use frame_change, reward_hpsv2"):
        replace(usual, guard=GuardConfig(lowest={"truth": 0.97}))


def test_a_list_that_is_not_there_is_named_before_a_release_is_fetched(miniature, tmp_path, monkeypatch):
    monkeypatch.setattr("rufous.recipes.feedback_unet.find_release", unwanted)
    data = replace(miniature.data, clips=str(tmp_path / "none.csv"))
    with pytest.raises(ValueError, match=r"none\.csv"):
        RECIPES["feedback_unet_0_7b"].run(replace(settings(miniature), data=data), tmp_path, CPU)


def test_published_settings_are_those_of_paper_and_code():
    paper, code = (RECIPES["feedback_unet_0_9b"].preset(name) for name in ("paper", "code"))
    assert (paper.train.num_steps, paper.train.optimizer.learning_rate) == (80_000, 1e-5)
    assert (paper.data.sets[0].sampling.num_frames, paper.data.sets[0].batch_size) == (16, 8)
    assert (code.train.num_steps, code.train.optimizer.learning_rate) == (400_000, 1e-4)
    assert (code.data.sets[0].sampling.num_frames, code.data.sets[0].batch_size) == (26, 4)
    for each in (paper, code):
        assert each.train.validate_every == 1_000  # where the guard watches
        assert (each.num_points, each.target, each.lora.rank) == (50, "student", 64)
        assert (each.guidance.lowest, each.guidance.highest) == (6.0, 16.0)
        assert [(part.name, part.weight) for part in each.rewards] == [("hpsv2.1", 1.0), ("viclip", 0.667)]
