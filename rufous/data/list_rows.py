"""Rows of a list of clips: JSON lines, or CSV in the layout of a published recipe, read line by line."""

import csv
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from typing import Any

from rufous.core.console import logger

KEYS = ("source", "caption", "start_s", "end_s")
"""Of a JSON line."""
TIMES = ("start_s", "end_s")
OPEN_SORA_SCORES = {"aes": "aesthetic", "flow": "flow_open_sora", "match": "match"}
"""Columns of Open-Sora's data tools, and the names that the same scores have here."""
OPEN_SORA_TAGS = {"cmotion": "camera_motion"}
_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class CsvLayout:
    """The columns of a published CSV."""

    source: str
    """How a source is spelled out of columns; they tell the layout."""
    caption: str
    """Column of the caption; a list that is still to be described has none."""
    scores: Mapping[str, str] = field(default_factory=dict)
    """Columns of scores, and their names here."""
    tags: Mapping[str, str] = field(default_factory=dict)
    facts: tuple[str, ...] = ()
    """Columns that say nothing the stage ``probe`` does not read from the file, or that no stage needs."""
    unless: tuple[str, ...] = ()
    """Columns that make it another layout."""

    @property
    def sources(self) -> list[str]:
        """Columns that a source is spelled out of."""
        return [column for _, column, _, _ in Formatter().parse(self.source) if column]

    def fits(self, header: Iterable[str]) -> bool:
        """Whether a header is of this layout."""
        return set(self.sources) <= set(header) and set(self.unless).isdisjoint(header)

    def unread(self, header: Iterable[str]) -> list[str]:
        """Columns that are left out and hold something that is not known otherwise."""
        known = {*self.sources, self.caption, *self.scores, *self.tags, *self.facts, *TIMES}
        return [column for column in header if column not in known]


CSV_LAYOUTS: dict[str, CsvLayout] = {
    "Open-Sora, Hummingbird stage 1": CsvLayout(
        source="{path}",
        caption="text",
        scores=OPEN_SORA_SCORES,
        tags=OPEN_SORA_TAGS,
        # tools/datasets: convert, and datautil --info
        facts=("id", "relpath", "num_frames", "height", "width", "aspect_ratio", "fps", "resolution"),
    ),
    "WebVid": CsvLayout(
        source="videos/{page_dir}/{videoid}.mp4", caption="name", facts=("contentUrl", "duration")
    ),
    "T2V-Turbo-v2": CsvLayout(
        source="{relpath}", caption="text", facts=("short_text", "latent_root"), unless=("path",)
    ),
}
"""By their names; of Hummingbird's columns, ``path,text``, Open-Sora has more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListRow:
    """What a list says of one clip."""

    source: Path
    caption: str | None = None
    """None: the list has none."""
    start_s: float = 0.0
    """Seconds after the file's first frame."""
    end_s: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    """Under our names."""
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_times(self.start_s, self.end_s)


def check_times(start_s: float, end_s: float | None) -> None:
    """Refuse times that are no stretch of a file.

    Raises:
        ValueError: They are none.
    """
    if not (math.isfinite(start_s) and start_s >= 0.0):
        raise ValueError(f"start_s={start_s} is no time: use seconds, 0 or more")
    if end_s is not None and not (math.isfinite(end_s) and end_s > start_s):
        raise ValueError(f"end_s={end_s} must be a number of seconds above start_s={start_s}")


def read_rows(
    path: Path | str,
    *,
    root: Path | str | None = None,
    needs_caption: bool = False,
    on_error: Callable[[int, str], None] | None = None,
) -> Iterator[ListRow]:
    """The rows of a list, in its order; empty lines are left out.

    Args:
        path: UTF-8 text; ``.jsonl``: an object a line, with the ``KEYS`` (``source`` at least); ``.csv``: a
            header with the columns of one of ``CSV_LAYOUTS``, and ``start_s`` and ``end_s`` where wanted.
            Columns that are left out are logged.
        root: Folder that relative sources start from; the list's own if None. Absolute ones stay.
        needs_caption: Whether a row without a caption is wrong.
        on_error: Told the number of a wrong line and what is wrong; such lines are left out then.

    Raises:
        ValueError: No such file or root, another suffix, columns of no layout; or, without ``on_error``, a
            line without source, with times or scores that are none, or with a source that leaves ``root``.
        OSError: The file cannot be read.
    """
    path = Path(path)
    root = path.parent if root is None else Path(root)
    if path.suffix.lower() not in _READERS:
        raise ValueError(f"{path}: unknown suffix {path.suffix!r}: use {' or '.join(_READERS)}")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if not root.is_dir():
        raise ValueError(f"root={root}: no such folder")
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = _Lines(file)
        try:
            for values in _READERS[path.suffix.lower()](lines):
                try:
                    yield _row(values, root, needs_caption=needs_caption)
                except ValueError as error:
                    if on_error is None:
                        raise
                    on_error(lines.number, str(error))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not UTF-8 text, soon after line {lines.number}") from error
        except (ValueError, RecursionError, csv.Error) as error:
            raise ValueError(f"{path}, line {lines.number}: {error}") from error


