import pytest

from rufous.apps.evaluation_rows import (
    check_outside,
    outside_rows,
    row_names,
    without_aim,
    without_unsorted_flickering,
)
from rufous.evaluation.dimensions.rows import ROW_NAMES
from rufous.evaluation.vbench.known_suites import find_suite
from rufous.evaluation.vbench.results import DimensionResult, write_eval_results
from rufous.evaluation.vbench.suite import SuiteEntry
from tests.evaluation.results_of import loaded_rows

FLICKER = [SuiteEntry(prompt="a lake", dimensions=("temporal_flickering",))]


def test_without_a_suite_every_row_is_measured_but_those_for_suites():
    assert set(ROW_NAMES) - set(row_names(None, None)) == {"static_filter", "temporal_flickering"}
    assert row_names("world_truth, static_filter", None) == ["world_truth", "static_filter"]


def test_flickering_of_all_clips_never_has_the_name_of_vbenchs_row():
    unfiltered = ["unfiltered_temporal_flickering"]
    assert row_names("temporal_flickering", None) == unfiltered
    assert row_names("unfiltered_temporal_flickering,temporal_flickering", None) == unfiltered


def test_a_suite_brings_the_rows_that_it_asks_for():
    names = row_names(None, find_suite("world"))
    assert "unfiltered_temporal_flickering" in names
    assert not {"temporal_flickering", "static_filter", "dynamic_degree", "proxy_color"} & set(names)
    assert row_names("temporal_flickering", FLICKER) == [
        "temporal_flickering",
        "static_filter",
        "unfiltered_temporal_flickering",
    ]
    with pytest.raises(ValueError, match="--suite asks for none of --rows color"):
        row_names("color", FLICKER)


def test_rows_without_anything_to_look_for_are_left_out_before_they_are_loaded():
    names = ["proxy_color", "appearance_style", "overall_consistency"]
    assert without_aim(names, None)[0] == ["overall_consistency"]
    kept, left_out = without_aim(
        names,
        [
            SuiteEntry(prompt="a", auxiliary={"appearance_style": {"appearance_style": "oil"}}),
            SuiteEntry(prompt="b", dimensions=("scene",), auxiliary={"color": {"color": "red"}}),
        ],
    )
    assert kept == ["appearance_style", "overall_consistency"]
    assert left_out["proxy_color"].startswith("no clip says what to look for")
    assert without_aim(names, [SuiteEntry(prompt="c", dimensions=("color",))])[0] == names[::2]


def test_a_row_that_needs_only_a_prompt_is_measured_under_a_suite_if_asked_for():
    assert "clipsim" not in row_names(None, FLICKER)
    assert "clipsim" in row_names(None, [SuiteEntry(prompt="a lake", dimensions=("clipsim",))])
    assert "clipsim" in row_names(None, [*FLICKER, SuiteEntry(prompt="a pond")])
    assert row_names("clipsim", FLICKER) == ["clipsim"]


def test_flickering_needs_the_filter():
    kept = without_unsorted_flickering(loaded_rows("temporal_flickering", "unfiltered_temporal_flickering"))
    assert list(kept.rows) == ["unfiltered_temporal_flickering"]
    assert "clips that move are not sorted out" in kept.left_out["temporal_flickering"]
    both = loaded_rows("temporal_flickering", "static_filter")
    assert without_unsorted_flickering(both) is both


def test_rows_from_outside_are_those_of_the_table_and_not_measured_here(tmp_path):
    outside = {"color": DimensionResult(score=0.5)}
    write_eval_results(tmp_path / "good.json", outside)
    assert outside_rows(tmp_path / "good.json") == outside
    write_eval_results(tmp_path / "bad.json", {"colour": DimensionResult(score=0.5)})
    with pytest.raises(ValueError, match="colour is no row of VBench's table"):
        outside_rows(tmp_path / "bad.json")
    check_outside(outside, loaded_rows("temporal_flickering"))
    with pytest.raises(ValueError, match="color would be measured here too"):
        check_outside(outside, loaded_rows("color"))
