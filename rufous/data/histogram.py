"""A histogram as inline SVG, with the limits of a filter drawn in; colours are those of the page."""

from collections.abc import Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT, BOTTOM, LEFT = 560.0, 150.0, 26.0, 44.0
NUM_BINS = 40


def histogram(
    values: Sequence[float], *, limits: Sequence[float], title: str, num_bins: int = NUM_BINS
) -> str:
    """Counts of values by size; bars are ``--one``, limits are lines in ``--two``.

    Args:
        values: At least one.
        limits: Where lines are drawn; the axis is long enough to show them.
        title: For readers of the screen.
        num_bins: Bars.

    Raises:
        ValueError: No value.
    """
    if not len(values):
        raise ValueError("a histogram needs a value")
    ends = np.array([*values, *limits], dtype=float)
    low, high = float(ends.min()), float(ends.max())
    scale = max(abs(low), abs(high))
    if high - low <= 1e-9 * scale:  # too near to each other for bins between them
        low, high = low - 0.5 * (scale or 1.0), high + 0.5 * (scale or 1.0)
    counts, _ = np.histogram(values, bins=num_bins, range=(low, high))
    step, tallest = (WIDTH - LEFT) / num_bins, int(counts.max())
    parts = []
    for index, count in enumerate(counts):
        height = HEIGHT * int(count) / tallest
        parts.append(
            f'<rect x="{LEFT + index * step + 0.5:.1f}" y="{HEIGHT - height:.1f}" width="{step - 1:.1f}" '
            f'height="{height:.1f}" fill="var(--one)"/>'
        )
    parts.append(f'<line x1="{LEFT}" y1="{HEIGHT}" x2="{WIDTH}" y2="{HEIGHT}" stroke="var(--ink)"/>')
    for limit in limits:
        x = LEFT + (WIDTH - LEFT) * (limit - low) / (high - low)
        parts.append(
            f'<line x1="{x:.1f}" y1="-6" x2="{x:.1f}" y2="{HEIGHT}" stroke="var(--two)" stroke-width="2"/>'
        )
    for place in np.linspace(low, high, 5):
        x = LEFT + (WIDTH - LEFT) * (place - low) / (high - low)
        anchor = "start" if place == low else ("end" if place == high else "middle")
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT + 16}" text-anchor="{anchor}">{place:.4g}</text>')
    parts.append(f'<text x="{LEFT - 6}" y="10" text-anchor="end">{tallest}</text>')
    parts.append(f'<text x="{LEFT - 6}" y="{HEIGHT}" text-anchor="end">0</text>')
    return (
        f'<svg viewBox="0 -8 {WIDTH} {HEIGHT + BOTTOM + 8}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>\n{chr(10).join(parts)}\n</svg>\n'
    )
