import json

import pytest

from rufous.evaluation.dimensions.dimension import ClipScore
from rufous.evaluation.results_file import (
    clip_values,
    collect_results,
    read_results,
    write_results,
    write_vbench_files,
)
from rufous.evaluation.vbench.results import DimensionResult, read_eval_results
from rufous.evaluation.vbench.score_table import T2V, totals
from rufous.evaluation.vbench.suite import Problem, SuiteEntry
from tests.evaluation.results_of import loaded_rows, measured_clip, results_of

TRUE = ClipScore(value=1.0, details={"attributes": {"shape": "right", "color": "right"}, "reasons": []})
FALSE = ClipScore(value=0.0, details={"attributes": {"shape": "wrong", "color": "right"}, "reasons": []})


def test_rows_are_weighted_means_with_intervals():
    measured = [
        measured_clip(0, {"subject_consistency": ClipScore(value=1.0, weight=3)}),
        measured_clip(1, {"subject_consistency": ClipScore(value=0.0, weight=1)}),
        measured_clip(2, {"subject_consistency": ClipScore(value=None)}, Problem("c.mp4", "broken")),
    ]
    loaded = loaded_rows("subject_consistency", identity="abc", dynamic_degree="raft is missing")
    results = collect_results("me", measured, loaded, problems=[Problem("d.mp4", "missing")])
    row = results["rows"]["subject_consistency"]
    assert (row["score"], row["num_clips"], row["label"], row["networks"]) == (0.75, 2, "exact", "abc")
    assert row["interval_95"] is None
    assert results["left_out"] == {"dynamic_degree": "raft is missing"}
    assert [p["file"] for p in results["problems"]] == ["d.mp4", "c.mp4"]
    assert results["clips"][0]["prompt"] == "a <prompt> 0"


def test_intervals_are_over_prompts_and_few_prompts_have_none():
    alike = [i / 8 for i in range(8) for _ in range(5)]  # five clips of a prompt tell what one of them tells
    many, single = results_of("me", samples=5, x=alike), results_of("me", x=alike[::5])
    assert many["rows"]["x"]["interval_95"] == pytest.approx(single["rows"]["x"]["interval_95"])
    assert results_of("me", samples=5, x=alike[:35])["rows"]["x"]["interval_95"] is None


def test_a_total_needs_every_row():
    half = results_of("me", temporal_flickering=[0.5, 0.7])
    assert half["total"] is None
    assert len(half["total_lacks"]) == 15
    whole = results_of("me", **{row: [0.5] for row in T2V.rows})
    assert whole["total"]["total"] == pytest.approx(totals(dict.fromkeys(T2V.rows, 0.5)).total)
    proxies = {f"proxy_{row}" if row == "color" else row: [0.5] for row in T2V.rows}
    assert results_of("me", **proxies)["total_lacks"] == ["color"]


def test_truth_is_told_by_attribute():
    measured = [measured_clip(0, {"world_truth": TRUE}), measured_clip(1, {"world_truth": FALSE})]
    distance = {"distance": 0.5, "floor": 0.1, "num_clips": 2, "num_features": 64}
    results = collect_results("me", measured, loaded_rows("world_truth"), world_distance=distance)
    assert results["world"]["attributes"]["shape"]["right"] == 0.5
    assert results["world"]["attributes"]["color"]["right"] == 1.0
    assert results["world"]["frechet"] == distance
    assert results["clips"][1]["attributes"] == {"shape": "wrong", "color": "right"}


def test_results_go_there_and_back(tmp_path):
    results = results_of("me", temporal_flickering=[0.5, None])
    write_results(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results
    assert clip_values(results, "temporal_flickering") == {("a <prompt> 0", 0): 0.5}
    for text, message in (("{", "is no JSON"), ("{}", "holds no results")):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            read_results(tmp_path / "x.json")


def test_files_for_vbench_hold_its_own_rows_alone(tmp_path):
    score = ClipScore(value=0.4, details={"video_results": 40.0})
    measured = [measured_clip(0, {"imaging_quality": score, "proxy_color": score, "world_motion": score})]
    loaded = loaded_rows("imaging_quality", "proxy_color", "world_motion", "temporal_flickering")
    path = write_vbench_files(tmp_path, "run", measured, loaded)
    assert path.name == "run_eval_results.json"
    assert json.loads(path.read_text()) == {
        "imaging_quality": [0.4, [{"video_results": 40.0, "video_path": "clips/a <prompt>-0.mp4"}]]
    }
    assert read_eval_results(path)["imaging_quality"].score == 0.4


def test_clips_are_listed_by_prompt_as_vbench_lists_them(tmp_path):
    score = ClipScore(value=0.5)
    measured = [measured_clip(i, {"temporal_flickering": score}, samples=2) for i in (0, 1)]
    loaded = loaded_rows("temporal_flickering")
    suite = [
        SuiteEntry(
            prompt="a <prompt> 0", dimensions=("temporal_flickering",), others={"image_name": "x.jpg"}
        ),
        SuiteEntry(prompt="another", dimensions=("color",)),
    ]
    write_vbench_files(tmp_path, "run", measured, loaded, entries=suite)
    first, second = json.loads((tmp_path / "run_full_info.json").read_text())
    assert first["video_list"] == ["clips/a <prompt>-0.mp4", "clips/a <prompt>-1.mp4"]
    assert first["image_name"] == "x.jpg"
    assert second == {"prompt_en": "another", "dimension": ["color"], "video_list": []}
    write_vbench_files(tmp_path, "run", measured, loaded)
    [only] = json.loads((tmp_path / "run_full_info.json").read_text())
    assert (only["prompt_en"], only["dimension"]) == ("a <prompt> 0", ["temporal_flickering"])


def test_clips_that_a_row_is_not_for_are_told_and_not_listed(tmp_path):
    moving = ClipScore(value=None, details={"note": "it moves"})
    measured = [
        measured_clip(i, {"temporal_flickering": score})
        for i, score in enumerate([ClipScore(value=0.5), moving])
    ]
    loaded = loaded_rows("temporal_flickering")
    row = collect_results("me", measured, loaded)["rows"]["temporal_flickering"]
    assert (row["num_clips"], row["not_counted"]) == (1, {"it moves": 1})
    path = write_vbench_files(tmp_path, "run", measured, loaded)
    assert len(json.loads(path.read_text())["temporal_flickering"][1]) == 1


def test_rows_from_outside_complete_the_total_under_their_own_label(tmp_path):
    outside = {"color": DimensionResult(score=0.5, videos=({}, {}))}
    rows = [row for row in T2V.rows if row != "color"]
    measured = [measured_clip(0, {row: ClipScore(value=0.5) for row in rows})]
    loaded = loaded_rows(*rows, color="GRiT is not here")
    assert collect_results("me", measured, loaded)["total"] is None
    results = collect_results("me", measured, loaded, outside=outside, run={"date": "today"})
    assert results["total"]["total"] == pytest.approx(totals(dict.fromkeys(T2V.rows, 0.5)).total)
    assert results["rows"]["color"]["label"] == "outside"
    assert results["rows"]["color"]["num_clips"] == 2
    assert results["left_out"] == {}
    assert results["run"] == {"date": "today"}


def test_our_own_files_beside_vbenchs_are_no_results_of_it(tmp_path):
    measured = [measured_clip(0, {"temporal_flickering": ClipScore(value=0.5)})]
    loaded = loaded_rows("temporal_flickering")
    write_results(tmp_path / "results.json", collect_results("me", measured, loaded))
    write_vbench_files(tmp_path, "results", measured, loaded)
    assert list(read_eval_results(tmp_path)) == ["temporal_flickering"]
