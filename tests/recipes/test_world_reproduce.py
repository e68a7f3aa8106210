import json
import math
import shutil
from dataclasses import replace

import pytest
import torch

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component
from rufous.core.errors import ConfigError, RunStoppedError
from rufous.recipes import RECIPES
from rufous.recipes.processes import Processes
from rufous.recipes.stages import Road as Stages
from rufous.recipes.world_reproduce import SMALL, Finished, stages_of, table_rows
from rufous.recipes.world_ship import STORED_FROM
from rufous.training.metrics import read_metrics
from rufous.training.resume import checkpoints
from tests.recipes.reproduce_run import toy

CPU = torch.device("cpu")
BEFORE = ("autoencoder", "video_text", "rewards", "teacher")
STAGES = (*BEFORE, "pruned", "recovered", "few_steps", "feedback", "shipped")
TRAINED = {
    "autoencoder": 3,
    "video_text": 3,
    "rewards": 2,
    **{f"teacher/{phase}": 2 for phase in ("images", "sparse", "clips")},
    **dict.fromkeys(("recovered", "few_steps", "feedback"), 1),
}
"""Steps of each run."""


@pytest.fixture(scope="module")
def reproduced(road, tmp_path_factory):
    root = tmp_path_factory.mktemp("reproduced")
    RECIPES["world_reproduce"].run(toy(road), root, CPU)
    return root


def test_every_row_of_the_table_is_there(road, reproduced):
    rows = table_rows(toy(road), Stages(reproduced, Processes(CPU, None)))
    found = json.loads((reproduced / "table.json").read_text())
    assert [row["row"] for row in found] == [row.name for row in rows]
    assert {row.num_inference_steps for row in rows} >= {4, 2, 1}
    assert rows[-1].num_frames == 6
    parameters = [row["parameters"] for row in found]
    assert parameters[2] < 0.9 * parameters[1]
    assert (reproduced / "table.md").read_text().count("\n") == 2 + len(rows)


def test_each_trained_stage_leaves_a_curve(reproduced):
    for stage, num_steps in TRAINED.items():
        lines = read_metrics(reproduced / stage / "metrics.jsonl")
        losses = {line["step"]: line["loss"] for line in lines if "loss" in line}
        assert list(losses) == list(range(1, num_steps + 1)), stage
        assert all(math.isfinite(loss) for loss in losses.values()), stage


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
    critic = Manifest.load(reproduced / "few_steps" / "critic").id
    assert parents["feedback"] == {ids["teacher"], ids["few_steps"], ids["rewards"], critic}
    roles = {
        parent.role: parent.manifest_id for parent in Manifest.load(reproduced / "feedback/release").parents
    }
    assert roles["critic"] == critic
    assert parents["rewards"] == {ids["video_text"]}
    assert parents["shipped"] == parents["feedback"]


def test_the_second_pass_leaves_the_text_tower_and_the_last_stage_stores_the_student_small(reproduced):
    first, second = (reproduced / stage / "release" for stage in ("video_text", "rewards"))
    tower, sharper = (load_component(each, "text_encoder").state_dict() for each in (first, second))
    assert all(torch.equal(sharper[name], tensor) for name, tensor in tower.items())
    source, shipped = (Manifest.load(reproduced / stage / "release") for stage in ("feedback", "shipped"))
    assert shipped.config[STORED_FROM] == source.id
    size, was = (each.files["unet/model.safetensors"].size_bytes for each in (shipped, source))
    assert size < 0.5 * was


def test_the_guard_watches_the_feedback(reproduced):
    state = json.loads((checkpoints(reproduced / "feedback" / "checkpoints")[-1] / "state.json").read_text())
    baseline = state["values"]["objective"]["feedback"]["baseline"]
    assert {name: len(values) for name, values in baseline.items()} == {
        name: 2 for name in ("motion_magnitude", "reward_world_image_text", "truth")
    }
    (validated,) = [
        line for line in read_metrics(reproduced / "feedback" / "metrics.jsonl") if "truth" in line
    ]
    assert baseline.keys() <= validated.keys()
    assert validated["truth"] == (validated["truth_4"] + validated["truth_6"]) / 2
    figures = Manifest.load(reproduced / "feedback" / "release").figures
    assert figures["validation"] == validated
    assert figures["feedback"]["num_falls"] == 0  # of two clips none is more than chance


