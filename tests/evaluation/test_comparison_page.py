import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from rufous.evaluation import ComparedModel, Comparison, GeneratedClip, compare_models, write_page
from rufous.evaluation.comparison_page import render_page
from rufous.video import probe, read_video

VOID = {"meta", "img"}


class Elements(HTMLParser):
    """Checks that elements close in order, and keeps their attributes and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def page(comparison: Comparison) -> str:
    return render_page(comparison, title="A & B", notes=["on <one> thread"])


def test_the_page_is_well_formed_and_shows_texts_as_they_are(page: str, comparison: Comparison):
    elements = Elements(page)
    for text in ("A & B", "on <one> thread", 'a panda <b> & "friends"', "the <world>", "50 steps", "seed 9"):
        assert text in elements.text
    assert elements.all("b") == [{}] * 6  # one label a cell, none from a prompt
    assert [cell.get("alt") for cell in elements.all("img")][4:] == [
        'the <world>: a panda <b> & "friends"',
        'empty: a panda <b> & "friends"',
    ]


def test_nothing_is_fetched_and_no_script_runs(page: str):
    elements = Elements(page)
    assert {tag for tag, _ in elements.found}.isdisjoint({"script", "link", "iframe", "video", "a"})
    assert all(str(image["src"]).startswith("data:image/webp;base64,") for image in elements.all("img"))
    assert "url(" not in page
    assert "@import" not in page
    assert {"default-src 'none'; img-src data:; style-src 'unsafe-inline'"} <= {
        str(meta.get("content")) for meta in elements.all("meta")
    }


def test_every_figure_stands_under_its_clip(page: str):
    first = page[page.index("<figure>") : page.index("</figure>")]
    assert first.count('<li class="right">') == first.count("<li ") > 3
    assert "denoised in 2.00 s" in first
    empty = page[page.index("</figure>") :]
    assert '<li class="wrong">&#10007; count</li>' in empty[: empty.index("</section>")]
    assert page.count("truth not judged") == 2
    assert page.count("outside the world&#x27;s grammar") == 1


def test_the_table_sums_up_each_model(page: str):
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    cells = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in rows]
    assert cells[0] == [
        "model",
        "sampling",
        "size",
        "seen",
        "all right",
        "attributes right",
        "motion",
        "seconds",
    ]
    assert cells[1][:6] == ["the &lt;world&gt;", "50 steps", "64", "", "2 of 2", "100%"]
    assert cells[2][2:5] == ["", "never", "0 of 2"]
    assert cells[2][-2:] == ["0.00", "12.50"]


def test_a_small_clip_is_stored_pixel_by_pixel_with_its_prompt(
    page: str, comparison: Comparison, tmp_path: Path
):
    data = str(Elements(page).all("img")[0]["src"]).partition(",")[2]
    path = tmp_path / "clip.webp"
    path.write_bytes(base64.b64decode(data))
    frames, _ = read_video(path)
    assert torch.equal(frames, comparison.clips[0][0].clip.frames)
    info = probe(path)
    assert float(info.fps) == 8.0
    assert info.metadata["prompt"] == comparison.prompts[0].prompt
    assert info.metadata["seed"] == "0"


def test_a_large_clip_is_compressed_and_smooth(comparison: Comparison):
    noise = torch.randint(0, 255, (2, 3, 144, 160), dtype=torch.uint8, generator=torch.Generator())
    clip = GeneratedClip(frames=noise, fps=8.0, denoise_s=1.0)
    model = ComparedModel(label="large", details={}, load=lambda: lambda row: clip)
    (image,) = Elements(render_page(compare_models([model], comparison.prompts[2:]), title="x")).all("img")
    assert image["class"] == "large"
    assert (image["width"], image["height"]) == ("160", "144")
    assert len(str(image["src"])) < noise.numel()


def test_writing_replaces_the_file(comparison: Comparison, tmp_path: Path):
    path = tmp_path / "made" / "page.html"
    assert write_page(path, comparison) == path
    assert path.read_text().startswith("<!doctype html>")
    assert list(path.parent.iterdir()) == [path]
