import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from rufous.checkpoints import Manifest, save_release
from rufous.core.errors import ConfigError
from rufous.recipes.processes import Processes
from rufous.recipes.stages import Road, Row, Stage, markdown_table
from rufous.training import TrainConfig
from tests.tiny_release import tiny_components

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Settings:
    train: TrainConfig
    value: int = 1


@pytest.fixture
def road(tmp_path: Path) -> Road:
    return Road(tmp_path, Processes(CPU, None))


def stage(road: Road, runs: list[str], name: str = "first", **changes: int) -> Stage:
    def run() -> None:
        runs.append(name)
        save_release(road.release(name), tiny_components(), Manifest(name=name), overwrite=True)

    return Stage(name, Settings(train=TrainConfig(num_steps=changes.pop("num_steps", 5)), **changes), run)


def test_a_stage_that_is_done_is_passed_by_until_its_steps_or_its_release_change(road):
    runs: list[str] = []
    road.go([stage(road, runs)])
    road.go([stage(road, runs)])
    assert runs == ["first"]
    road.go([stage(road, runs, num_steps=6)])
    assert runs == ["first"] * 2
    save_release(road.release("first"), tiny_components(), Manifest(name="other"), overwrite=True)
    assert not road.is_done(stage(road, runs, num_steps=6))


def test_a_road_of_other_settings_is_refused_before_anything_runs(road):
    runs: list[str] = []
    road.go([stage(road, runs), stage(road, runs, "second")])
    before = Manifest.load(road.release("first")).id
    for changed in (stage(road, runs, value=2), stage(road, runs, num_steps=6)):
        with pytest.raises(ConfigError, match=r"first: (value|train\.num_steps) was"):
            road.go([changed, stage(road, runs, "second")])
    with pytest.raises(ConfigError, match=r"second: value was 1 and is 2\. Use the old values"):
        road.go([stage(road, runs), stage(road, runs, "second", value=2), stage(road, runs, "third")])
    assert runs == ["first", "second"]
    road.go([stage(road, runs), stage(road, runs, "second", num_steps=6), stage(road, runs, "third")])
    assert runs == ["first", "second", "second", "third"]
    assert Manifest.load(road.release("first")).id == before


def test_a_stage_that_fails_leaves_no_mark_and_those_before_it_done(road):
    def fail() -> None:
        raise RuntimeError("stopped")

    runs: list[str] = []
    first = stage(road, runs)
    broken = Stage("second", first.config, fail)
    with pytest.raises(RuntimeError, match="stopped"):
        road.go([first, broken])
    assert road.is_done(first)
    assert not road.is_done(broken)


def test_the_table_has_a_line_for_each_row():
    found = {"all_right": 0.5, "all_right_95": [0.25, 0.75], "motion_magnitude": 0.25}
    row = Row("teacher", Path("teacher"), 50, 16)
    figures = {"seen": found, "held_out": found, "frechet": 0.125, "parameters": 5_000_000}
    line = markdown_table([(row, {**figures, "seconds_per_clip": {"denoise": 2.0}})]).splitlines()[2]
    assert line.startswith("| teacher | 5.00 M | 50 | 16 | 0.500 (0.250 to 0.750) |")
    assert line.endswith("| 0.250 | 0.1250 | 2.00 s |")
    assert markdown_table([(row, figures)]).splitlines()[2].endswith("| - |")


def test_a_difference_is_of_the_same_prompts():
    found = {"all_right": 0.5, "all_right_95": [0.25, 0.75], "motion_magnitude": 0.25}
    figures = {"seen": found, "held_out": found, "frechet": 0.125, "parameters": 5_000_000}
    worse = {"seen": [1, 0] * 20, "held_out": [0, 1] * 20}
    better = {"seen": [1, 0] * 20, "held_out": [1] * 40}  # the same half right, and 20 more
    rows = [
        (Row("before", Path("before"), 4, 16), {**figures, "right_by_clip": worse}),
        (Row("after", Path("after"), 4, 16, against="before"), {**figures, "right_by_clip": better}),
    ]
    before, after = (line.split(" | ")[6] for line in markdown_table(rows).splitlines()[2:])
    assert before == "-"
    difference, low, high = (float(part) for part in re.findall(r"[+-]?\d\.\d+", after))
    assert difference == 0.25
    assert 0.1 < low < 0.25 < high < 0.4
    assert after.endswith("to before")


def judged_rows(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for the judge; gives the folders of what was judged, as they come."""
    judged: list[str] = []
    found = {"all_right": 0.5, "all_right_95": [0.25, 0.75], "motion_magnitude": 0.25}
    right = {"seen": [1, 0], "held_out": [0, 1]}

    def judge(settings, folder, device):
        judged.append(folder.name)
        folder.mkdir(parents=True, exist_ok=True)
        report = {"config": {}, "seen": found, "held_out": found, "frechet": 1.0, "right_by_clip": right}
        (folder / "truth.json").write_text(json.dumps(report))

    monkeypatch.setattr("rufous.recipes.stages.judge", judge)
    return judged


def test_rows_are_judged_once_for_each_release(road, tmp_path, monkeypatch):
    judged = judged_rows(monkeypatch)
    save_release(tmp_path / "one", tiny_components(), Manifest(name="one"))
    rows = [Row("one, 4 steps", tmp_path / "one", 4, 16), Row("one, 2 steps", tmp_path / "one", 2, 16)]
    for _ in range(2):
        table = road.write_table(rows, num_prompts=4, features="world-video-text")
    assert judged == ["one_4_steps", "one_2_steps"]
    assert table.read_text().count("\n") == 4
    assert [row["row"] for row in json.loads((tmp_path / "table.json").read_text())] == [r.name for r in rows]


def test_a_row_without_the_figures_of_each_prompt_is_judged_again(road, tmp_path, monkeypatch):
    judged = judged_rows(monkeypatch)
    save_release(tmp_path / "one", tiny_components(), Manifest(name="one"))
    rows = [Row("before", tmp_path / "one", 4, 16), Row("after", tmp_path / "one", 2, 16, against="before")]
    road.write_table(rows, num_prompts=4, features="world-video-text")
    old = tmp_path / "truth" / "before" / "truth.json"  # as earlier versions wrote it
    old.write_text(
        json.dumps({key: v for key, v in json.loads(old.read_text()).items() if key != "right_by_clip"})
    )
    table = road.write_table(rows, num_prompts=4, features="world-video-text")
    assert judged == ["before", "after", "before"]
    assert "+0.000" in table.read_text()
