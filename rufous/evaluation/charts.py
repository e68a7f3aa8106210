"""Radar and bar plots as inline SVG: text that a browser draws, without a script or a library.

Colours come from the page's CSS variables ``--one`` and ``--two``, ``--ink`` and ``--line``.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

Series = Mapping[str, float | None]
"""Values in [0, 1] by row; None draws nothing."""
RADIUS = 130.0
COLORS = ("var(--one)", "var(--two)")


def radar(series: Mapping[str, Series], *, title: str) -> str:
    """One polygon for each of at most two series, over all of their rows.

    Raises:
        ValueError: Fewer than three rows, or other than one or two series.
    """
    rows = list(dict.fromkeys(row for values in series.values() for row in values))
    if len(rows) < 3 or not 1 <= len(series) <= len(COLORS):
        raise ValueError(
            f"cannot draw {len(series)} series over {len(rows)} rows: give 1 or 2, over 3 or more"
        )
    parts = [
        _polygon([(row, ring) for row in rows], rows, stroke="var(--line)") for ring in (0.25, 0.5, 0.75, 1.0)
    ]
    for index, row in enumerate(rows):
        x, y = _place(index, len(rows), 1.0)
        parts.append(f'<line x1="0" y1="0" x2="{x:.1f}" y2="{y:.1f}" stroke="var(--line)"/>')
        x, y = _place(index, len(rows), 1.08)
        anchor = "middle" if abs(x) < 20 else ("start" if x > 0 else "end")
        parts.append(f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="{anchor}">{_words(row)}</text>')
    for values, color in zip(series.values(), COLORS, strict=False):
        points = [(row, value) for row in rows if (value := values.get(row)) is not None]
        parts.append(_polygon(points, rows, stroke=color, fill=color))
    return _svg(parts, f"-330 {-RADIUS - 40} 660 {2 * RADIUS + 80}", title)


def bars(series: Mapping[str, Series], *, title: str, intervals: Mapping[str, Sequence[float] | None]) -> str:
    """Horizontal bars, one for each series and row; ``intervals`` of the first series are drawn as
    whiskers."""
    rows = list(dict.fromkeys(row for values in series.values() for row in values))
    step, width, left = 12 * len(series) + 12, 360.0, 190.0
    parts = [f'<line x1="{left}" y1="0" x2="{left}" y2="{step * len(rows)}" stroke="var(--ink)"/>']
    for number, row in enumerate(rows):
        top = number * step
        parts.append(
            f'<text x="{left - 8}" y="{top + step / 2 + 4:.1f}" text-anchor="end">{_words(row)}</text>'
        )
        for k, (values, color) in enumerate(zip(series.values(), COLORS, strict=False)):
            value = values.get(row)
            if value is None:
                continue
            length, y = width * min(max(value, 0.0), 1.0), top + 6 + 12 * k
            parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="10" fill="{color}"/>')
            parts.append(f'<text x="{left + width + 12}" y="{y + 9}">{value:.4f}</text>')
        interval = intervals.get(row)
        if interval is not None:
            low, high = (left + width * min(max(end, 0.0), 1.0) for end in interval)
            parts.append(
                f'<line x1="{low:.1f}" y1="{top + 11}" x2="{high:.1f}" y2="{top + 11}" stroke="var(--ink)"/>'
            )
    return _svg(parts, f"0 -4 640 {step * len(rows) + 8}", title)


def _svg(parts: Sequence[str], box: str, title: str) -> str:
    return (
        f'<svg viewBox="{box}" role="img" aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title>\n{chr(10).join(parts)}\n</svg>\n"
    )


def _polygon(
    points: Sequence[tuple[str, float]], rows: Sequence[str], *, stroke: str, fill: str = "none"
) -> str:
    places = [_place(rows.index(row), len(rows), min(max(value, 0.0), 1.0)) for row, value in points]
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polygon points="{text}" stroke="{stroke}" fill="{fill}" fill-opacity="0.15"/>'


def _place(index: int, count: int, value: float) -> tuple[float, float]:
    """Where a value lies on its spoke; the first spoke points up."""
    angle = 2 * math.pi * index / count
    return RADIUS * value * math.sin(angle), -RADIUS * value * math.cos(angle)


def _words(row: str) -> str:
    return escape(row.replace("_", " "))
