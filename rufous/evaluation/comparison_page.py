"""A comparison as one HTML file: the clips are inside it, nothing is fetched, and no script runs.

Clips are animated WebP, which every browser plays as it shows a picture: no codec to lack, no tap to start.
"""

import base64
import tempfile
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from rufous.core.files import write_text
from rufous.evaluation.side_by_side import (
    ComparedClip,
    ComparedModel,
    Comparison,
    GeneratedClip,
    SeededPrompt,
    attributes_by_value,
    figures_text,
    summarize,
)
from rufous.video.write import write_video
from rufous.world.truth import RIGHT, UNSURE, WRONG, Verdict

SMALL_PX = 128
"""Clips up to this side are stored without loss and enlarged to clear squares."""
MARKS = {RIGHT: "&#10003;", WRONG: "&#10007;", UNSURE: "?"}

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c1c1c; --soft: #595959; --line: #d9d9d9;
  --right: #1a6e2e; --wrong: #b3261e; --unsure: #7a5900; }
@media (prefers-color-scheme: dark) { :root { --paper: #161616; --ink: #ececec; --soft: #a6a6a6;
  --line: #3a3a3a; --right: #7bd88f; --wrong: #ff8a80; --unsure: #f2c94c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 100rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; }
h2 { font-size: 1.1rem; margin: 0; }
p { margin: .2rem 0; }
.soft { color: var(--soft); }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; overflow-wrap: normal; }
th, td { text-align: left; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line);
  white-space: nowrap; font-variant-numeric: tabular-nums; }
section { border-top: 1px solid var(--line); padding: 1rem 0; }
.row { display: grid; gap: 1rem .75rem; margin-top: .75rem;
  grid-template-columns: repeat(auto-fit, minmax(min(9rem, 45%), 1fr)); }
