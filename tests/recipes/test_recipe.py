from dataclasses import replace

import pytest

from rufous.core.config import from_json_dict, override, to_json_dict
from rufous.recipes import RECIPES
from rufous.recipes.recipe import portable_config


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
    assert recipe.preset("large").train.num_steps > recipe.config.train.num_steps
    with pytest.raises(ValueError, match="no preset 'huge': use small, large"):
        recipe.preset("huge")
    with pytest.raises(ValueError, match="use none"):
        replace(recipe, presets={}).preset("large")


def test_a_manifest_names_no_folder_of_the_machine(tmp_path):
    config = replace(RECIPES["world_truth"].config, model=str(tmp_path / "run" / "release"))
    assert portable_config(config)["model"] == "run/release"
    assert portable_config(config)["level"] == "core"
    assert portable_config({"a": ["/x/y/z", 3]}) == {"a": ["y/z", 3]}
