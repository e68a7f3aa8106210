"""The page says what is computed, what failed and what the machine is; the picture shows measured rows."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from rufous.core.bar_chart import MARKED, PLAIN
from rufous.evaluation.benchmark.report import benchmark_page, benchmark_picture, seconds_text
from rufous.evaluation.benchmark.results import BenchmarkResults, RowResult


def test_the_page_tells_rows_machine_failures_and_what_is_computed(results: BenchmarkResults):
    page = benchmark_page(results, picture="results.svg")
    lines = page.splitlines()
    small, large = (next(line for line in lines if f"`{name}`" in line) for name in ("small", "table2/large"))
    assert "| 12.0 s (10.0 to 14.0) | 28.0 s |" in small
    assert "| 10.0 s, computed |" in large
    assert large.endswith("| 1.3 s |")
    assert "* `table2/huge`: out of memory: it was too large (at least 23.00 GB were in use)" in lines
    assert "Some CPU" in page
    assert "`OMP_NUM_THREADS=1`" in page
    assert "bf16 2 GFLOP/s" in page
    assert "copy 1.0 GB/s" in page
    assert "![times and memory](results.svg)" in page
    assert "* diffusers/modelscope: not installed" in lines
    assert "differed by" not in page


def test_memory_is_told_by_stage_or_as_not_measured(results: BenchmarkResults, calls_row: RowResult):
    page = benchmark_page(results)
    assert "| `small` | 0.40 / 0.30 GB | 0.70 / 0.70 GB | 0.60 / 0.60 GB |" in page
    assert "cannot tell peak memory by stage" not in page
    unknown = replace(calls_row, cold_peak_bytes=None, warm_peak_bytes=None)
    page = benchmark_page(replace(results, rows=(unknown,)))
    assert page.count("| not measured") == 4
    assert "This system cannot tell peak memory by stage" in page


def test_a_row_that_was_never_warm_says_so(results: BenchmarkResults, calls_row: RowResult):
    never_warm = replace(calls_row, cold_s={stage: each[0] for stage, each in calls_row.warm_s.items()})
    assert never_warm.has_no_warm_round
    page = benchmark_page(replace(results, rows=(never_warm,)))
    assert "| 10.0 s, computed, one cold round |" in page
    assert "nothing was measured warm" in page
    assert "one cold round" not in benchmark_page(results)


def test_a_machine_that_changed_its_rate_is_told(results: BenchmarkResults):
    slower = replace(results.peaks_after, flop_per_s={"fp32": 1e9, "bf16": 1e9, "fp16": 1e9})
    assert "differed by 50% before and after" in benchmark_page(replace(results, peaks_after=slower))


def test_the_notes_are_those_of_the_rows_that_are_there(results: BenchmarkResults):
    clips_only = replace(results, rows=results.rows[:1], left_out=())
    page = benchmark_page(clips_only)
    assert "Computed" not in page
    assert "paper" not in page.lower()
    assert "## " not in page


def test_the_picture_has_a_bar_a_row_and_marks_computed_totals(results: BenchmarkResults):
    root = ElementTree.fromstring(benchmark_picture(results))
    bars = root.findall("{http://www.w3.org/2000/svg}rect")[2:]
    assert [bar.get("fill") for bar in bars] == [PLAIN, MARKED] * 4
    with pytest.raises(ValueError, match="no row was measured"):
        benchmark_picture(replace(results, rows=results.rows[1:2]))


def test_seconds_have_three_digits():
    assert [seconds_text(s) for s in (0.01234, 4.567, 45.0, 123.4, 1234.5)] == [
        "0.0123",
        "4.57",
        "45.0",
        "123",
        "1234",
    ]
