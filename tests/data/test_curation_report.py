import re

import pytest

from rufous.data.clip import Clip
from rufous.data.curation_report import MAX_GROUPS, write_report
from rufous.data.engine import Curated
from rufous.data.filters import Filter, TagFilter, apply_filter, weigh_filters
from rufous.data.scan import ScanProblem


@pytest.fixture
def render(tmp_path, write_clip):
    """The page of a run over eight clips with two filters."""

    def make(**changes) -> str:
        clips = [
            Clip(
                source=f"{i}.mkv",
                end_s=1.0,
                scores={"flow": float(i)},
                tags={"camera": "pan" if i % 4 else "<zoom>"},
            )
            for i in range(8)
        ]
        for clip in clips[:6]:
            write_clip(clip.source, num_frames=4)
        clips.append(Clip(source="x.mp4", errors={"probe": "empty <file>"}, dropped="probe: empty <file>"))
        filters = [Filter(value="flow", min_percentile=50.0), TagFilter(value="camera", refused=("<zoom>",))]
        rows, used = clips, []
        for each in filters:
            rows, limits = apply_filter(each, rows)
            used.append((each, limits))
        curated = Curated(
            clips=tuple(rows),
            filters=tuple(weigh_filters(used, rows)),
            num_worked_on=9,
            seconds=4.5,
            stage_seconds={"probe": 1.0, "flow": 3.0},
        )
        write_report(
            tmp_path / "report.html",
            curated,
            title="Curation of <b>",
            root=tmp_path / "videos",
            problems=[ScanProblem(source="folder.mp4", reason="a folder, not a video file")],
            left_out={"dover": "no weights"},
            **changes,
        )
        return (tmp_path / "report.html").read_text()

    return make


def test_the_page_fetches_nothing_and_escapes_what_it_shows(render):
    text = render()
    assert "default-src 'none'" in text
    assert not re.search(r"<script|javascript:|https?://(?!www\.w3\.org)|<b>of|<zoom>|<file>", text)


def test_counts_filters_errors_and_throughput_are_told(render):
    text = render()
    cells = re.findall(r"<tr>(.*?)</tr>", text)
    rows = [re.findall(r"<t[dh]>(.*?)</t[dh]>", cell) for cell in cells]
    assert ["clips", "9"] in rows
    assert ["kept", "3 (33.3%), 3.0 s of video"] in rows
    assert ["flow&gt;=50%", "3.5", "4", "4", "4"] in rows
    assert ["camera!=&lt;zoom&gt;", "", "2", "1", "3"] in rows
    assert ["probe", "1", "empty &lt;file&gt;"] in rows
    assert ["flow", "3.0 s", "0.333 s", "75.0%"] in rows
    assert "9 clips were worked on in 4.5 s (2.00 a second)" in text
    assert "<b>folder.mp4</b>: a folder" in text
    assert "<b>dover</b>: no weights" in text


def test_the_neighbours_of_a_limit_are_shown_on_both_sides(render):
    text = render()
    kept = text[text.index("kept, nearest to 3.5") : text.index("dropped, nearest to 3.5")]
    dropped = text[text.index("dropped, nearest to 3.5") : text.index("<h3>camera")]
    assert re.findall(r"<b>([\d.]+)</b>", kept) == ["4", "5", "6"]
    assert re.findall(r"<b>([\d.]+)</b>", dropped) == ["3", "2", "1"]
    assert kept.count("data:image/webp") == 2  # 6.mkv is not there
    assert kept.count("cannot be read") == 1
    assert "6.mkv" in kept
    assert text.count("<svg") == 1


def test_clips_of_refused_and_other_names_are_shown(render):
    text = render()
    part = text[text.index("<h3>camera") : text.index("<h2>Dropped")]
    kept, dropped = part[part.index("kept, some of them") :].split("dropped, some of them")
    assert re.findall(r"<b>(.*?)</b> <span class=\"soft\">(.*?)<", kept) == [
        *(("pan", "5.mkv"), ("pan", "6.mkv"), ("pan", "7.mkv")),
    ]
    assert re.findall(r"<b>(.*?)</b> <span class=\"soft\">(.*?)<", dropped) == [
        ("&lt;zoom&gt;", "4.mkv"),
        ("&lt;zoom&gt;", "0.mkv, dropped by flow&gt;=50%"),
    ]
    assert (kept + dropped).count("data:image/webp") == 3  # 6.mkv and 7.mkv are not there


def test_every_group_has_its_neighbours_up_to_a_number_that_is_told(tmp_path):
    clips = [
        Clip(source=f"f{folder:02d}/{i}.mkv", end_s=1.0, scores={"flow": float(10 * folder + i)})
        for folder in range(MAX_GROUPS + 2)
        for i in range(4)
    ]
    texts = []
    for count in (3, MAX_GROUPS + 2):
        filter_ = Filter(value="flow", min_percentile=50.0, per="folder", sources="f*")
        others = [Clip(source="other.mkv", scores={"flow": 900.0})]
        rows, limits = apply_filter(filter_, [*clips[: 4 * count], *others])
        outcomes = weigh_filters([(filter_, limits)], rows)
        curated = Curated(clips=tuple(rows), filters=tuple(outcomes))
        write_report(tmp_path / "report.html", curated, title="x", root=tmp_path)
        texts.append((tmp_path / "report.html").read_text())
    for folder in range(3):
        assert f"kept, nearest to {10 * folder + 1.5:.4g} in f{folder:02d}" in texts[0]
        assert f"dropped, nearest to {10 * folder + 1.5:.4g} in f{folder:02d}" in texts[0]
    assert "more groups" not in texts[0]
    assert texts[1].count("kept, nearest to") == MAX_GROUPS
    assert "and 2 more groups; their limits are in run.json" in texts[1]
    assert "other.mkv" not in texts[1]  # the filter does not look at it


def test_a_dry_run_says_so(render):
    assert "A dry run" in render(is_dry_run=True)
    assert "A dry run" not in render()
