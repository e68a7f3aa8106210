import json
from dataclasses import replace

import pytest
import torch

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component
from rufous.core.errors import ConfigError
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
    assert Manifest.load(first).id == Manifest.load(second).id
    written = (first / "rufous.json").stat().st_mtime_ns
    assert RECIPES["world_pruning"].run(config, tmp_path / "a", CPU) == first
    with pytest.raises(ConfigError, match="budget was '-10%' and is '-20%'"):
        RECIPES["world_pruning"].run(replace(config, budget="-20%"), tmp_path / "a", CPU)
    assert (first / "rufous.json").stat().st_mtime_ns == written
