from dataclasses import replace

import pytest

from rufous.compression import ClipSize
from rufous.compression.footprint import Footprint
from rufous.compression.report import (
    BlockFigures,
    PruningReport,
    importance_picture,
    report_page,
)

BEFORE = Footprint(parameters=1_000_000, size_bytes=2_000_000, flop=4e9, latency_s=0.5)
REPORT = PruningReport(
    goal="-45%",
    removed=("middle_block", "input_blocks.5.1"),
    before=BEFORE,
    after=replace(BEFORE, parameters=540_000, size_bytes=1_080_000, flop=3e9, latency_s=0.25),
    size=ClipSize(),
    timed_on="cpu in float32",
    num_calls=8,
    output_change=0.125,
    blocks=(
        BlockFigures(
            name="middle_block",
            parameters=400_000,
            latency_s=0.0015,
            output_change=0.02,
            influence=0.3,
            is_removed=True,
        ),
        BlockFigures(name="output_blocks.1", parameters=9, output_change=0.5, influence=0.6),
    ),
    num_tensors=70,
    dropped_tensors=("middle_block.0.in_layers.0.weight",),
    student_config={"removed_blocks": ["input_blocks.5.1", "middle_block"]},
)


def test_the_page_says_what_went_what_it_cost_and_how_that_was_measured():
    page = report_page(REPORT, name="small", teacher="large (0123)")
    for part in (
        "# small: large (0123), pruned to -45%",
        "* `middle_block`",
        "| parameters | 1,000,000 | 540,000 | -46.0% |",
        "| bytes | 2,000,000 | 1,080,000 | -46.0% |",
        "| operations of a pass | 4e+09 | 3e+09 | -25.0% |",
        "| latency of a pass | 500.0 ms | 250.0 ms | -50.0% |",
        "16 frames of 40x64 latents",
        "medians on cpu in float32",
        "on 8 calls",
        "arXiv:2404.11098",
        "arXiv:2403.03853",
        "| `middle_block` | 400,000 | 1.50 ms | 0.0200 | 0.3000 | removed |",
        "| `output_blocks.1` | 9 |  | 0.5000 | 0.6000 |  |",
        "changes the output by 0.1250",
        "(importance.svg)",
    ):
        assert part in page, part


def test_without_importance_the_page_has_no_picture_and_without_times_no_latency():
    costs = {"before": replace(REPORT.before, latency_s=None), "after": replace(REPORT.after, latency_s=None)}
    bare = replace(REPORT, num_calls=0, output_change=None, timed_on=None, **costs)
    page = report_page(bare, name="small", teacher="large")
    assert "importance" not in page.lower()
    assert "Times were not measured" in page
    assert "latency" not in page


def test_the_picture_shows_what_was_measured():
    picture = importance_picture(REPORT)
    assert picture.count("output change when skipped") == picture.count("block influence") == 1
    influence = [replace(block, output_change=None) for block in REPORT.blocks]
    assert "output change" not in importance_picture(replace(REPORT, blocks=tuple(influence)))
    nothing = [replace(block, influence=None) for block in influence]
    with pytest.raises(ValueError, match="nothing to draw"):
        importance_picture(replace(REPORT, blocks=tuple(nothing)))
