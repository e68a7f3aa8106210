"""``rufous compare``: page, picture and report, equal clips for equal seeds, and what is refused."""

import base64
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from rufous.apps import cli
from rufous.pipelines import TextToVideoPipeline
from rufous.video import read_video

PROMPT = "a red circle moving left on a white background"
Compare = Callable[..., int]


@pytest.fixture
def compare(tiny_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compare:
    """Run ``rufous compare`` in an empty folder; TINY stands for the tiny model."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> int:
        named = [text.replace("TINY", str(tiny_release)) for text in arguments]
        return cli.run(["compare", "--device", "cpu", "--dtype", "fp32", *named])

    return call


def clips_of(page: Path) -> list[torch.Tensor]:
    """The clips inside a page, row by row."""
    clips: list[torch.Tensor] = []
    for data in re.findall(r"data:image/webp;base64,([^\"]+)", page.read_text()):
        page.with_name("clip.webp").write_bytes(base64.b64decode(data))
        clips.append(read_video(page.with_name("clip.webp"))[0])
    return clips


def test_page_picture_and_paths(compare: Compare, capsys: pytest.CaptureFixture[str]):
    assert (
        compare("TINY", "TINY:steps=1,label=one step", "--prompt", PROMPT, "--prompt", "a panda") == cli.DONE
    )
    shown = capsys.readouterr()
    assert shown.out.split() == ["compare.html", "compare.png"]
    assert re.search(r"import .*check .*generate .*write .*total", shown.err)
    page = Path("compare.html").read_text()
    for text in ("3 steps, guidance 4", "1 step, guidance 4", "one step", "cpu with", "in float32"):
        assert text in page
    assert "<b>tiny</b>" in page
    with Image.open("compare.png") as image:
        assert image.width > 300
    assert sorted(path.name for path in Path().iterdir()) == ["compare.html", "compare.png"]


def test_models_of_one_name_are_told_apart_by_their_arguments(
    compare: Compare, tiny_release: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = ["TINY:steps=1", "TINY:steps=2", "TINY:steps=1,label=two", "--prompt", PROMPT]
    assert compare(*arguments, "--json", "--quiet") == cli.DONE
    labels = [model["label"] for model in json.loads(capsys.readouterr().out)["models"]]
    assert labels == [f"tiny ({tiny_release}:steps=1)", f"tiny ({tiny_release}:steps=2)", "two"]


def test_the_picture_shows_as_many_frames_as_asked_for(compare: Compare):
    widths = {}
    for count in (1, 4):
        arguments = ["TINY:steps=1", "--prompt", PROMPT, "--sheet-frames", str(count), "-o", f"{count}.html"]
        assert compare(*arguments, "-q") == cli.DONE
        with Image.open(f"{count}.png") as image:
            widths[count] = image.width
    assert widths[4] > 4 * 96 > widths[1]


def test_the_clips_are_those_of_generate(compare: Compare, tiny_pipeline: TextToVideoPipeline):
    assert (
        compare("TINY", "TINY:steps=2", "--prompt", PROMPT, "--seed", "5", "-o", "a/b.html", "-q") == cli.DONE
    )
    first, second = clips_of(Path("a/b.html"))
    seeds = [torch.Generator().manual_seed(5) for _ in range(2)]
    assert torch.equal(first, tiny_pipeline(PROMPT, generator=seeds[0]).frames[0])
    two_steps = tiny_pipeline(PROMPT, generator=seeds[1], num_inference_steps=2).frames[0]
    assert torch.equal(second, two_steps)


def test_the_report_has_rows_models_and_their_own_settings(
    compare: Compare, capsys: pytest.CaptureFixture[str]
):
    Path("rows.jsonl").write_text(json.dumps({"prompt": "a blue star", "seed": 7}))
    arguments = ["--prompt", PROMPT, "--prompts", "rows.jsonl", "--steps", "2,1", "--guidance", "1"]
    assert compare("TINY", "TINY:guidance=2", *arguments, "--frames", "5", "--json", "--quiet") == cli.DONE
    shown = capsys.readouterr()
    assert shown.err == ""
    report = json.loads(shown.out)
    assert [model["subtitle"] for model in report["models"]] == [
        "2 steps, guidance 1",
        "1 step, guidance 2",
    ]
    assert report["models"][0]["clip"] == "5 frames of 16x16"
    assert [(row["prompt"], row["seed"]) for row in report["rows"]] == [(PROMPT, 0), ("a blue star", 7)]
    assert report["rows"][0]["clips"][1]["denoise_s"] > 0
    assert set(report["rows"][0]["clips"][0]["truth"]) == {"count", "shape", "color", "motion", "background"}
    assert (report["page"], report["sheet"]) == ("compare.html", "compare.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["TINY"], "no prompt: give one or more with --prompt"),
        (["TINY:step=4", "--prompt", PROMPT], "step is unknown: use steps, guidance"),
        (["TINY", "--prompt", PROMPT, "-o", "page"], "--output page: the page is one HTML file"),
        (["TINY", "TINY:steps=0", "--prompt", PROMPT], "num_inference_steps=0 is out of range"),
        (["TINY", "--prompt", PROMPT, "--size", "20"], "does not fit this model: use a multiple of 8"),
        (["TINY", "--prompt", PROMPT, "--prompt", "red " * 30], "has 30 words: use at most 22"),
        (["TINY", "--prompt", PROMPT, "--seed", "-2"], "seed=-2 is out of range"),
        (["TINY", "--prompt", PROMPT, "--sheet-frames", "0"], "greater than or equal to 1"),
    ],
)
def test_bad_values_are_one_line_code_2_and_no_file(
    arguments: list[str], message: str, compare: Compare, capsys: pytest.CaptureFixture[str]
):
    assert compare(*arguments) == cli.USAGE
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("name", ["page.html", "page.png"])
def test_named_files_are_kept_unless_overwriting_is_asked_for(
    name: str, compare: Compare, capsys: pytest.CaptureFixture[str]
):
    Path(name).write_text("mine")
    arguments = ["TINY:steps=1", "--prompt", PROMPT, "-o", "page.html", "--quiet"]
    assert compare(*arguments) == cli.USAGE
    assert f"{name} exists: add --overwrite" in capsys.readouterr().err
    assert Path(name).read_text() == "mine"
    assert compare(*arguments, "--overwrite") == cli.DONE
    assert Path("page.html").read_text().startswith("<!doctype html>")


def test_an_interrupt_leaves_no_file(tiny_release: Path, tmp_path: Path):
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from rufous.apps import cli, compare; real = compare.step_bar\n"
        "def bar(total, visible):\n    print('begun', flush=True)\n    return real(total, visible=visible)\n"
        "compare.step_bar = bar; cli.main()"
    )
    arguments = ["--prompt", PROMPT, "--steps", "1000", "--size", "64", "-o", f"{tmp_path}/page.html"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "compare", str(tiny_release), "--device", "cpu", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == cli.STOPPED, error
    assert "stopped" in error
    assert list(tmp_path.iterdir()) == []
