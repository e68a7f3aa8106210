"""Reports as one HTML file: nothing is fetched, no script runs, and pictures are inside it."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from PIL import Image

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


def page(title: str, body: str, *, style: str = "") -> str:
    """A whole page.

    Args:
        title: Plain text.
        body: HTML.
        style: CSS after that of all reports; colours are ``--paper``, ``--ink``, ``--soft``, ``--line``,
            ``--one`` and ``--two``.
    """
    head = (
        '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n"
    )
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}</head>\n<body>\n{body}</body>\n</html>\n'


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain texts."""
    lines = [_line(header, "th"), *(_line(row, "td") for row in rows)]
    return f'<div class="scroll"><table>\n{"".join(lines)}</table></div>\n'


def named_list(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Plain texts under their names, below a heading if ``title`` is one; nothing where there are none."""
    items = [f"<li><b>{escape(name)}</b>: {escape(text)}</li>\n" for name, text in rows]
    head = f"<h2>{escape(title)}</h2>\n" if title else ""
    return f"{head}<ul>\n{''.join(items)}</ul>\n" if items else ""


def picture(pixels: np.ndarray, *, alt: str) -> str:
    """An image inside the page; ``pixels`` are RGB, uint8, ``h w 3``."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    size = f'width="{pixels.shape[1]}" height="{pixels.shape[0]}"'
    return f'<img {size} alt="{escape(alt)}" src="data:image/webp;base64,{data}">\n'


def _line(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>\n"
