"""An evaluation as one HTML file: plots, tables and the worst clips are inside it, and no script runs."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from einops import rearrange

from rufous.core.files import write_text
from rufous.core.html_page import named_list, page, picture, table
from rufous.evaluation import charts
from rufous.evaluation.bootstrap import FEWEST_PROMPTS
from rufous.evaluation.dimensions.decoded_clip import read_clip
from rufous.evaluation.paired import PairedComparison
from rufous.evaluation.results_file import Results
from rufous.evaluation.vbench.score_table import T2V, normalized
from rufous.evaluation.vbench.suite import STATIC
from rufous.video.frames import contact_sheet, resize, uniform_indices

NUM_WORST = 3
NUM_FRAMES = 6
FRAME_PX = 128
NO_SCORES = ("world_motion", STATIC)
"""Rows of which more is not better: in the tables, and in no plot."""
MAX_PROBLEMS = 200


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
        "are fractions unless a row says otherwise; intervals are 95 % bootstrap intervals over prompts, for "
        f"{FEWEST_PROMPTS} or more of them.</p>\n",
        _total(results),
        _plots(results, other),
        _rows_table(results),
        _world_table(results),
        _comparison(comparison, other),
        _worst(results, clips),
        named_list("Left out", results["left_out"].items()),
        named_list("Not counted", not_counted(results)),
        named_list("Run", _run_told(results)),
        named_list("Problems", ((p["file"], p["reason"]) for p in results["problems"][:MAX_PROBLEMS])),
    ]
    if len(results["problems"]) > MAX_PROBLEMS:
        body.append(f"<p>and {len(results['problems']) - MAX_PROBLEMS} more, in results.json</p>\n")
    return page(title, "".join(body))


def write_comparison(path: Path | str, first: Results, second: Results, comparison: PairedComparison) -> None:
    """Write two results beside each other as a page, atomically.

    Args:
        path: The file.
        first: One of both.
        second: The other one.
        comparison: Of them, in this order.
    """
    title = f"{first['source']} and {second['source']} compared"
    body = [
        f"<h1>{escape(title)}</h1>\n",
        f'<p class="soft">First: {escape(first["source"])}, {first["num_clips"]} clips. Second: '
        f"{escape(second['source'])}, {second['num_clips']} clips. Rows are compared clip by clip; intervals "
        "are 95 % bootstrap intervals over prompts.</p>\n",
        _plots(first, second),
        f"<h2>Clip by clip</h2>\n{_comparison_table(comparison, 'first', 'second')}",
        *(
            named_list(f"Run of the {name}", _run_told(each))
            for name, each in (("first", first), ("second", second))
        ),
    ]
    write_text(path, page(title, "".join(body)))


def not_counted(results: Results) -> list[tuple[str, str]]:
    """Rows that some clips do not count in, and why."""
    return [
        (row, f"{count} clips: {why}")
        for row, found in results["rows"].items()
        for why, count in found["not_counted"].items()
    ]


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
    lines: list[tuple[str, ...]] = []
    for name, row in results["rows"].items():
        score, interval = row["score"], row["interval_95"]
        cells = (
            name,
            "nothing counted" if score is None else f"{score:.4f}",
            "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}",
            str(row["num_clips"]),
            row["label"],
        )
        lines.append(cells)
    return f"<h2>Rows</h2>\n{table(('row', 'score', '95 % interval', 'clips', 'label'), lines)}"


def _world_table(results: Results) -> str:
    world = results["world"]
    if not world:
        return ""
    lines: list[tuple[str, ...]] = []
    for name, row in world.get("attributes", {}).items():
        shares = [f"{row[key]:.1%}" if key in row else "" for key in ("right", "wrong", "unsure")]
        lines.append((name, *shares, str(int(row["count"]))))
    shown = table(("attribute", "right", "wrong", "unsure", "clips"), lines) if lines else ""
    distance = world.get("frechet")
    text = (
        ""
        if distance is None
        else (
            f"<p>Frechet distance to {distance['num_clips']} clips of the world ({distance['label']}): "
            f"{distance['distance']:.4f}; "
            f"between two sets of as many real clips: {distance['floor']:.4f}. Real clips have "
            f"{distance['num_frames']} frames at {distance['fps']:g} fps; {distance['num_otherwise']} of the "
            "measured ones do not.</p>\n"
            + (f"<p><b>{escape(distance['warning'])}.</b></p>\n" if "warning" in distance else "")
        )
    )
    return f"<h2>Truth, on the world</h2>\n{shown}{text}"


def _comparison(comparison: PairedComparison | None, other: Results | None) -> str:
    if other is None:
        return ""
    if comparison is None:
        title = f"Compared with {escape(other['source'])}"
        return f"<h2>{title}</h2>\n<p>Nothing to compare: see the problems.</p>\n"
    shown = _comparison_table(comparison, "earlier", "this one")
    return f"<h2>Compared with {escape(other['source'])}, clip by clip</h2>\n{shown}"


def _comparison_table(comparison: PairedComparison, first: str, second: str) -> str:
    lines: list[tuple[str, ...]] = []
    for row in comparison.rows:
        words = row.sentence.replace("second", second, 1) if row.differs else row.sentence
        lines.append((row.row, str(row.num_pairs), f"{row.first:.4f}", f"{row.second:.4f}", words))
    left_out = named_list("", comparison.left_out.items())
    return f"{table(('row', 'pairs', first, second, 'in words'), lines)}{left_out}"


def _run_told(results: Results) -> list[tuple[str, str]]:
    """When and how it was measured, as far as the file says."""
    return [(name, str(value)) for name, value in results.get("run", {}).items() if value]


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
    return picture(rearrange(sheet, "c h w -> h w c").contiguous().numpy(), alt=f"frames of: {prompt}")
