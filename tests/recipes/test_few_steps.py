from dataclasses import fields, replace

import pytest
import torch

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, load_config
from rufous.core.errors import ConfigError
from rufous.core.types import Conditioning
from rufous.distillation.consistency import ConsistencyObjective
from rufous.distillation.distribution_matching import DistributionMatchingObjective
from rufous.distillation.lora import LoraSettings
from rufous.distillation.teaching import GuidanceRange
from rufous.recipes import RECIPES
from rufous.recipes.few_steps import few_step_settings, make_objective
from rufous.recipes.recovery import load_denoiser, with_guidance_embedding
from rufous.recipes.world_few_steps import REAL_CLIPS
from tests.recipes.conftest import brief

CPU = torch.device("cpu")


def test_the_critic_is_told_the_scale_and_is_no_copy_of_the_student(student_road):
    config = replace(student_road.few_steps, guidance=GuidanceRange(2.0, 6.0, 16))
    teacher = load_denoiser(config.teacher, CPU)
    student = with_guidance_embedding(load_denoiser(config.student, CPU), 16)
    diffusion = few_step_settings(load_config(config.teacher, "diffusion"), config)
    objective = make_objective(config, student, teacher, Conditioning(), diffusion, None)
    assert isinstance(objective, DistributionMatchingObjective)
    critic = objective.networks["critic"]
    assert critic.config.guidance_embed_dim == 16
    assert critic.config.removed_blocks == teacher.network.config.removed_blocks
    consistency = replace(config, method="consistency", target="student")
    objective = make_objective(consistency, student, teacher, Conditioning(), diffusion, None)
    assert isinstance(objective, ConsistencyObjective)
    assert set(objective.networks) == {"student"}


def test_settings_of_a_method_reach_its_objective(student_road):
    teacher = load_denoiser(student_road.few_steps.teacher, CPU)
    student = load_denoiser(student_road.few_steps.student, CPU)
    diffusion = load_config(student_road.few_steps.teacher, "diffusion")
    matching = replace(student_road.few_steps, score_range=(0.1, 0.9), student_every=3)
    consistency = replace(
        student_road.few_steps, method="consistency", target_decay=0.9, huber_c=0.1, num_points=20
    )
    for config in (matching, consistency):
        settings = few_step_settings(diffusion, config)
        objective = make_objective(config, student, teacher, Conditioning(), settings, None)
        told = objective._config
        shared = {each.name for each in fields(told)} & {each.name for each in fields(config)}
        assert {name: getattr(told, name) for name in shared} == {
            name: getattr(config, name) for name in shared
        }


def test_a_run_leaves_its_critic_and_the_next_one_begins_with_it(student_road, tmp_path):
    config = replace(student_road.few_steps, train=replace(student_road.few_steps.train, num_steps=2))
    run = RECIPES["world_few_steps"].run
    run(config, tmp_path / "first", CPU)
    left = load_denoiser(tmp_path / "first" / "critic", CPU).network.state_dict()
    teacher = load_denoiser(config.teacher, CPU)
    taught = teacher.network.state_dict()
    assert any(not torch.equal(left[name], taught[name]) for name in left)
    following = replace(config, critic=str(tmp_path / "first" / "critic"))
    diffusion = few_step_settings(load_config(config.teacher, "diffusion"), following)
    student = load_denoiser(config.student, CPU)
    objective = make_objective(following, student, teacher, Conditioning(), diffusion, None)
    begun = objective.networks["critic"].state_dict()
    assert all(torch.equal(left[name], begun[name]) for name in left)
    manifest = Manifest.load(run(following, tmp_path / "second", CPU))
    assert "critic" in {parent.role for parent in manifest.parents}
    assert (manifest.figures["steps"], manifest.figures["validation"]["step"]) == (2, 2)
    assert "feedback" not in manifest.figures


def test_the_student_is_sampled_in_few_steps_at_the_middle_of_its_scales(student_road):
    usual = load_config(student_road.few_steps.teacher, "diffusion")
    told = few_step_settings(usual, replace(student_road.few_steps, guidance=GuidanceRange(2.0, 6.0, 16)))
    assert (told.sampling.solver, told.sampling.num_inference_steps) == ("lcm", 4)
    assert (told.sampling.guidance_scale, told.embedded_guidance_scale) == (1.0, 3.0)
    assert told.schedule == usual.schedule
    assert few_step_settings(usual, student_road.few_steps).embedded_guidance_scale is None


@pytest.mark.parametrize(
    ("method", "unused"),
    [
        ("consistency", {"critic": "runs/critic"}),
        ("consistency", {"student_every": 5}),
        ("consistency", {"adversarial": REAL_CLIPS}),
        ("consistency", {"score_range": (0.1, 0.9)}),
        ("distribution_matching", {"target": "student"}),
        ("distribution_matching", {"target_decay": 0.9}),
        ("distribution_matching", {"huber_c": 0.1}),
    ],
)
def test_settings_of_the_other_method_are_refused(method, unused):
    with pytest.raises(ConfigError, match=f"{method}' makes no use of {next(iter(unused))}="):
        replace(RECIPES["world_few_steps"].config, method=method, **unused)


@pytest.mark.parametrize("method", ["consistency", "distribution_matching"])
def test_a_student_trained_by_lora_is_released_as_a_plain_network(student_road, tmp_path, method):
    config = replace(
        student_road.few_steps,
        method=method,
        lora=LoraSettings(rank=2, trained_whole=()),
        train=replace(brief(2), accumulation=2, validate_every=0),
    )
    folder = RECIPES["world_few_steps"].run(config, tmp_path, CPU)
    before = load_component(config.student, "unet", dtype=torch.float32).state_dict()
    after = load_component(folder, "unet", dtype=torch.float32).state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(before[name].ndim > 1 for name in changed)  # norms and biases stay
