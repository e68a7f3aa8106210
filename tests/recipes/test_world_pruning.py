import json

import torch

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component
from rufous.recipes import RECIPES
from rufous.recipes.world_pruning import WorldPruningConfig

CPU = torch.device("cpu")


def test_the_release_is_smaller_and_the_same_each_time(student_road, tmp_path):
    config = WorldPruningConfig(
        teacher=student_road.recovery.teacher, budget="-10%", sets=student_road.recovery.sets
    )
    first, second = (RECIPES["world_pruning"].run(config, tmp_path / name, CPU) for name in ("a", "b"))
    teacher, student = (
        sum(each.numel() for each in load_component(folder, "unet").parameters())
        for folder in (config.teacher, first)
    )
    assert student < 0.9 * teacher
    measured = [
        [(block["name"], block["output_change"], block["is_removed"]) for block in json.loads(text)["blocks"]]
        for text in ((each / "pruning.json").read_text() for each in (first, second))
    ]
    assert measured[0] == measured[1] != []
    assert [parent.role for parent in Manifest.load(first).parents] == ["teacher"]
