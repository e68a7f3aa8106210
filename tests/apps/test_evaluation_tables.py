import json

import pytest

from rufous.apps.evaluation_tables import SHOWN_PROBLEMS, print_totals, rows_table, say_what_is_wrong
from rufous.evaluation.vbench.results import DimensionResult, write_eval_results
from rufous.evaluation.vbench.score_table import I2V, T2V
from tests.evaluation.results_of import results_of

VIDEOCRAFTER2 = (
    "96.85 98.22 98.41 97.73 42.50 63.13 67.22 92.55 40.66 95.00 92.92 35.86 55.29 25.13 25.84 28.23"
)


def test_totals_of_a_published_row_are_printed(tmp_path, capsys):
    scores = dict(zip(T2V.rows, VIDEOCRAFTER2.split(), strict=True))
    for group in ("quality", "semantic"):  # two files of one run
        rows = {
            name: DimensionResult(score=float(value) / 100)
            for name, value in scores.items()
            if T2V.rows[name].group == group
        }
        write_eval_results(tmp_path / f"{group}_eval_results.json", rows)
    print_totals(tmp_path, image_to_video=False, as_json=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["subject_consistency", "0.9685", "0.9631", "quality"]
    assert lines[-3:] == [["quality", "0.8220"], ["semantic", "0.7342"], ["total", "0.8044"]]
    print_totals(tmp_path, image_to_video=False, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["total"] == pytest.approx(0.80441, abs=1e-5)
    assert found["rows"]["color"] == 0.9292


def test_image_to_video_has_its_own_table(tmp_path, capsys):
    path = tmp_path / "i2v.json"
    write_eval_results(path, {name: DimensionResult(score=row.high) for name, row in I2V.rows.items()})
    print_totals(path, image_to_video=True, as_json=False)
    assert capsys.readouterr().out.splitlines()[-1].split() == ["total", "1.0000"]
    with pytest.raises(ValueError, match="no total of VBench T2V without temporal_flickering"):
        print_totals(path, image_to_video=False, as_json=False)


def test_a_whole_table_ends_with_its_total():
    assert "VBench total" in rows_table(results_of("me", **{row: [0.5] for row in T2V.rows}))
    assert "VBench total" not in rows_table(results_of("me", temporal_flickering=[0.5]))


def test_the_distance_of_the_world_is_told_with_its_label():
    results = results_of("me", temporal_flickering=[0.5])
    results["world"] = {"frechet": {"distance": 0.5, "floor": 0.25, "num_clips": 7, "label": "proxy"}}
    last = rows_table(results).splitlines()[-1]
    assert " ".join(last.split()) == "world Frechet distance 0.5000 real to real 0.2500 7 proxy"


def test_what_is_wrong_is_told_shortly(capsys):
    results = results_of("me", temporal_flickering=[0.5, 0.6])
    results["rows"]["temporal_flickering"]["not_counted"] = {"it moves": 3}
    results["num_passed_over"] = 7
    results["problems"] = [{"file": f"{i}.mp4", "reason": "missing"} for i in range(SHOWN_PROBLEMS + 2)]
    say_what_is_wrong(results)
    told = capsys.readouterr().err
    assert "not counted in temporal_flickering: 3 clips: it moves" in told
    assert "passed over: 7 clips beyond --samples" in told
    assert told.endswith("and 2 more problems, in results.json\n")
