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
from rufous.evaluation.vbench.results import read_eval_results
from rufous.evaluation.vbench.score_table import T2V, totals
from rufous.evaluation.vbench.suite import Problem
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