class _Lines(Iterator[str]):
    """Lines of a text, and the number of the one handed out last."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.number = 0

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        return line


Values = dict[str, Any] | ValueError
"""What a row holds under the fields of ``ListRow``, or what is wrong with it."""


def _json_rows(lines: Iterator[str]) -> Iterator[Values]:
    for line in lines:
        if not line.strip():
            continue
        try:
            yield _json_row(line)
        except ValueError as error:
            yield error


def _json_row(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg} at character {error.pos + 1}") from error
    if not isinstance(row, dict):
        raise ValueError(f'{line.strip()[:40]!r} is no object: write {{"source": "a.mp4", "caption": "A"}}')
    if unknown := sorted(set(row) - set(KEYS)):
        of_manifest = "a row of a manifest, which is no list: " if "captions" in unknown else ""
        raise ValueError(f"{of_manifest}unknown {', '.join(unknown)}: use {', '.join(KEYS)}")
    return row


def _csv_rows(lines: Iterator[str]) -> Iterator[Values]:
    reader = csv.reader(lines, strict=True)
    header = next(reader, [])
    if not header:
        return
    layout = _layout(header)
    if unread := layout.unread(header):
        _log.warning("columns of the list that are left out: %s", ", ".join(unread))
    for cells in reader:
        if not cells:
            continue
        try:
            yield _csv_row(header, cells, layout)
        except ValueError as error:
            yield error


def _csv_row(header: list[str], cells: list[str], layout: CsvLayout) -> dict[str, Any]:
    if len(cells) != len(header):
        raise ValueError(
            f"{len(cells)} cells under {len(header)} columns: put texts that hold commas in double quotes"
        )
    row = dict(zip(header, cells, strict=True))
    if empty := [part for part in layout.sources if not row[part].strip()]:
        raise ValueError(f"no source: {empty[0]} is empty")
    tags = {ours: row[name].strip() for name, ours in layout.tags.items() if name in row}
    return {
        "source": layout.source.format_map(row),
        "caption": row.get(layout.caption),
        "scores": _scores(row, layout.scores),
        "tags": {name: tag.lower().replace(" ", "_") for name, tag in tags.items() if tag},
        **{key: row[key] for key in TIMES if row.get(key)},
    }


def _scores(row: Mapping[str, str], names: Mapping[str, str]) -> dict[str, float]:
    """Scores under our names; empty cells and ``nan`` are what was not measured."""
    scores: dict[str, float] = {}
    for column, ours in names.items():
        text = row.get(column, "").strip()
        try:
            score = float(text or "nan")
        except ValueError as error:
            raise ValueError(f"{column}={text!r} is no number") from error
        if math.isinf(score):
            raise ValueError(f"{column}={text!r} is no number")
        if not math.isnan(score):
            scores[ours] = score
    return scores


def _layout(header: list[str]) -> CsvLayout:
    """The one layout whose columns are all there."""
    fitting = [layout for layout in CSV_LAYOUTS.values() if layout.fits(header)]
    if len(fitting) != 1 or len(set(header)) < len(header):
        layouts = "; ".join(
            f"{','.join([*each.sources, each.caption])} ({name})" for name, each in CSV_LAYOUTS.items()
        )
        raise ValueError(
            f"the columns {','.join(header)} are not those of exactly one layout: use {layouts}; "
            f"or JSON lines with {', '.join(KEYS)}"
        )
    return fitting[0]


_READERS: dict[str, Callable[[Iterator[str]], Iterator[Values]]] = {
    ".jsonl": _json_rows,
    ".csv": _csv_rows,
}


def _row(values: Values, root: Path, *, needs_caption: bool) -> ListRow:
    if isinstance(values, ValueError):
        raise values
    source, caption = values.get("source"), values.get("caption")
    if not isinstance(source, str) or not source.strip():
        raise ValueError(f"no source: {source!r} is no text")
    is_text = isinstance(caption, str)
    has_caption = is_text and bool(caption.strip())
    if not has_caption and (needs_caption or not (caption is None or is_text)):
        raise ValueError(f"no caption: {caption!r} is no text")
    start_s = _seconds(values, "start_s")
    return ListRow(
        source=inside(root, source),
        caption=caption if has_caption else None,
        start_s=0.0 if start_s is None else start_s,
        end_s=_seconds(values, "end_s"),
        scores=values.get("scores", {}),
        tags=values.get("tags", {}),
    )


def _seconds(row: Mapping[str, Any], key: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    try:
        return float("" if isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{key}={value!r} is no number of seconds") from error


def inside(root: Path, source: str) -> Path:
    """The place of a source; a relative one may not climb out of ``root``.

    Raises:
        ValueError: It does.
    """
    if ".." not in source or Path(source).is_absolute():
        return root / source
    straight = os.path.normpath(source)
    if straight.split(os.sep)[0] == "..":
        raise ValueError(f"the source {source!r} leaves the folder {root}: name it absolutely if it is meant")
    return root / straight