def test_stages_that_are_done_are_passed_by_and_a_lost_one_is_made_again(road, reproduced):
    marks = {stage: (reproduced / stage / "done.json") for stage in STAGES}
    written = {stage: mark.stat().st_mtime_ns for stage, mark in marks.items()}
    for lost in ("pruned", "feedback"):
        marks[lost].unlink()
    RECIPES["world_reproduce"].run(toy(road), reproduced, CPU)
    again = {stage for stage, mark in marks.items() if mark.stat().st_mtime_ns != written[stage]}
    assert again == {"pruned", "feedback"}


def test_the_last_stage_may_go_on_and_other_settings_are_refused_untouched(road, reproduced, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(reproduced, root)
    config = toy(road)
    longer = replace(config, feedback_train=replace(config.feedback_train, num_steps=2), num_prompts=6)
    RECIPES["world_reproduce"].run(longer, root, CPU)
    before, after = (
        {stage: Manifest.load(each / stage / "release").id for stage in STAGES} for each in (reproduced, root)
    )
    assert {stage for stage in STAGES if before[stage] != after[stage]} == {"feedback", "shipped"}
    assert {row["seen"]["num_clips"] for row in json.loads((root / "table.json").read_text())} == {3.0}
    with pytest.raises(ConfigError, match=r"pruned: budget was '-10%' and is '-5%'\. Use the old values"):
        RECIPES["world_reproduce"].run(replace(longer, budget="-5%"), root, CPU)
    assert {stage: Manifest.load(root / stage / "release").id for stage in STAGES} == after


def test_an_interrupted_stage_is_not_done(road, tmp_path):
    config = toy(road)
    stopped = replace(config.autoencoder.train, num_steps=1_000, time_limit_s=1e-6)
    config = replace(config, autoencoder=replace(config.autoencoder, train=stopped))
    with pytest.raises(RunStoppedError, match="after step 1 of 1000"):
        RECIPES["world_reproduce"].run(config, tmp_path, CPU)
    stages = Stages(tmp_path, Processes(CPU, None))
    assert not stages.is_done(stages_of(config, stages)[0])


def test_from_a_finished_teacher_the_road_begins_with_pruning(road, reproduced, tmp_path):
    teacher, rewards = (str(reproduced / stage / "release") for stage in ("teacher", "rewards"))
    config = replace(toy(road), finished=Finished(teacher=teacher, rewards=rewards))
    stages = Stages(tmp_path, Processes(CPU, None))
    assert [stage.name for stage in stages_of(config, stages)] == list(STAGES[len(BEFORE) :])
    RECIPES["world_reproduce"].run(config, tmp_path, CPU)
    parents = {parent.manifest_id for parent in Manifest.load(tmp_path / "pruned" / "release").parents}
    assert Manifest.load(reproduced / "teacher" / "release").id in parents
    rows = [row["row"] for row in json.loads((tmp_path / "table.json").read_text())]
    assert rows == [row["row"] for row in json.loads((reproduced / "table.json").read_text())]


def test_the_small_preset_is_the_full_one_in_fewer_steps():
    full = RECIPES["world_reproduce"].preset("full")
    small, whole = SMALL.teacher, full.teacher
    alike = {"images", "sparse", "clips", "latents", "longer"}
    assert replace(small, **{name: getattr(whole, name) for name in alike}) == whole
    for part in ("latents", "longer"):
        fewer, all_of_them = getattr(small, part), getattr(whole, part)
        assert 0 < fewer.clips.num_clips < all_of_them.clips.num_clips
        assert replace(fewer, clips=all_of_them.clips) == all_of_them
    one_folder = [
        SMALL.rewards.clips,
        SMALL.video_text.clips,
        small.latents.clips,
        SMALL.autoencoder.clips[0],
    ]
    assert all(clips == one_folder[0] for clips in one_folder)
    for step in (SMALL.recovery, SMALL.few_steps):
        assert [each.clips for each in step.sets] == [small.latents.clips, small.longer.clips]
    for brief_phase, phase in zip(small.phases.values(), whole.phases.values(), strict=True):
        assert brief_phase.shown == phase.shown
        assert brief_phase.train.num_steps < phase.train.num_steps
        assert brief_phase.train.optimizer.learning_rate == phase.train.optimizer.learning_rate
    assert SMALL.recovery.train.num_steps < full.recovery.train.num_steps
    assert SMALL.few_steps.method == full.few_steps.method == "distribution_matching"


def test_the_curves_of_the_small_preset_are_more_than_single_points():
    for train in (
        SMALL.autoencoder.train,
        SMALL.video_text.train,
        SMALL.rewards.train,
        *(phase.train for phase in SMALL.teacher.phases.values()),
        SMALL.recovery.train,
        SMALL.few_steps.train,
        SMALL.feedback_train,
    ):
        assert 20 <= train.num_steps // train.log_every <= 30
