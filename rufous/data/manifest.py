"""Clips to files and back: Parquet for the engine and for others, JSON lines, and flat CSV.

In Parquet and CSV each entry of a clip's mappings is a column, named by its kind: ``info_width``,
``score_technical``, ``tag_camera_motion``, ``caption_original``, ``error_probe``; an empty cell means that
the clip has no such entry. JSON lines hold clips as ``Clip.to_dict`` has them.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rufous.core.files import atomic_path
from rufous.core.optional import require
from rufous.data.clip import Clip

KINDS = {"info": "info", "score": "scores", "tag": "tags", "caption": "captions", "error": "errors"}
"""Prefix of the columns of each mapping."""
FIXED = {"source": str, "start_s": float, "end_s": float, "content_id": str, "dropped": str}
_OF_JSON_ROWS = {"content_id", "dropped", *KINDS.values()}
"""What no other list of clips has in its JSON lines."""
ROWS_A_GROUP = 1000
METADATA_KEY = b"rufous"


def write_manifest(
    path: Path | str, clips: Sequence[Clip], *, metadata: Mapping[str, Any] | None = None
) -> Path:
    """Write Parquet, JSON lines or CSV, by the suffix; whole or not at all.

    Args:
        path: Ends in .parquet, .jsonl or .csv.
        clips: Rows, in this order.
        metadata: What the rows were made with; Parquet keeps it as JSON.

    Returns:
        ``path``.

    Raises:
        ValueError: An unknown suffix, or one name with values of several types.
        OSError: The folder cannot be written, or the disk is full; what stood there is untouched.
    """
    path = Path(path)
    write = _chosen(path, {".parquet": _write_parquet, ".jsonl": _write_jsonl, ".csv": _write_csv})
    with atomic_path(path) as temporary:
        write(temporary, clips, metadata or {})
    return path


def read_manifest(path: Path | str) -> Iterator[Clip]:
    """The clips of a file that ``write_manifest`` wrote, one by one; memory does not grow with the file.

    Raises:
        ValueError: No such file, an unknown suffix, or a file that holds no clips as they are written.
    """
    path = Path(path)
    read = _chosen(path, {".parquet": _read_parquet, ".jsonl": _read_jsonl, ".csv": _read_csv})
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    yield from read(path)


def is_manifest(path: Path) -> bool:
    """Whether a file is laid out as ``write_manifest`` does it, by its suffix and first line."""
    if path.suffix.lower() == ".parquet":
        return True
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        line = next((line for line in file if line.strip()), "")
    if path.suffix.lower() == ".csv":
        return set(FIXED) <= set(next(csv.reader([line]), []))
    with suppress(ValueError, RecursionError):
        row = json.loads(line)
        return isinstance(row, dict) and not _OF_JSON_ROWS.isdisjoint(row)
    return False


def recorded_root(path: Path) -> Path:
    """The folder that a manifest's sources start from: what ``run.json`` beside it says, or its own.

    Raises:
        ValueError: ``run.json`` is damaged.
    """
    told = path.with_name("run.json")
    if not told.is_file():
        return path.parent
    try:
        return Path(json.loads(told.read_text(encoding="utf-8"))["root"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{told} names no root ({error!r})") from error


def manifest_metadata(path: Path | str) -> dict[str, Any]:
    """What a Parquet manifest says it was made with."""
    found = require("pyarrow.parquet", extra="curate").read_schema(path).metadata or {}
    return json.loads(found.get(METADATA_KEY, b"{}"))


def columns(clips: Iterable[Clip]) -> dict[str, type]:
    """Name and type of each column that the clips need, in an order that theirs does not change.

    Raises:
        ValueError: One name has values of several types.
    """
    found: dict[str, type] = {}
    for clip in clips:
        for prefix, name in KINDS.items():
            for key, value in getattr(clip, name).items():
                column, kind = f"{prefix}_{key}", type(value) if prefix == "info" else _KIND_TYPES[prefix]
                known = found.setdefault(column, kind)
                if known is not kind:
                    if {known, kind} != {int, float}:
                        raise ValueError(
                            f"{column} is {known.__name__} in one clip and {kind.__name__} in "
                            f"{clip.source}: give it one type"
                        )
                    found[column] = float
    order = list(KINDS)
    told = sorted(found, key=lambda column: (order.index(column.partition("_")[0]), column))
    return {**FIXED, **{column: found[column] for column in told}}


def flat_row(clip: Clip) -> dict[str, Any]:
    """A clip under the names of columns; what it lacks is absent."""
    row: dict[str, Any] = {name: getattr(clip, name) for name in FIXED}
    for prefix, name in KINDS.items():
        row |= {f"{prefix}_{key}": value for key, value in getattr(clip, name).items()}
    return row


def clip_of_row(row: Mapping[str, Any]) -> Clip:
    """The clip of a flat row.

    Raises:
        ValueError: A column belongs to no kind, or a value is none that a clip can have.
    """
    mappings: dict[str, dict[str, Any]] = {name: {} for name in KINDS.values()}
    fixed: dict[str, Any] = {}
    for column, value in row.items():
        prefix, _, key = column.partition("_")
        if column in FIXED:
            fixed[column] = value
        elif prefix in KINDS and key:
            if value is not None:
                mappings[KINDS[prefix]][key] = value
        else:
            kinds = ", ".join(f"{prefix}_*" for prefix in KINDS)
            raise ValueError(f"the column {column} is none of a manifest: {', '.join(FIXED)}, {kinds}")
    return Clip.from_dict({**fixed, **mappings})


_KIND_TYPES = {"score": float, "tag": str, "caption": str, "error": str}


def _chosen(path: Path, by_suffix: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    if path.suffix.lower() not in by_suffix:
        raise ValueError(f"{path}: unknown suffix {path.suffix!r}: use {', '.join(by_suffix)}")
    return by_suffix[path.suffix.lower()]


def _write_parquet(path: Path, clips: Sequence[Clip], metadata: Mapping[str, Any]) -> None:
    arrow = require("pyarrow", extra="curate")
    parquet = require("pyarrow.parquet", extra="curate")
    types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_()}
    schema = arrow.schema(
        [(name, types[kind]) for name, kind in columns(clips).items()],
        metadata={METADATA_KEY: json.dumps(metadata).encode()},
    )
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, len(clips), ROWS_A_GROUP):
            rows = [flat_row(clip) for clip in clips[first : first + ROWS_A_GROUP]]
            table = {name: [row.get(name) for row in rows] for name in schema.names}
            writer.write_table(arrow.table(table, schema=schema))


def _read_parquet(path: Path) -> Iterator[Clip]:
    parquet = require("pyarrow.parquet", extra="curate")
    try:
        with parquet.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                for row in file.read_row_group(group).to_pylist():
                    yield clip_of_row({**row, "content_id": row.get("content_id") or ""})
    except (ValueError, TypeError) as error:  # pyarrow's are values' too
        raise ValueError(f"{path}: no manifest of clips: {error}") from error


def _write_jsonl(path: Path, clips: Sequence[Clip], metadata: Mapping[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for clip in clips:
            file.write(json.dumps(clip.to_dict(), ensure_ascii=False) + "\n")


def _read_jsonl(path: Path) -> Iterator[Clip]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield Clip.from_dict(json.loads(line))
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}, line {number}: {error}") from error


def _write_csv(path: Path, clips: Sequence[Clip], metadata: Mapping[str, Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns(clips)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat_row(clip) for clip in clips)


def _read_csv(path: Path) -> Iterator[Clip]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        for row in reader:
            try:
                yield clip_of_row({name: _of_text(name, text) for name, text in row.items()})
            except (ValueError, TypeError, AttributeError, csv.Error) as error:
                raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def _of_text(column: str, text: str | None) -> Any:
    """The value of a CSV cell: numbers and truths of ``info`` come back by how they are spelled."""
    if text is None:
        raise ValueError(f"no cell under {column}")
    if text == "":
        return "" if column in ("source", "content_id") else (0.0 if column == "start_s" else None)
    if column.startswith("score_") or column in ("start_s", "end_s"):
        return float(text)
    if not column.startswith("info_"):
        return text
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
