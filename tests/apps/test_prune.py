"""``rufous prune``: the command line; choosing and carrying over have their own tests."""

import json
import time
from pathlib import Path

import pytest

from rufous.apps import cli
from rufous.checkpoints import load_component, verify_release


def test_a_budget_needs_nothing_but_the_release(
    tiny_release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = [
        "prune",
        str(tiny_release),
        "-o",
        str(tmp_path / "small"),
        "--budget",
        "-25%",
        "--steps",
        "1",
    ]
    arguments += ["--blocks", "stages", "--device", "cpu", "--latency-calls", "1", "--quiet"]
    assert cli.run(arguments) == cli.DONE
    shown = capsys.readouterr().out
    assert shown.startswith((tmp_path / "small" / "pruning.md").read_text())
    assert "tiny-pruned: tiny (" in shown
    assert "| `middle_block` |" in shown
    manifest = verify_release(tmp_path / "small")
    assert {"pruning.json", "pruning.md", "importance.svg"} <= manifest.files.keys()
    report = json.loads((tmp_path / "small" / "pruning.json").read_text())
    assert report["after"]["parameters"] <= 0.75 * report["before"]["parameters"]
    assert report["num_calls"] == 4  # prompts, each with and without guidance at once


def test_a_preset_prints_json_and_samples_nothing(
    tiny_release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = ["prune", str(tiny_release), "-o", str(tmp_path / "small"), "--preset", "hummingbird-0.7b"]
    assert cli.run([*arguments, "--json", "--quiet", "--device", "cpu"]) == cli.DONE
    report = json.loads(capsys.readouterr().out)
    assert report["removed"] == ["middle_block"]
    assert report["num_calls"] == 0
    assert report["after"]["latency_s"] > 0


def test_a_presets_blocks_are_measured_and_drawn_where_that_is_asked_for(tiny_release: Path, tmp_path: Path):
    arguments = ["prune", str(tiny_release), "-o", str(tmp_path / "small"), "--preset", "hummingbird-0.7b"]
    arguments += ["--importance", "output", "--blocks", "stages", "--steps", "1", "--latency-calls", "0"]
    assert cli.run([*arguments, "--device", "cpu", "--quiet"]) == cli.DONE
    manifest = verify_release(tmp_path / "small")
    assert "importance.svg" in manifest.files
    assert manifest.seeds == {"calibration": 0}
    report = json.loads((tmp_path / "small" / "pruning.json").read_text())
    assert (report["removed"], report["num_calls"]) == (["middle_block"], 4)
    assert report["output_change"] > 0
    assert all(block["output_change"] is not None for block in report["blocks"])


def test_a_budget_of_time_is_met_by_times_that_were_measured(
    tiny_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(time, "perf_counter", time.process_time)  # a busy machine stretches passes at random
    arguments = ["prune", str(tiny_release), "-o", str(tmp_path / "small"), "--budget", "1.01x"]
    arguments += ["--blocks", "stages", "--steps", "1", "--latency-calls", "3"]
    assert cli.run([*arguments, "--device", "cpu", "--quiet"]) == cli.DONE
    verify_release(tmp_path / "small")
    report = json.loads((tmp_path / "small" / "pruning.json").read_text())
    assert report["removed"]
    assert report["after"]["parameters"] < report["before"]["parameters"]
    assert 0 < report["after"]["latency_s"] < report["before"]["latency_s"]
    assert all(block["latency_s"] is not None for block in report["blocks"])


def test_a_students_config_file_is_read(tiny_release: Path, tmp_path: Path):
    values = json.loads((tiny_release / "unet" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"removed_blocks": ["middle_block.1"]}))
    arguments = ["prune", str(tiny_release), "-o", str(tmp_path / "small"), "--latency-calls", "0", "--quiet"]
    assert cli.run([*arguments, "--student", str(tmp_path / "config.json")]) == cli.DONE
    assert load_component(tmp_path / "small", "unet").config.removed_blocks == {"middle_block.1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "0 goals were given"),
        (["--budget=45%"], "budget '45%' asks for nothing"),
        (["--budget=-99%", "--latency-calls=0", "--steps=1"], "budget '-99%' cannot be reached"),
        (["--preset=hummingbird-0.9b"], "hummingbird-0.9b removes nothing"),
        (["--preset=hummingbird-0.7b", "--remeasure"], "remeasure needs a budget"),
        (["--student=TEACHER"], "a given config removes nothing"),
        (["--student=nofile.json"], "--student nofile.json: no such file"),
        (["--preset=small"], "preset='small' is unknown: use one of hummingbird-0.9b"),
        (["--remove=middle"], "block 'middle' is none that can go: did you mean 'middle_block'?"),
    ],
)
def test_a_wrong_goal_is_one_line_and_leaves_nothing(
    options: list[str],
    message: str,
    tiny_release: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    arguments = ["prune", str(tiny_release), "-o", str(tmp_path / "small"), "--device=cpu", "--quiet"]
    teachers_config = str(tiny_release / "unet" / "config.json")
    arguments += [option.replace("TEACHER", teachers_config) for option in options]
    assert cli.run(arguments) == cli.USAGE
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists_is_kept(tiny_release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "notes.txt").write_text("mine")
    arguments = ["prune", str(tiny_release), "-o", str(tmp_path / "small"), "--remove=middle_block"]
    assert cli.run([*arguments, "--overwrite"]) == cli.FAILURE
    assert "is not a release, so it is not overwritten" in capsys.readouterr().err
    assert (tmp_path / "small" / "notes.txt").read_text() == "mine"
