from dataclasses import replace

import pytest

from rufous.checkpoints.lookup import embedded_models
from rufous.checkpoints.manifest import Manifest
from rufous.core.config import differences, from_json_dict, override, to_json_dict
from rufous.recipes import RECIPES
from rufous.recipes.recipe import made_of, portable_config


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_config_survives_json_and_takes_overrides(name):
    recipe = RECIPES[name]
    assert recipe.name == name
    for config in (recipe.config, *recipe.presets.values()):
        assert from_json_dict(type(config), to_json_dict(config)) == config
    assert override(recipe.config, []) == recipe.config


def test_an_unknown_preset_is_refused_with_those_there_are():
    recipe = RECIPES["world_teacher"]
    assert recipe.preset(None) == recipe.config
    assert recipe.preset("large").clips.train.num_steps > recipe.config.clips.train.num_steps
    with pytest.raises(ValueError, match="no preset 'huge': use small, large"):
        recipe.preset("huge")
    with pytest.raises(ValueError, match="use none"):
        replace(recipe, presets={}).preset("large")


def test_a_manifest_names_no_folder_of_the_machine(tmp_path):
    config = replace(RECIPES["world_truth"].config, model=str(tmp_path / "run" / "release"))
    assert portable_config(config)["model"] == "run/release"
    assert portable_config(config)["level"] == "core"
    assert portable_config({"a": ["/x/y/z", 3]}) == {"a": ["y/z", 3]}


def test_a_run_is_made_of_its_settings_and_of_the_releases_they_name():
    config = RECIPES["world_recovery"].preset(None)
    decided = made_of(config)
    assert decided["teacher"] == Manifest.load(embedded_models()["world-teacher"]).id
    assert not any(name.endswith("_dir") for name in decided)
    weighted = replace(config, objective=replace(config.objective, feature_weight=0.25))
    assert differences(decided, made_of(weighted)) == ["objective.feature_weight was 0.5 and is 0.25"]
    longer = replace(config, train=replace(config.train, num_steps=9_999, log_every=7))
    assert made_of(longer) == decided
    assert made_of(longer, leave_out=["log_every"])["train.num_steps"] == 9_999