@media (min-width: 60rem) { .row { grid-template-columns: repeat(var(--columns), minmax(0, 20rem)); } }
figure { margin: 0; min-width: 0; max-width: 20rem; }
img { display: block; width: 100%; height: auto; border: 1px solid var(--line); }
.small { image-rendering: pixelated; }
figcaption { font-size: .9rem; margin-top: .3rem; }
ul { list-style: none; display: flex; flex-wrap: wrap; gap: 0 .7rem; margin: .2rem 0; padding: 0; }
li { white-space: nowrap; }
.right { color: var(--right); }
.wrong { color: var(--wrong); font-weight: 600; }
.unsure { color: var(--unsure); }
summary { cursor: pointer; color: var(--soft); }
"""


def write_page(
    path: Path | str, comparison: Comparison, *, title: str = "Models side by side", notes: Sequence[str] = ()
) -> Path:
    """Write a comparison as one HTML file, atomically: rows are prompts, columns are models.

    Args:
        path: The file.
        comparison: What to show.
        title: Heading.
        notes: Sentences under it, for example on which machine the times were taken.

    Returns:
        ``path``.

    Raises:
        OSError: The folder cannot be written, or the disk is full; what stood there is untouched.
    """
    write_text(path, render_page(comparison, title=title, notes=notes))
    return Path(path)


def render_page(comparison: Comparison, *, title: str, notes: Sequence[str] = ()) -> str:
    """The text of the page; see ``write_page``."""
    head = "".join(
        [
            '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n',
            f"<title>{escape(title)}</title>\n",
            f"<style>{_STYLE}:root {{ --columns: {len(comparison.models)}; }}\n</style>\n",
        ]
    )
    legend = ", ".join(f'<span class="{name}">{mark} {name}</span>' for name, mark in MARKS.items())
    paragraphs = [
        "All clips of a row have one prompt and one seed, so models with latents of one shape begin with the "
        "same noise.",
        f"Under each clip: what its pixels show of the prompt ({legend}), motion in shorter sides of the "
        "frame a second, and the time of its denoising.",
        *(escape(note) for note in notes),
    ]
    body = [
        f"<h1>{escape(title)}</h1>\n",
        *(f'<p class="soft">{text}</p>\n' for text in paragraphs),
        _models_table(comparison),
        *map(_row, comparison.prompts, comparison.clips, [comparison.models] * len(comparison.prompts)),
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n{head}</head>\n<body>\n{"".join(body)}</body>\n</html>\n'
    )


def _models_table(comparison: Comparison) -> str:
    """What every model is, and its figures over all rows."""
    names = list(dict.fromkeys(name for model in comparison.models for name in model.details))
    titles = ["model", "sampling", *names, "all right", "attributes right", "motion", "seconds"]
    lines = [_table_row(titles, tag="th")]
    for index, model in enumerate(comparison.models):
        figures = summarize(comparison.column(index))
        share, motion = figures.attributes_right, figures.motion_magnitude
        cells = [
            *(model.label, model.subtitle),
            *(str(model.details.get(name, "")) for name in names),
            f"{figures.num_all_right} of {figures.num_judged}" if figures.num_judged else "not judged",
            "not judged" if share is None else f"{share:.0%}",
            "not measured" if motion is None else f"{motion:.2f}",
            f"{figures.denoise_s:.2f}",
        ]
        lines.append(_table_row(cells, tag="td"))
    return f'<div class="scroll"><table>\n{"".join(lines)}</table></div>\n'


def _table_row(cells: Iterable[str], *, tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>\n"


def _row(row: SeededPrompt, clips: Sequence[ComparedClip], models: Sequence[ComparedModel]) -> str:
    notes = dict.fromkeys(clip.judged.note for clip in clips if clip.judged.note is not None)
    return "".join(
        [
            f'<section>\n<h2>{escape(row.prompt)}</h2>\n<p class="soft">seed {row.seed}</p>\n',
            *(f'<p class="soft">{escape(note)}</p>\n' for note in notes),
            '<div class="row">\n',
            *(_cell(row, clip, model) for clip, model in zip(clips, models, strict=True)),
            "</div>\n</section>\n",
        ]
    )


def _cell(row: SeededPrompt, clip: ComparedClip, model: ComparedModel) -> str:
    height, width = clip.clip.frames.shape[-2:]
    is_small = max(height, width) <= SMALL_PX
    tags = {"prompt": row.prompt, "seed": row.seed, "model": model.label}
    data = base64.b64encode(_webp(clip.clip, lossless=is_small, metadata=tags)).decode("ascii")
    parts = [
        f'<figure>\n<img class="{"small" if is_small else "large"}" width="{width}" height="{height}" ',
        f'alt="{escape(f"{model.label}: {row.prompt}")}" src="data:image/webp;base64,{data}">\n',
        f'<figcaption><b>{escape(model.label)}</b> <span class="soft">{escape(model.subtitle)}</span>\n',
        _truth(clip.judged.verdict),
        f"<p>{figures_text(clip.judged.motion_magnitude, clip.clip.denoise_s)}</p></figcaption>\n</figure>\n",
    ]
    return "".join(parts)


def _truth(verdict: Verdict | None) -> str:
    """Every attribute that was judged with its mark, and the reasons of doubts behind a click."""
    if verdict is None:
        return '<p class="soft">truth not judged</p>\n'
    found = attributes_by_value(verdict)
    items = [
        f'<li class="{value}">{MARKS[value]} {name}</li>' for value in MARKS for name in found.get(value, ())
    ]
    marks = f"<ul>{''.join(items)}</ul>\n"
    if not verdict.reasons:
        return marks
    reasons = "".join(f"<p>{escape(reason)}</p>" for reason in dict.fromkeys(verdict.reasons))
    return f"{marks}<details><summary>why in doubt</summary>{reasons}</details>\n"


def _webp(clip: GeneratedClip, *, lossless: bool, metadata: dict[str, str | int]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.webp"
        write_video(path, clip.frames, fps=clip.fps, lossless=lossless, metadata=metadata)
        return path.read_bytes()
