"""Figures that follow from what was measured, on numbers that one can add up by heart."""

import json
from dataclasses import replace

import pytest

from rufous.core.config import from_json_dict, to_json_dict
from rufous.evaluation.benchmark.results import BenchmarkResults, RowResult, Spread, to_report


def test_a_spread_is_median_lowest_and_highest():
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(median=2.5, low=1.0, high=10.0, count=4)


def test_whole_clips_add_up_round_by_round(clips_row: RowResult):
    assert clips_row.total_s() == Spread(median=12.0, low=10.0, high=14.0, count=2)
    assert clips_row.step_s() == Spread(median=2.5, low=2.0, high=3.0, count=2)
    assert clips_row.stage_s("decode").median == 1.5
    assert clips_row.cold_total_s() == pytest.approx(2 + 3 + 0.5 + 20 + 2 + 0.5)


def test_single_calls_are_multiplied_by_how_many_a_clip_takes(calls_row: RowResult):
    assert calls_row.total_s().median == pytest.approx(0.1 + 4 * 2.0 + 16 * 0.1 + 0.3)
    assert calls_row.step_s().median == 2.0
    assert calls_row.stage_s("decode").median == pytest.approx(1.6)
    rest = 3 * 2.0 + 15 * 0.1  # calls after the first of each stage
    assert calls_row.cold_total_s() == pytest.approx(5.0 + 0.5 + 5.0 + 0.2 + 0.5 + rest)


def test_shares_are_of_the_better_peaks_in_the_rows_dtype(results: BenchmarkResults, clips_row: RowResult):
    faster = replace(results.peaks_after, flop_per_s={"fp32": 1e9, "bf16": 4e9, "fp16": 1e9})
    changed = replace(results, peaks_after=faster)
    assert clips_row.flop_share("denoise", results.peaks) == pytest.approx(1e10 / 10.0 / 2e9)
    assert clips_row.flop_share("denoise", changed.peaks) == pytest.approx(1e10 / 10.0 / 4e9)
    assert clips_row.flop_share("write", results.peaks) is None
    assert clips_row.copy_share(results.peaks) == pytest.approx(5e8 * 4 / 10.0 / 1e9)
    assert (results.drift, changed.drift) == (0.0, 0.5)


def test_the_memory_that_counts_is_the_gpus_where_there_is_one(clips_row: RowResult):
    assert clips_row.peak_bytes == 700_000_000
    assert replace(clips_row, peak_device_bytes=5).peak_bytes == 5


def test_a_row_survives_its_way_through_json(calls_row: RowResult):
    assert from_json_dict(RowResult, json.loads(json.dumps(to_json_dict(calls_row)))) == calls_row


def test_the_report_keeps_raw_times_order_and_failures(results: BenchmarkResults):
    report = json.loads(json.dumps(to_report(results)))
    assert [row["name"] for row in report["rows"]] == ["small", "table2/huge", "table2/large"]
    assert [row["failed"] for row in report["rows"]] == [False, True, False]
    assert report["rows"][0]["warm_s"]["denoise"] == [8.0, 12.0]
    assert report["rows"][2]["figures"]["total_is_computed"]
    assert report["machine"]["torch"] == "2.13.0"
    assert report["rows"][0]["figures"]["flop_shares"]["denoise"] == pytest.approx(0.5)
