import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import rufous
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, load_config
from rufous.compression.carry_over import paired_stages
from rufous.core.errors import ConfigError
from rufous.distillation.teaching import GuidanceRange
from rufous.recipes import RECIPES
from rufous.recipes.recovery import load_denoiser, with_guidance_embedding

CPU = torch.device("cpu")


def test_only_stages_that_both_networks_run_are_compared(student_road):
    student = load_component(student_road.recovery.student, "unet", dtype=torch.float32)
    teacher = load_component(student_road.recovery.teacher, "unet", dtype=torch.float32)
    pairs = paired_stages(student, teacher)
    stages = 1 + len(teacher.input_blocks) + len(teacher.output_blocks)
    assert len(pairs) == stages - 1  # all but the middle block


def test_a_student_of_another_teacher_is_refused(student_road, road, tmp_path):
    other = replace(student_road.recovery, teacher=str(road.root / "recovery" / "release"))
    with pytest.raises(ConfigError, match="prune that teacher again"):
        RECIPES["world_recovery"].run(other, tmp_path, CPU)
    assert not any(Path(tmp_path).iterdir())


def test_a_run_notes_the_releases_that_it_was_made_of_by_role(student_road):
    state = student_road.root / "recovery" / "checkpoints" / "step-00000002" / "state.json"
    noted = json.loads(state.read_text())["made_of"]
    for role in ("teacher", "student"):
        release = getattr(student_road.recovery, role)
        assert noted[f"{role}.manifest_id"] == Manifest.load(release).id


def test_a_denoiser_has_float32_weights_and_means_what_the_release_says(student_road):
    denoiser = load_denoiser(student_road.recovery.teacher, CPU)
    diffusion = load_config(student_road.recovery.teacher, "diffusion")
    assert denoiser.schedule.config == diffusion.schedule
    assert denoiser.prediction_type == diffusion.prediction_type
    assert all(each.dtype == torch.float32 and each.requires_grad for each in denoiser.network.parameters())


def test_a_student_that_is_not_there_is_named_with_the_command_that_makes_it(student_road, tmp_path):
    config = replace(student_road.recovery, student=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="none' is no release: make it by rufous prune"):
        RECIPES["world_recovery"].run(config, tmp_path / "run", CPU)


def test_a_new_guidance_embedding_changes_nothing_yet(student_road):
    plain = load_denoiser(student_road.recovery.student, CPU)
    told = with_guidance_embedding(plain, 16)
    assert told.network.config.guidance_embed_dim == 16
    assert with_guidance_embedding(told, 16) is told
    weights, before = told.network.state_dict(), plain.network.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in before.items())
    assert float(weights["time_cond_proj.weight"].detach().abs().sum()) == 0.0
    with pytest.raises(ConfigError, match=r"embedding already, so use guidance\.embed_dim=16"):
        with_guidance_embedding(told, None)


def test_a_range_of_scales_is_told_to_the_student_and_to_its_release(student_road, tmp_path):
    objective = replace(student_road.recovery.objective, guidance=GuidanceRange(2.0, 6.0, 16))
    config = replace(student_road.recovery, objective=objective)
    folder = RECIPES["world_recovery"].run(config, tmp_path, CPU)
    assert load_config(folder, "unet").guidance_embed_dim == 16
    assert load_config(folder, "diffusion").embedded_guidance_scale == 3.0
    pipe = rufous.load(folder, device="cpu")
    assert pipe.unet.time_cond_proj.weight.abs().sum() > 0
    assert pipe("a red circle", generator=torch.Generator().manual_seed(0)).frames[0].shape == (4, 3, 32, 32)
