"""Horizontal bar charts as SVG text, so that a report has its picture without a plotting library."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

ROW_PX, PANEL_PX, TOP_PX, MARGIN_PX = 18, 280, 56, 16
LABEL_PX_PER_CHARACTER = 7
VALUE_PX = 56
PLAIN, MARKED, INK = "#4878a8", "#c44e52", "#222222"


@dataclass(frozen=True, kw_only=True)
class Bars:
    """One panel of bars, one bar for each label."""

    title: str
    values: Sequence[float]
    """At least 0."""
    has_root_scale: bool = False
    """Bars are as long as the square roots of their values, so that small ones show."""


def bar_chart(labels: Sequence[str], panels: Sequence[Bars], *, marked: Sequence[bool], mark: str) -> str:
    """Panels of bars side by side, all with the same labels.

    Args:
        labels: One a row, from the top.
        panels: At least one; each scaled to its own largest value.
        marked: Which rows are drawn in the second colour.
        mark: What that colour means.

    Raises:
        ValueError: No panel, or panels, marks and labels of different lengths.
    """
    if not panels or any(len(each) != len(labels) for each in (*(bars.values for bars in panels), marked)):
        raise ValueError(f"{len(labels)} labels need as many values in every panel, and as many marks")
    left = MARGIN_PX + LABEL_PX_PER_CHARACTER * max(map(len, labels), default=0)
    width = left + len(panels) * (PANEL_PX + VALUE_PX) + MARGIN_PX
    height = TOP_PX + ROW_PX * len(labels) + MARGIN_PX
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" fill="{INK}">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<rect x="{MARGIN_PX}" y="12" width="12" height="12" fill="{MARKED}"/>',
        _text(MARGIN_PX + 18, 22, mark),
        *(_text(left - 8, _baseline(i), label, anchor="end") for i, label in enumerate(labels)),
    ]
    for i, bars in enumerate(panels):
        parts += _panel(bars, left + i * (PANEL_PX + VALUE_PX), marked)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(bars: Bars, left: int, marked: Sequence[bool]) -> list[str]:
    power = 0.5 if bars.has_root_scale else 1.0
    longest = max(bars.values, default=0.0) or 1.0
    parts = [_text(left, TOP_PX - 12, bars.title)]
    for i, (value, is_marked) in enumerate(zip(bars.values, marked, strict=True)):
        length = PANEL_PX * (value / longest) ** power
        top, colour = TOP_PX + ROW_PX * i + 3, MARKED if is_marked else PLAIN
        parts.append(
            f'<rect x="{left}" y="{top}" width="{length:.1f}" height="{ROW_PX - 6}" fill="{colour}"/>'
        )
        parts.append(_text(left + length + 4, _baseline(i), _short(value)))
    return parts


def _short(value: float) -> str:
    """Three digits, or all that stand before the point; never an exponent for what is large."""
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def _baseline(row: int) -> int:
    return TOP_PX + ROW_PX * row + ROW_PX - 5


def _text(x: float | int, y: int, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
