import json
from pathlib import Path

import pytest

from rufous.evaluation.vbench.score_table import I2V, T2V, missing_rows, normalized, totals

PUBLISHED = json.loads((Path(__file__).parent / "published_table.json").read_text())["rows"]
LEADERBOARD = {
    "VideoCrafter2": (
        "96.85 98.22 98.41 97.73 42.50 63.13 67.22 92.55 40.66 95.00 92.92 35.86 55.29 25.13 25.84 28.23",
        (80.441, 82.197, 73.418),
    ),
    "LaVie": (
        "91.41 97.47 98.30 96.38 49.72 54.94 61.90 91.82 33.32 96.80 86.39 34.09 52.69 23.56 25.93 26.41",
        (77.085, 78.779, 70.307),
    ),
    "CogVideoX-5B": (
        "96.23 96.52 98.66 96.92 70.97 61.98 62.90 85.23 62.11 99.40 82.81 66.35 53.20 24.91 25.38 27.59",
        (81.612, 82.756, 77.037),
    ),
    "Pika-1.0": (
        "96.94 97.36 99.74 99.50 47.50 62.04 61.87 88.72 43.08 86.20 90.57 61.03 49.83 22.26 24.22 25.94",
        (80.685, 82.914, 71.767),
    ),
}


@pytest.mark.parametrize("model", PUBLISHED)
def test_every_row_of_the_published_table_closes_to_its_rounding(model):
    row = PUBLISHED[model]
    found = totals({name: row[name] / 100 for name in T2V.rows})
    for name, value in (("total", found.total), *found.groups.items()):
        assert 100 * value == pytest.approx(row[name], abs=0.01), name


@pytest.mark.parametrize("model", LEADERBOARD)
def test_rows_of_the_leaderboard_give_their_totals(model):
    values, expected = LEADERBOARD[model]
    scores = {name: float(value) / 100 for name, value in zip(T2V.rows, values.split(), strict=True)}
    found = totals(scores)
    got = [100 * value for value in (found.total, found.groups["quality"], found.groups["semantic"])]
    assert got == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(
    ("value", "total"), [(0.0, -0.571748), (1.0, 1.139307), (0.5, 0.283779), ("high", 1.0)]
)
def test_nothing_is_clipped(value, total):
    scores = {name: row.high if value == "high" else value for name, row in T2V.rows.items()}
    assert totals(scores).total == pytest.approx(total, abs=1e-6)
    if value == 0.0:
        assert totals(scores).groups["quality"] == pytest.approx(-0.714598, abs=1e-6)
        assert totals(scores).groups["semantic"] == pytest.approx(-0.000351, abs=1e-6)


def test_names_may_have_spaces_and_strange_ones_are_passed_over():
    scores = {name.replace("_", " "): 0.5 for name in T2V.rows} | {"proxy_color": 3.0}
    assert totals(scores).total == pytest.approx(0.283779, abs=1e-6)


def test_a_missing_dimension_is_refused_in_a_total():
    scores = {name: 0.5 for name in T2V.rows if name not in ("color", "scene")}
    assert missing_rows(scores) == ["color", "scene"]
    with pytest.raises(ValueError, match="no total of VBench T2V without color, scene"):
        totals(scores)


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="scene is not finite"):
        totals({**dict.fromkeys(T2V.rows, 0.5), "scene": float("nan")})


def test_image_to_video_weighs_nine_rows():
    assert sum(row.weight for row in I2V.rows.values() if row.group == "i2v") == pytest.approx(2.1)
    assert sum(row.weight for row in I2V.rows.values() if row.group == "quality") == pytest.approx(5.5)
    scores = {name: row.high for name, row in I2V.rows.items()} | {"camera_motion": 0.0}
    assert totals(scores, I2V).groups == pytest.approx({"i2v": 2.0 / 2.1, "quality": 1.0})
    assert totals(scores, I2V).total == pytest.approx((2.0 / 2.1 + 1.0) / 2)


def test_a_row_scales_its_range_to_one():
    row = T2V.rows["appearance_style"]
    assert normalized(row, 0.0009) == 0.0
    assert normalized(row, 0.2855) == 1.0
