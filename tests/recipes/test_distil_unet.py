import shutil
from dataclasses import replace

import pytest
import torch

import rufous
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_config, verify_release
from rufous.core.errors import ConfigError
from rufous.recipes import RECIPES
from rufous.recipes.distil_unet import UNVERIFIED
from tests.recipes.conftest import brief, saved, unwanted

CPU = torch.device("cpu")


def settings(miniature, size="0_7b", preset=None, **changes):
    config = RECIPES[f"distil_unet_{size}"].preset(preset)
    return replace(
        config,
        teacher=str(miniature.teacher),
        student=str(miniature.student),
        data=miniature.data,
        train=replace(brief(2), accumulation=config.train.accumulation),
        **changes,
    )


@pytest.mark.parametrize(
    ("size", "preset"), [("0_7b", None), ("0_7b", "paper"), ("0_7b", "code"), ("0_9b", None)]
)
def test_a_pruned_network_recovers_on_video_files(miniature, tmp_path, size, preset):
    folder = RECIPES[f"distil_unet_{size}"].run(settings(miniature, size, preset), tmp_path, CPU)
    verify_release(folder)
    manifest = Manifest.load(folder)
    assert (manifest.name, manifest.notes) == ("unet-recovered", (UNVERIFIED,))
    assert {parent.role for parent in manifest.parents} == {"teacher", "student"}
    assert load_config(folder, "unet").removed_blocks == {"middle_block"}
    clip = rufous.load(folder, device="cpu")("a red circle", generator=torch.Generator().manual_seed(0))
    assert clip.frames[0].shape == (4, 3, 16, 16)
    before = rufous.load(miniature.student, device="cpu").unet.state_dict()
    after = rufous.load(folder, device="cpu").unet.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_a_run_that_was_interrupted_ends_with_the_bits_of_an_unbroken_one(miniature, tmp_path):
    config = settings(miniature)
    for folder, steps in (("whole", 3), ("parts", 2), ("parts", 3)):
        train = replace(config.train, num_steps=steps, save_every=steps)
        RECIPES["distil_unet_0_7b"].run(replace(config, train=train), tmp_path / folder, CPU)
    assert saved(tmp_path / "parts", 3) == saved(tmp_path / "whole", 3)


def test_a_student_is_not_overwritten_by_what_it_becomes(miniature, tmp_path):
    shutil.copytree(miniature.student, tmp_path / "release")
    config = replace(settings(miniature), student=str(tmp_path / "release"))
    with pytest.raises(ConfigError, match="release is the student of this run, which would overwrite it"):
        RECIPES["distil_unet_0_7b"].run(config, tmp_path, CPU)
    assert Manifest.load(tmp_path / "release").id == Manifest.load(miniature.student).id


def test_what_is_unverified_says_so_where_recipes_are_listed():
    for stage in ("distil_unet", "feedback_unet"):
        for size in ("0_7b", "0_9b"):
            assert RECIPES[f"{stage}_{size}"].summary.endswith(". Unverified at full scale.")


def test_a_list_that_is_not_there_is_named_before_a_release_is_fetched(miniature, tmp_path, monkeypatch):
    monkeypatch.setattr("rufous.recipes.recovery.find_release", unwanted)
    data = replace(miniature.data, clips=str(tmp_path / "none.csv"))
    with pytest.raises(ValueError, match=r"none\.csv"):
        RECIPES["distil_unet_0_7b"].run(replace(settings(miniature), data=data), tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


def test_a_student_of_another_teacher_is_refused(miniature, tmp_path):
    config = replace(settings(miniature), student=str(miniature.teacher))
    with pytest.raises(ConfigError, match="prune that teacher again"):
        RECIPES["distil_unet_0_7b"].run(config, tmp_path, CPU)


def test_published_settings_are_those_of_paper_and_code():
    for size in ("0_7b", "0_9b"):
        paper, code = (RECIPES[f"distil_unet_{size}"].preset(name) for name in ("paper", "code"))
        assert (paper.train.num_steps, paper.train.optimizer.learning_rate) == (200_000, 1e-4)
        assert paper.data.sets[0].batch_size * paper.train.accumulation == 16
        assert (code.train.num_steps, code.train.optimizer.learning_rate) == (1_000_000, 1e-5)
        assert code.data.sets[0].batch_size * code.train.accumulation == 96
        for each in (paper, code):
            assert (each.objective.guidance.lowest, each.objective.feature_weight) == (12.0, 0.0)
            assert [part.sampling.num_frames for part in each.data.sets] == [16]
