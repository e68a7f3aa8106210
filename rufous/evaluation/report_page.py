"""An evaluation as one HTML file: plots, tables and the worst clips are inside it, and no script runs."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from einops import rearrange
from PIL import Image

from rufous.core.files import write_text
from rufous.evaluation import charts
from rufous.evaluation.dimensions.decoded_clip import read_clip
from rufous.evaluation.paired import PairedComparison
from rufous.evaluation.results_file import Results
from rufous.evaluation.vbench.score_table import T2V, normalized
from rufous.video.frames import contact_sheet, resize, uniform_indices

NUM_WORST = 3
NUM_FRAMES = 6
FRAME_PX = 128
NO_SCORES = ("world_motion",)
"""Rows of which more is not better: in the tables, and in no plot."""
MAX_PROBLEMS = 200

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c1c1c; --soft: #595959; --line: #d9d9d9;
  --one: #2563a8; --two: #b3541e; }
@media (prefers-color-scheme: dark) { :root { --paper: #161616; --ink: #ececec; --soft: #a6a6a6;
  --line: #3a3a3a; --one: #7ab6f5; --two: #f0a56b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 1.5rem 0 .3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
p { margin: .2rem 0; }
.soft { color: var(--soft); }
.one { color: var(--one); } .two { color: var(--two); }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; }
.plots svg { flex: 1 1 24rem; max-width: 42rem; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; }
figure { margin: 0 0 .75rem; }
img { display: block; max-width: 100%; height: auto; border: 1px solid var(--line); }
figcaption { font-size: .9rem; }
"""


def write_report(
    path: Path | str,
    results: Results,
    *,
    clips: Mapping[str, Path],
    other: Results | None = None,
    comparison: PairedComparison | None = None,
) -> None:
    """Write the page, atomically.

    Args:
        path: The file.
        results: What is reported.
        clips: Where the clips lie, by file name; those that are not there are shown without frames.
        other: Earlier results, drawn beside.
        comparison: ``other`` compared with ``results``, in this order.
    """
    write_text(path, render_report(results, clips=clips, other=other, comparison=comparison))


def render_report(
    results: Results,
    *,
    clips: Mapping[str, Path],
    other: Results | None = None,
    comparison: PairedComparison | None = None,
) -> str:
    """The text of the page; see ``write_report``."""
    title = f"Evaluation of {results['source']}"
    body = [
        f"<h1>{escape(title)}</h1>\n",
        f'<p class="soft">{results["num_clips"]} clips, rufous {escape(results["rufous_version"])}. Scores '
        "are fractions unless a row says otherwise; intervals are 95 % bootstrap intervals over clips.</p>\n",
        _total(results),
        _plots(results, other),
        _rows_table(results),
        _world_table(results),
        _comparison(comparison, other),
        _worst(results, clips),
        _list("Left out", results["left_out"].items()),
        _list("Problems", ((p["file"], p["reason"]) for p in results["problems"][:MAX_PROBLEMS])),
    ]
    if len(results["problems"]) > MAX_PROBLEMS:
        body.append(f"<p>and {len(results['problems']) - MAX_PROBLEMS} more, in results.json</p>\n")
    head = (
        '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n"
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n{head}</head>\n<body>\n{"".join(body)}</body>\n</html>\n'
    )


def _total(results: Results) -> str:
    if results["total"] is not None:
        parts = ", ".join(f"{name} {100 * value:.2f}" for name, value in results["total"].items())
        return f"<p><b>VBench:</b> {parts}</p>\n"
    measured = len(T2V.rows) - len(results["total_lacks"])
    if not measured:
        return ""
    lacking = ", ".join(results["total_lacks"])
    return f'<p class="soft">No VBench total: {measured} of {len(T2V.rows)} rows; missing {lacking}.</p>\n'


def drawn_value(row: str, value: float | None) -> float | None:
    """A score as the plots show it: published rows on the scale of VBench's table, others as they are."""
    published = T2V.rows.get(row.removeprefix("proxy_"))
    return normalized(published, value) if published is not None and value is not None else value


def _plots(results: Results, other: Results | None) -> str:
    shown = [each for each in (results, other) if each is not None]
    series = {
        str(number): {
            row: drawn_value(row, found["score"])
            for row, found in each["rows"].items()
            if row not in NO_SCORES
        }
        for number, each in enumerate(shown)
    }
    whiskers = {row: _ends(row, value["interval_95"]) for row, value in results["rows"].items()}
    legend = " and ".join(
        f'<span class="{name}">{escape(each["source"])}</span>'
        for name, each in zip(("one", "two"), shown, strict=False)
    )
    drawn = charts.bars(series, title="scores by row", intervals=whiskers)
    if len(set().union(*series.values())) >= 3:
        drawn = charts.radar(series, title="scores by row") + drawn
    note = "VBench's rows are drawn between the ends of their published ranges; beyond them they stop there."
    return f'<p>{legend}</p>\n<div class="plots">\n{drawn}</div>\n<p class="soft">{note}</p>\n'


