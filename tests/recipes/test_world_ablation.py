import json
from dataclasses import replace

import torch

from rufous.recipes import RECIPES
from rufous.recipes.world_ablation import FEEDBACKS, WorldAblationConfig, budgeted
from rufous.recipes.world_tiny_decoder import WorldTinyDecoderConfig
from tests.recipes.conftest import brief

CPU = torch.device("cpu")


def toy(student_road, road) -> WorldAblationConfig:
    return WorldAblationConfig(
        teacher=student_road.recovery.teacher,
        rewards=student_road.few_steps.feedback.rewards,
        budget="-10%",
        num_steps=1,
        recovery=student_road.recovery,
        few_steps=replace(student_road.few_steps, num_validation_clips=2),
        tiny_decoder=WorldTinyDecoderConfig(
            latents=road.latents,
            latents_dir=str(road.root / "latents"),
            width=8,
            blocks_per_stage=1,
            batch_size=2,
            num_validation_clips=1,
            train=brief(1),
        ),
        num_prompts=2,
        num_few_step_prompts=4,
    )


def test_every_row_is_trained_and_judged_and_a_second_call_trains_nothing(student_road, road, tmp_path):
    config = toy(student_road, road)
    RECIPES["world_ablation"].run(config, tmp_path, CPU)
    found = json.loads((tmp_path / "table.json").read_text())
    names = [row["row"] for row in found]
    assert names[0] == "teacher"
    assert [name for name in names if name.startswith("consistency")] == [
        f"consistency, {steps} steps" for steps in (4, 2, 1)
    ]
    assert len(names) == 4 + 9 + 5
    marks = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/done.json")}
    assert len(marks) == 7 + len(FEEDBACKS)
    RECIPES["world_ablation"].run(config, tmp_path, CPU)
    assert marks == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/done.json")}


def test_rows_differ_in_one_thing():
    both, video = FEEDBACKS["feedback_both"], FEEDBACKS["feedback_video"]
    assert replace(both, image_text=0.0) == video
    assert FEEDBACKS["feedback_tiny"] == video
    assert not FEEDBACKS["feedback_none"].is_on
    usual = RECIPES["world_ablation"].config
    for train in (usual.recovery.train, usual.few_steps.train):
        short = budgeted(train, 300)
        assert (short.num_steps, short.optimizer.decay_steps, short.log_every) == (300, 100, 15)
        assert budgeted(train, 7).log_every == 1
        assert short.optimizer.learning_rate == train.optimizer.learning_rate
