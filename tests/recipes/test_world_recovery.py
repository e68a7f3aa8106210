from dataclasses import replace
from pathlib import Path

import pytest
import torch

import rufous
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, load_config, verify_release
from rufous.core.errors import ConfigError
from rufous.recipes import RECIPES
from rufous.recipes.world_recovery import shared_stages

CPU = torch.device("cpu")


def test_the_release_generates_without_a_second_pass_and_names_its_parents(student_road):
    folder = student_road.root / "recovery" / "release"
    verify_release(folder)
    roles = {parent.role: parent.manifest_id for parent in Manifest.load(folder).parents}
    assert roles["teacher"] == Manifest.load(student_road.recovery.teacher).id
    assert roles["student"] == Manifest.load(student_road.recovery.student).id
    assert load_config(folder, "unet").removed_blocks == {"middle_block"}
    assert load_config(folder, "diffusion").sampling.guidance_scale == 1.0
    pipe = rufous.load(folder, device="cpu")
    clip = pipe("a red circle moving left", num_frames=6, generator=torch.Generator().manual_seed(0)).frames[
        0
    ]
    assert clip.shape == (6, 3, 32, 32)


def test_only_stages_that_both_networks_run_are_compared(student_road):
    student = load_component(student_road.recovery.student, "unet", dtype=torch.float32)
    teacher = load_component(student_road.recovery.teacher, "unet", dtype=torch.float32)
    pairs = shared_stages(student, teacher)
    stages = 1 + len(teacher.input_blocks) + len(teacher.output_blocks)
    assert len(pairs) == stages - 1  # all but the middle block


def test_a_student_of_another_teacher_is_refused(student_road, road, tmp_path):
    other = replace(student_road.recovery, teacher=str(road.root / "recovery" / "release"))
    with pytest.raises(ConfigError, match="prune that teacher again"):
        RECIPES["world_recovery"].run(other, tmp_path, CPU)
    assert not any(Path(tmp_path).iterdir())
