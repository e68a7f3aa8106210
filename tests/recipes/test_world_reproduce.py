import json
from dataclasses import replace

import pytest
import torch

from rufous.checkpoints.manifest import Manifest
from rufous.recipes import RECIPES
from rufous.recipes.world_few_steps import FeedbackConfig, WorldFewStepsConfig
from rufous.recipes.world_recovery import WorldRecoveryConfig
from rufous.recipes.world_reproduce import SMALL, WorldReproduceConfig, markdown_table, table_rows
from rufous.recipes.world_sets import WorldSet
from tests.recipes.conftest import Road, brief

CPU = torch.device("cpu")
STAGES = ("autoencoder", "video_text", "teacher", "pruned", "recovered", "few_steps", "feedback")


def toy(road: Road) -> WorldReproduceConfig:
    sets = (
        WorldSet(clips=road.clips, batch_size=2),
        WorldSet(clips=replace(road.clips, num_frames=6, seed=3), batch_size=2),
    )
    return WorldReproduceConfig(
        autoencoder=road.autoencoder,
        video_text=road.video_text,
        teacher=road.teacher,
        budget="-10%",
        recovery=WorldRecoveryConfig(sets=sets, train=brief(1)),
        few_steps=WorldFewStepsConfig(method="consistency", num_validation_clips=2, train=brief(1)),
        feedback=FeedbackConfig(image_text=1.0, video_text=1.0, image_frames=2),
        feedback_train=brief(1),
        num_prompts=4,
    )


@pytest.fixture(scope="module")
def reproduced(road, tmp_path_factory):
    root = tmp_path_factory.mktemp("reproduced")
    RECIPES["world_reproduce"].run(toy(road), root, CPU)
    return root


def test_every_row_of_the_table_is_there(road, reproduced):
    rows = table_rows(toy(road))
    found = json.loads((reproduced / "table.json").read_text())
    assert [row["row"] for row in found] == [row.name for row in rows]
    assert {row.num_inference_steps for row in rows} >= {4, 2, 1}
    assert rows[-1].num_frames == 6
    parameters = [row["parameters"] for row in found]
    assert parameters[2] < 0.9 * parameters[1]
    assert (reproduced / "table.md").read_text().count("\n") == 2 + len(rows)


def test_each_release_names_the_one_before_it(reproduced):
    ids = {stage: Manifest.load(reproduced / stage / "release").id for stage in STAGES}
    parents = {
        stage: {parent.manifest_id for parent in Manifest.load(reproduced / stage / "release").parents}
        for stage in STAGES
    }
    assert parents["teacher"] == {ids["autoencoder"], ids["video_text"]}
    assert ids["teacher"] in parents["pruned"]
    assert parents["recovered"] == {ids["teacher"], ids["pruned"]}
    assert parents["few_steps"] == {ids["teacher"], ids["recovered"]}
    assert parents["feedback"] == {ids["teacher"], ids["few_steps"]}


def test_stages_that_are_done_are_passed_by_and_a_lost_one_is_made_again(road, reproduced):
    marks = {stage: (reproduced / stage / "done.json") for stage in STAGES}
    written = {stage: mark.stat().st_mtime_ns for stage, mark in marks.items()}
    marks["feedback"].unlink()
    RECIPES["world_reproduce"].run(toy(road), reproduced, CPU)
    again = {stage for stage, mark in marks.items() if mark.stat().st_mtime_ns != written[stage]}
    assert again == {"feedback"}


def test_the_small_preset_is_the_full_one_in_fewer_steps():
    full = RECIPES["world_reproduce"].preset("full")
    assert replace(SMALL.teacher, image_train=None, train=full.teacher.train) == replace(
        full.teacher, image_train=None
    )
    assert SMALL.recovery.train.num_steps < full.recovery.train.num_steps
    assert SMALL.few_steps.method == full.few_steps.method


def test_the_table_has_a_line_for_each_row():
    found = {"all_right": 0.5, "all_right_95": [0.25, 0.75], "motion_magnitude": 0.25}
    row = table_rows(SMALL)[0]
    figures = {
        "seen": found,
        "held_out": found,
        "frechet": 0.125,
        "seconds_per_clip": {"denoise": 2.0},
        "parameters": 5_000_000,
    }
    line = markdown_table([(row, figures)]).splitlines()[2]
    assert "| 5.00 M | 50 | 16 | 0.500 (0.250 to 0.750) |" in line
    assert "| 0.250 | 0.1250 | 2.00 s |" in line
