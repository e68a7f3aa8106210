"""Lists of captioned clips: JSON lines, or CSV in the layout of a published recipe, read line by line."""

import csv
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

CSV_LAYOUTS: dict[str, tuple[str, str]] = {
    "Hummingbird stage 1": ("{path}", "text"),
    "WebVid": ("videos/{page_dir}/{videoid}.mp4", "name"),
    "T2V-Turbo-v2": ("{relpath}", "text"),
}
"""How each layout spells a source out of its columns, and which column is the caption."""
_KEYS = ("source", "caption", "start_s", "end_s")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipRecord:
    """A captioned stretch of a video file."""

    source: Path
    """Whatever ``rufous.video.read_video`` reads."""
    caption: str
    start_s: float = 0.0
    """Seconds after the file's first frame."""
    end_s: float | None = None
    """None: until the file ends."""

    def __post_init__(self) -> None:
        if not self.caption.strip():
            raise ValueError("the caption is empty")
        if not (math.isfinite(self.start_s) and self.start_s >= 0.0):
            raise ValueError(f"start_s={self.start_s} is no time: use seconds, 0 or more")
        if self.end_s is not None and not (math.isfinite(self.end_s) and self.end_s > self.start_s):
            raise ValueError(f"end_s={self.end_s} must be a number of seconds above start_s={self.start_s}")


def read_clip_list(
    path: Path | str,
    *,
    root: Path | str | None = None,
    on_error: Callable[[int, str], None] | None = None,
) -> list[ClipRecord]:
    """The clips of a list, in its order; empty lines are left out. Takes about half a kilobyte a clip.

    * ``.jsonl``: an object a line, with ``source``, ``caption`` and, where wanted, ``start_s`` and ``end_s``.
    * ``.csv``: a header with the columns of one of ``CSV_LAYOUTS``, and ``start_s`` and ``end_s`` where
      wanted; other columns are ignored.

    No video is opened: whether the sources exist shows when they are read. ``..`` in a source is taken by
    name alone, and links are followed.

    Args:
        path: UTF-8 text.
        root: Folder that relative sources start from; the list's own if None. Absolute ones stay.
        on_error: Told the number of a wrong line and what is wrong; such lines are left out then.

    Raises:
        ValueError: No such file or root, another suffix, columns of no layout, no clips; or, without
            ``on_error``, a line without source or caption, with times that are none, or with a source that
            leaves ``root``.
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
            rows = _READERS[path.suffix.lower()](lines)
            records = list(_records(rows, root, lines, on_error))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not UTF-8 text, soon after line {lines.number}") from error
        except (ValueError, RecursionError, csv.Error) as error:
            raise ValueError(f"{path}, line {lines.number}: {error}") from error
    if not records and on_error is None:
        raise ValueError(f"{path} holds no clips: write at least one")
    return records


def _records(
    rows: "Iterator[Row]", root: Path, lines: "_Lines", on_error: Callable[[int, str], None] | None
) -> Iterator[ClipRecord]:
    """Records of the rows that are right."""
    for row in rows:
        try:
            if isinstance(row, ValueError):
                raise row
            yield _record(row, root)
        except ValueError as error:
            if on_error is None:
                raise
            on_error(lines.number, str(error))


class _Lines(Iterator[str]):
    """Lines of a text, and the number of the one handed out last."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.number = 0

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        return line


def _json_rows(lines: Iterator[str]) -> "Iterator[Row]":
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
    if unknown := sorted(set(row) - set(_KEYS)):
        raise ValueError(f"unknown {', '.join(unknown)}: use {', '.join(_KEYS)}")
    return row


def _csv_rows(lines: Iterator[str]) -> "Iterator[Row]":
    """Rows under the keys of JSON lines."""
    reader = csv.reader(lines, strict=True)
    header = next(reader, [])
    if not header:
        return
    template, caption = _layout(header)
    parts = _columns(template)
    for cells in reader:
        if not cells:
            continue
        if len(cells) != len(header):
            yield ValueError(
                f"{len(cells)} cells under {len(header)} columns: put texts that hold commas in double quotes"
            )
            continue
        row = dict(zip(header, cells, strict=True))
        if empty := [part for part in parts if not row[part].strip()]:
            yield ValueError(f"no source: {empty[0]} is empty")
            continue
        times = {key: row[key] for key in ("start_s", "end_s") if row.get(key)}
        yield {"source": template.format_map(row), "caption": row[caption], **times}


def _layout(header: list[str]) -> tuple[str, str]:
    """The one layout whose columns are all there."""
    known = {name: [*_columns(source), caption] for name, (source, caption) in CSV_LAYOUTS.items()}
    fitting = [name for name, columns in known.items() if set(columns) <= set(header)]
    if len(fitting) != 1 or len(set(header)) < len(header):
        layouts = "; ".join(f"{','.join(columns)} ({name})" for name, columns in known.items())
        raise ValueError(
            f"the columns {','.join(header)} are not those of exactly one layout: use {layouts}; "
            f"or JSON lines with {', '.join(_KEYS)}"
        )
    return CSV_LAYOUTS[fitting[0]]


def _columns(template: str) -> list[str]:
    return [column for _, column, _, _ in Formatter().parse(template) if column]


Row = dict[str, Any] | ValueError
"""A row under the keys of JSON lines, or what is wrong with it."""
_READERS: dict[str, Callable[[Iterator[str]], Iterator[Row]]] = {
    ".jsonl": _json_rows,
    ".csv": _csv_rows,
}


def _record(row: dict[str, Any], root: Path) -> ClipRecord:
    for key in ("source", "caption"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise ValueError(f"no {key}: {row.get(key)!r} is no text")
    start_s = _seconds(row, "start_s")
    return ClipRecord(
        source=_inside(root, row["source"]),
        caption=row["caption"],
        start_s=0.0 if start_s is None else start_s,
        end_s=_seconds(row, "end_s"),
    )


def _seconds(row: dict[str, Any], key: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    try:
        return float("" if isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{key}={value!r} is no number of seconds") from error


def _inside(root: Path, source: str) -> Path:
    """The place of a source; a relative one may not climb out of ``root``."""
    if ".." not in source or Path(source).is_absolute():
        return root / source
    straight = os.path.normpath(source)
    if straight.split(os.sep)[0] == "..":
        raise ValueError(f"the source {source!r} leaves the folder {root}: name it absolutely if it is meant")
    return root / straight
