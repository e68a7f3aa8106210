"""``rufous train`` and ``rufous recipes``, on a recipe that only records how it was called."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rufous import recipes
from rufous.apps import cli
from rufous.core.errors import ConfigError, RunStoppedError
from rufous.recipes import Recipe


@dataclass(frozen=True, kw_only=True)
class Settings:
    num_steps: int = 10
    name: str = "plain"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Calls of the one recipe ``toy``."""
    made: list[Any] = []

    def run(config: Settings, run_dir: Path, device: torch.device) -> Path:
        made.append((config, run_dir, device))
        if config.num_steps == 13:
            raise ConfigError("num_steps=13 is not what the run began with: use 10, or another --run-dir")
        if config.num_steps == 15:
            raise RunStoppedError("signal SIGTERM stopped the run: the same command goes on from there")
        return run_dir / "release"

    presets = {"small": Settings(num_steps=2), "usual": Settings()}
    recipe = Recipe(name="toy", summary="A toy.", config=Settings(), run=run, presets=presets)
    monkeypatch.setattr(recipes, "RECIPES", {"toy": recipe})
    return made


def test_overrides_preset_folder_and_device_reach_the_recipe(
    calls: list[Any], capsys: pytest.CaptureFixture[str]
):
    arguments = ["toy", "name=mine", "--preset", "small", "--run-dir", "here", "--device", "cpu"]
    assert cli.run(["train", *arguments]) == cli.DONE
    assert calls == [(Settings(num_steps=2, name="mine"), Path("here"), torch.device("cpu"))]
    assert capsys.readouterr().out.strip() == str(Path("here/release"))


def test_the_default_folder_is_named_after_the_recipe_and_a_preset_of_other_settings(calls: list[Any]):
    assert cli.run(["train", "toy", "--device", "cpu"]) == cli.DONE
    assert cli.run(["train", "toy", "--preset", "small", "--device", "cpu"]) == cli.DONE
    assert cli.run(["train", "toy", "--preset", "usual", "--device", "cpu"]) == cli.DONE
    assert [call[1] for call in calls] == [Path("runs/toy"), Path("runs/toy_small"), Path("runs/toy")]


def test_a_dry_run_prints_the_settings_and_trains_nothing(
    calls: list[Any], capsys: pytest.CaptureFixture[str]
):
    assert cli.run(["train", "toy", "num_steps=7", "--dry-run"]) == cli.DONE
    assert json.loads(capsys.readouterr().out) == {"num_steps": 7, "name": "plain"}
    assert calls == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tot"], "recipe='tot' is unknown: did you mean 'toy'? use one of toy"),
        (["toy", "num_step=1"], "did you mean 'num_steps'?"),
        (["toy", "num_steps"], "has no '='"),
        (["toy", "num_steps=many"], "num_steps='many' does not fit: expected int"),
        (["toy", "--preset", "tiny"], "has no preset 'tiny': use small, usual"),
        (["toy", "--device", "tpu"], "device='tpu' is not present"),
        (["toy", "num_steps=13"], "num_steps=13 is not what the run began with"),
    ],
)
def test_wrong_settings_are_one_line_and_code_2(
    arguments: list[str], message: str, calls: list[Any], capsys: pytest.CaptureFixture[str]
):
    assert cli.run(["train", *arguments]) == cli.USAGE
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_recipes_are_listed_with_their_presets(calls: list[Any], capsys: pytest.CaptureFixture[str]):
    assert cli.run(["recipes"]) == cli.DONE
    assert capsys.readouterr().out.strip() == "toy: A toy. (presets: small, usual)"
    assert cli.run(["recipes", "--json"]) == cli.DONE
    assert json.loads(capsys.readouterr().out)[0]["name"] == "toy"


def test_a_stopped_run_is_code_130_and_a_second_process_prints_nothing(
    calls: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert cli.run(["train", "toy", "num_steps=15", "--device", "cpu"]) == cli.STOPPED
    assert "the same command goes on" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "1")
    assert cli.run(["train", "toy", "--device", "cpu"]) == cli.DONE
    assert capsys.readouterr().out == ""


def test_reproduce_runs_its_recipe_in_a_folder_of_its_own_and_prints_the_table(
    calls: list[Any], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)

    def run(config: Settings, run_dir: Path, device: torch.device) -> Path:
        calls.append((config, run_dir, device))
        run_dir.mkdir(parents=True)
        (run_dir / "table.md").write_text("| the table |\n")
        return run_dir / "table.md"

    road = replace(recipes.RECIPES["toy"], run=run)
    monkeypatch.setattr(recipes, "RECIPES", {"world_reproduce": road})
    assert cli.run(["reproduce", "world", "name=mine", "--preset", "small", "--device", "cpu"]) == cli.DONE
    assert capsys.readouterr().out == "| the table |\n"
    wanted = Path("runs/reproduce_world_small")
    assert calls == [(Settings(num_steps=2, name="mine"), wanted, torch.device("cpu"))]
    assert cli.run(["reproduce", "world", "--preset", "tiny"]) == cli.USAGE
    assert cli.run(["reproduce", "mars"]) == cli.USAGE
