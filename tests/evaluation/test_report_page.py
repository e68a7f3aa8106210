import re
from pathlib import Path

import pytest

from rufous.evaluation.paired import compare_results
from rufous.evaluation.report_page import drawn_value, render_report, write_report
from rufous.video import write_video
from rufous.world import WorldClips
from tests.evaluation.results_of import results_of

RESULTS = results_of(
    "<b>me</b>", temporal_flickering=[0.9, 0.7, 0.8, 0.95], x=[0.1, 0.2, 0.3, 0.4], y=[1.0] * 4
)


@pytest.fixture
def clips(tmp_path: Path) -> dict[str, Path]:
    """A file for two of the four clips."""
    frames = WorldClips(seed=1)[0].frames
    return {f"a <prompt>-{i}.mp4": write_video(tmp_path / f"{i}.mp4", frames, fps=8.0) for i in (0, 1)}


def test_the_page_fetches_nothing_and_runs_nothing(clips, tmp_path):
    write_report(tmp_path / "report.html", RESULTS, clips=clips)
    page = (tmp_path / "report.html").read_text()
    assert "default-src 'none'" in page
    assert not re.search(r"<script|javascript:|https?://(?!www\.w3\.org)|<b>me</b>", page)
    assert page.count("<svg") == 2


def test_the_lowest_clips_of_a_row_are_shown_with_frames(clips):
    page = render_report(RESULTS, clips=clips)
    flicker = page[page.index("<h3>temporal_flickering") : page.index("<h3>x")]
    assert re.findall(r"<b>([\d.]+)</b>", flicker) == ["0.7000", "0.8000", "0.9000"]
    assert flicker.count("data:image/webp;base64,") == 2
    assert "a &lt;prompt&gt;-1.mp4" in flicker
    assert "<h3>y" not in page


def test_a_missing_total_says_what_it_lacks():
    page = render_report(RESULTS, clips={})
    assert "No VBench total: 1 of 16 rows; missing subject_consistency" in page


def test_the_bias_of_few_clips_is_told():
    distance = {"distance": 0.5, "floor": 0.1, "num_clips": 2, "num_features": 64}
    distance |= {"num_frames": 4, "fps": 8.0, "num_otherwise": 0, "label": "proxy"}
    results = {**RESULTS, "world": {"frechet": {**distance, "warning": "2 clips are few"}}}
    page = render_report(results, clips={})
    assert "<b>2 clips are few.</b>" in page
    assert "Frechet distance to 2 clips of the world (proxy): 0.5000" in page
    assert "clips are few" not in render_report({**RESULTS, "world": {"frechet": distance}}, clips={})


def test_a_comparison_says_no_difference():
    spread = [i / 10 for i in range(8)]
    other = results_of("before", x=[value + 0.2 for value in spread], y=spread)
    results = results_of("me", x=spread, y=spread)
    page = render_report(results, clips={}, other=other, comparison=compare_results(other, results))
    table = page[page.index("Compared with before") :]
    assert "no difference" in table
    assert "this one lower by 0.2000" in table
    few = render_report(RESULTS, clips={}, other=RESULTS, comparison=compare_results(RESULTS, RESULTS))
    assert "too few to tell: 4 prompts, 8 or more are needed" in few


def test_published_rows_are_drawn_on_the_scale_of_the_table():
    assert drawn_value("temporal_flickering", 0.6293) == 0.0
    assert drawn_value("proxy_scene", 0.8222) == 1.0
    assert drawn_value("world_truth", 0.5) == 0.5
    assert drawn_value("scene", None) is None


def test_what_does_not_count_cannot_be_compared_and_how_it_was_run_is_told():
    results = results_of("me", temporal_flickering=[0.5, 0.6])
    results["rows"]["temporal_flickering"]["not_counted"] = {"it <moves>": 3}
    results["run"] = {"date": "2026-01-01", "suite": {"file": "x.json", "sha256": "ab"}}
    page = render_report(results, clips={}, other=RESULTS)
    assert "<b>temporal_flickering</b>: 3 clips: it &lt;moves&gt;" in page
    assert "Nothing to compare: see the problems." in page
    assert "<b>date</b>: 2026-01-01" in page