def _ends(row: str, interval: Sequence[float] | None) -> list[float] | None:
    return None if interval is None else [float(drawn_value(row, end) or 0.0) for end in interval]


def _rows_table(results: Results) -> str:
    lines = [_line(("row", "score", "95 % interval", "clips", "label"), "th")]
    for name, row in results["rows"].items():
        score, interval = row["score"], row["interval_95"]
        cells = (
            name,
            "nothing counted" if score is None else f"{score:.4f}",
            "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}",
            str(row["num_clips"]),
            row["label"],
        )
        lines.append(_line(cells, "td"))
    return f'<h2>Rows</h2>\n<div class="scroll"><table>\n{"".join(lines)}</table></div>\n'


def _world_table(results: Results) -> str:
    world = results["world"]
    if not world:
        return ""
    lines = [_line(("attribute", "right", "wrong", "unsure", "clips"), "th")]
    for name, row in world.get("attributes", {}).items():
        shares = [f"{row[key]:.1%}" if key in row else "" for key in ("right", "wrong", "unsure")]
        lines.append(_line((name, *shares, str(int(row["count"]))), "td"))
    table = f'<div class="scroll"><table>\n{"".join(lines)}</table></div>\n' if len(lines) > 1 else ""
    distance = world.get("frechet")
    text = (
        ""
        if distance is None
        else (
            f"<p>Frechet distance to {distance['num_clips']} clips of the world: {distance['distance']:.4f}; "
            f"between two sets of as many real clips: {distance['floor']:.4f}.</p>\n"
        )
    )
    return f"<h2>Truth, on the world</h2>\n{table}{text}"


def _comparison(comparison: PairedComparison | None, other: Results | None) -> str:
    if comparison is None or other is None:
        return ""
    lines = [_line(("row", "pairs", "earlier", "this one", "in words"), "th")]
    for row in comparison.rows:
        words = row.sentence.replace("second", "this one")
        lines.append(
            _line((row.row, str(row.num_pairs), f"{row.first:.4f}", f"{row.second:.4f}", words), "td")
        )
    left_out = _list("", comparison.left_out.items())
    return (
        f"<h2>Compared with {escape(other['source'])}, clip by clip</h2>\n"
        f'<div class="scroll"><table>\n{"".join(lines)}</table></div>\n{left_out}'
    )


def _worst(results: Results, clips: Mapping[str, Path]) -> str:
    """The clips with the lowest value of every row that tells them apart."""
    parts = []
    for row in (row for row in results["rows"] if row not in NO_SCORES):
        scored = [(c["scores"][row], c) for c in results["clips"] if c["scores"].get(row) is not None]
        if len({value for value, _ in scored}) < 2:
            continue
        worst = sorted(scored, key=lambda each: (each[0], each[1]["file"]))[:NUM_WORST]
        figures = [_figure(value, clip, clips.get(clip["file"])) for value, clip in worst]
        parts.append(f"<h3>{escape(row)}</h3>\n{''.join(figures)}")
    return f"<h2>Lowest of each row</h2>\n{''.join(parts)}" if parts else ""


def _figure(value: float, clip: Mapping[str, Any], path: Path | None) -> str:
    wrong = ", ".join(f"{name} {found}" for name, found in clip["attributes"].items() if found != "right")
    caption = f"<b>{value:.4f}</b> {escape(clip['prompt'])} <span class='soft'>{escape(clip['file'])}</span>"
    caption += f"<br>{escape(wrong)}" if wrong else ""
    picture = "" if path is None or not path.is_file() else _strip(path, clip["prompt"])
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>\n"


def _strip(path: Path, prompt: str) -> str:
    """A few frames of a clip beside each other, as an image inside the page."""
    frames = read_clip(path).frames
    shown = frames[uniform_indices(len(frames), min(NUM_FRAMES, len(frames)))]
    height, width = shown.shape[-2:]
    scale = FRAME_PX / max(height, width)
    if scale >= 2:
        shown = shown.repeat_interleave(int(scale), -1).repeat_interleave(int(scale), -2)
    elif scale < 1:
        shown = resize(shown, height=max(1, round(height * scale)), width=max(1, round(width * scale)))
    sheet = contact_sheet(shown, num_columns=len(shown), gap_px=2, background=205)
    buffer = io.BytesIO()
    Image.fromarray(rearrange(sheet, "c h w -> h w c").contiguous().numpy()).save(buffer, "WEBP", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    size = f'width="{sheet.shape[-1]}" height="{sheet.shape[-2]}"'
    return f'<img {size} alt="{escape(f"frames of: {prompt}")}" src="data:image/webp;base64,{data}">\n'


def _list(title: str, rows: Iterable[tuple[str, str]]) -> str:
    items = [f"<li><b>{escape(name)}</b>: {escape(text)}</li>\n" for name, text in rows]
    head = f"<h2>{escape(title)}</h2>\n" if title else ""
    return f"{head}<ul>\n{''.join(items)}</ul>\n" if items else ""


def _line(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>\n"
