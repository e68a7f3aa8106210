"""Which rows a command line means, and what is refused before anything is measured."""

from pathlib import Path
from typing import Any

import pytest

from rufous.apps import bench_rows
from rufous.apps.bench_rows import resolved, rows_of
from rufous.core.errors import CheckpointError, MissingDependencyError

SIZES = {"num_frames": None, "height": None, "width": None}


def rows(*arguments: str | Path, **options: Any):
    options = {
        "lineup": None,
        "with_diffusers": True,
        "steps": None,
        "guidance": None,
        "sizes": SIZES,
        **options,
    }
    return rows_of([str(each) for each in arguments], **options)


def test_rows_keep_the_order_of_the_command_line_and_the_lineup_follows(
    tiny_release: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bench_rows, "_has_diffusers", lambda: False)
    found, left_out = rows("table2/hummingbird-0.9b:label=first", tiny_release, lineup="table2")
    assert [row.name for row in found] == [
        "first",
        str(tiny_release),
        "table2/videolcm",
        "table2/t2v-turbo",
        "table2/videocrafter2",
        "table2/hummingbird-0.9b",
        "table2/hummingbird-0.7b",
    ]
    assert len(left_out) == 3
    assert "diffusers is not installed: pip install 'rufous[diffusers]'" in left_out[0]


def test_the_lineup_has_its_rows_of_diffusers_where_it_is_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench_rows, "_has_diffusers", lambda: True)
    assert [row.name for row in rows(lineup="table2")[0]][5:] == [
        "diffusers/modelscope-4-steps",
        "diffusers/modelscope-50-steps",
        "diffusers/animatediff-4-steps",
    ]
    found, left_out = rows(lineup="table2", with_diffusers=False)
    assert len(found) == 5
    assert left_out[2] == "diffusers/animatediff-4-steps: left out by --no-diffusers"


def test_a_row_of_diffusers_without_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    def absent(*_: object, **__: object) -> None:
        raise MissingDependencyError("pip install 'rufous[diffusers]'")

    monkeypatch.setattr(bench_rows, "_has_diffusers", lambda: False)
    monkeypatch.setattr("rufous.core.optional.require", absent)
    with pytest.raises(MissingDependencyError, match=r"rufous\[diffusers\]"):
        rows("diffusers/modelscope-4-steps")


def test_settings_of_a_row_count_before_those_of_all(tiny_release: Path):
    sizes = {"num_frames": 2, "height": None, "width": None}
    found, _ = rows(
        f"{tiny_release}:steps=7", "table2/hummingbird-0.7b", steps="2", guidance="3", sizes=sizes
    )
    first, second = map(resolved, found)
    assert (first.sampling.num_inference_steps, first.num_frames, first.height) == (7, 2, 16)
    assert (second.sampling.num_inference_steps, second.num_frames, second.height) == (2, 2, 320)
    assert second.embedded_guidance_scale == 2.0
    assert second.sampling.guidance_scale == 1.0


def test_the_papers_time_stands_beside_its_own_settings_only():
    plain, changed = rows("table2/videolcm", "table2/videolcm:steps=8,label=more")[0]
    assert (plain.published_s, changed.published_s) == (2.4, None)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ([], {}, ValueError, "no row: name a release or a row, or use --lineup table2"),
        ([], {"lineup": "table9"}, ValueError, "--lineup 'table9' is unknown: use table2"),
        (["table2/videolcn"], {}, CheckpointError, r"table2/videolcn does not exist.*table2/videolcm, "),
        (["/no/such/folder"], {}, CheckpointError, "/no/such/folder does not exist"),
        (["table2/videolcm"] * 2, {}, ValueError, "table2/videolcm is given twice"),
        (
            ["table2/videolcm:steps=0"],
            {},
            ValueError,
            "table2/videolcm: num_inference_steps=0 is out of range",
        ),
        (["table2/videolcm"], {"steps": "1,2"}, ValueError, "has 2 values for 1 models"),
        (
            ["table2/videocrafter2"],
            {"sizes": {"num_frames": 16, "height": 320, "width": 500}},
            ValueError,
            "table2/videocrafter2: width=500 does not fit this model: use a multiple of 64",
        ),
        (
            ["diffusers/modelscope-50-steps"],
            {"sizes": {"num_frames": 16, "height": 100, "width": 512}},
            ValueError,
            "diffusers/modelscope-50-steps: height=100 does not fit this model: use a multiple of 64",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(
    arguments, options, error, message, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bench_rows, "_has_diffusers", lambda: True)
    with pytest.raises(error, match=message):
        rows(*arguments, **options)


def test_a_folder_that_is_no_release_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="is no release: use a folder"):
        rows(tmp_path)
