"""A folder of videos, a list of them, or a manifest, to clips; what cannot be one is told by its name."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rufous.data.clip import Clip
from rufous.data.list_rows import ListRow, inside, read_rows
from rufous.data.manifest import is_manifest, read_manifest, recorded_root

VIDEO_SUFFIXES = (
    *(".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".gif"),
    *(".webp",),
)
LIST_SUFFIXES = (".jsonl", ".csv", ".parquet")
CAPTION_SUFFIX = ".txt"
"""Of a file beside a video with its caption: ``dog.txt`` beside ``dog.mp4``."""
MAX_CAPTION_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class ScanProblem:
    """Something that was passed over, and why."""

    source: str
    """Its name; bytes that are no UTF-8 are spelled out."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What was found."""

    root: Path
    """Where the sources of all clips lie."""
    clips: tuple[Clip, ...]
    """By source and start."""
    problems: tuple[ScanProblem, ...] = ()
    num_dropped: int = 0
    """Rows of a manifest that stay out, as an earlier run dropped them."""


def scan(path: Path | str, *, root: Path | str | None = None, with_dropped: bool = False) -> Scan:
    """The clips of a folder and its sub-folders, or of a list in a layout of ``rufous.data.list_rows``.

    No video is opened. Files of a folder that end in none of ``VIDEO_SUFFIXES`` are passed over without a
    word, as are hidden ones. Links are followed as long as they stay below the root. Captions that a list has
    and those that lie beside videos in files of their names are kept as ``original``, scores of a list under
    our names. Of a manifest (``rufous.data.manifest``, in all three formats) comes all that was measured.

    Args:
        path: The folder, list or manifest.
        root: The folder that the sources lie below. None: a list's own, and for a manifest what ``run.json``
            beside it says.
        with_dropped: Whether rows of a manifest come too that a run dropped.

    Raises:
        ValueError: Neither folder nor list is there, nothing in it can be a clip, or a row of a manifest is
            damaged.
        OSError: The folder or list cannot be read.
    """
    path, num_dropped = Path(path), 0
    if with_dropped and not (path.is_file() and is_manifest(path)):
        raise ValueError(f"{path} is no manifest, whose dropped rows --with-dropped takes")
    if path.is_dir():
        if root is not None:
            raise ValueError(f"root={root} is for lists: a folder is its own root")
        root, found = path, list(_of_folder(path))
    elif path.suffix.lower() in LIST_SUFFIXES and path.is_file():
        is_rows = is_manifest(path)
        root = _root_of(path, root, is_rows=is_rows)
        rows = list(read_manifest(path)) if is_rows else []
        taken = [clip for clip in rows if with_dropped or clip.dropped is None]
        num_dropped = len(rows) - len(taken)
        found = list(_of_manifest(taken, root) if is_rows else _of_list(path, root))
    else:
        raise ValueError(f"{path}: give a folder, or a list that ends in {' or '.join(LIST_SUFFIXES)}")
    clips, problems = _told_apart(found)
    if not clips:
        told = f": its {num_dropped} rows were dropped, --with-dropped takes them" if num_dropped else ""
        told = f": {problems[0].source}: {problems[0].reason}" if problems else told
        raise ValueError(f"{path} holds no video{told}")
    return Scan(
        root=root.absolute(),
        clips=tuple(sorted(clips, key=lambda clip: clip.place)),
        problems=tuple(sorted(problems, key=lambda problem: problem.source)),
        num_dropped=num_dropped,
    )


def _told_apart(found: Iterable[Clip | ScanProblem]) -> tuple[list[Clip], list[ScanProblem]]:
    """Clips of different places, and problems under names that any file can hold."""
    clips: dict[tuple[str, float], Clip] = {}  # by source and start
    problems: list[ScanProblem] = []
    for each in found:
        if isinstance(each, ScanProblem):
            name = each.source.encode("utf-8", "backslashreplace").decode()
            problems.append(ScanProblem(source=name, reason=each.reason))
        elif clips.setdefault((each.source, each.start_s), each) is not each:
            reason = f"named twice from {each.start_s} s on: the first one counts"
            problems.append(ScanProblem(source=each.source, reason=reason))
    return list(clips.values()), problems


def _root_of(path: Path, root: Path | str | None, *, is_rows: bool) -> Path:
    """Where the sources of a list or manifest lie."""
    try:
        found = Path(root) if root is not None else recorded_root(path) if is_rows else path.parent
    except ValueError as error:
        raise ValueError(f"{error}: give --root") from error
    if not found.is_dir():
        raise ValueError(f"root={found}: no such folder: give --root")
    return found


def _of_folder(root: Path) -> Iterator[Clip | ScanProblem]:
    real_root = root.resolve()
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        for name in sorted(folders):
            if name.startswith("."):
                continue
            source = (here / name).as_posix()
            if (Path(folder) / name).is_symlink():
                reason = "a link to a folder: give that folder itself, or copy it"
                yield ScanProblem(source=source, reason=reason)
            elif Path(name).suffix.lower() in VIDEO_SUFFIXES:
                yield ScanProblem(
                    source=source, reason="a folder, not a video file; what lies in it is taken"
                )
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith(".") or Path(name).suffix.lower() not in VIDEO_SUFFIXES:
                continue
            source = (here / name).as_posix()
            reason = _problem(root / source, real_root) or _unwritable(source)
            if reason is not None:
                yield ScanProblem(source=source, reason=reason)
                continue
            caption = None
            try:
                caption = _caption_beside(root / source, real_root)
            except (OSError, ValueError) as error:
                yield ScanProblem(source=str(Path(source).with_suffix(CAPTION_SUFFIX)), reason=str(error))
            yield Clip(source=source, captions={} if caption is None else {"original": caption})


def _caption_beside(video: Path, real_root: Path) -> str | None:
    """The caption in the file beside a video; None where there is none.

    Raises:
        ValueError: The file leaves the root, is too large for a caption, or is no UTF-8.
        OSError: It cannot be read.
    """
    path = video.with_suffix(CAPTION_SUFFIX)
    if not path.is_file():
        return None
    if (reason := _problem(path, real_root)) is not None:
        raise ValueError(reason)
    if path.stat().st_size > MAX_CAPTION_BYTES:
        raise ValueError(f"{path.stat().st_size} bytes are no caption: write at most {MAX_CAPTION_BYTES}")
    try:
        return " ".join(path.read_text(encoding="utf-8-sig").split()) or None
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8") from error


def _of_list(path: Path, root: Path) -> Iterator[Clip | ScanProblem]:
    wrong: list[ScanProblem] = []
    rows = list(
        read_rows(
            path, root=root, on_error=lambda line, reason: wrong.append(_wrong_line(path, line, reason))
        )
    )
    yield from wrong
    real_root = root.resolve()
    for row in rows:
        yield _of_row(row, root, real_root)


def _of_row(row: ListRow, root: Path, real_root: Path) -> Clip | ScanProblem:
    source = _source_of(row.source, root, real_root)
    if isinstance(source, ScanProblem):
        return source
    if row.caption is not None and not _is_utf8(row.caption):
        return ScanProblem(source=source, reason="its caption is not UTF-8: correct it")
    return Clip(
        source=source,
        start_s=row.start_s,
        end_s=row.end_s,
        scores=row.scores,
        tags=row.tags,
        captions={} if row.caption is None else {"original": row.caption},
    )


def _of_manifest(clips: Iterable[Clip], root: Path) -> Iterator[Clip | ScanProblem]:
    """The clips of rows, without what went wrong in the run that wrote them."""
    real_root = root.resolve()
    for clip in clips:
        try:
            source = _source_of(inside(root, clip.source), root, real_root)
        except ValueError as error:
            source = ScanProblem(source=clip.source, reason=str(error))
        if isinstance(source, ScanProblem):
            yield source
        elif not all(map(_is_utf8, clip.captions.values())):
            yield ScanProblem(source=source, reason="its caption is not UTF-8: correct it")
        else:
            yield replace(clip, source=source, errors={}, dropped=None)


def _source_of(path: Path, root: Path, real_root: Path) -> str | ScanProblem:
    """A file of a list under the name that a clip has for it."""
    try:
        source = path.relative_to(root).as_posix()
    except ValueError:
        return ScanProblem(source=str(path), reason=f"lies outside the root {root}: give --root")
    reason = _problem(path, real_root) or _unwritable(source)
    return source if reason is None else ScanProblem(source=source, reason=reason)


def _problem(path: Path, real_root: Path) -> str | None:
    """Why a path is no file below the root; None if it is one."""
    if path.is_dir():
        return "a folder, not a video file"
    if not path.exists():
        return "a link to nothing" if path.is_symlink() else "no such file"
    if not path.resolve().is_relative_to(real_root):
        return "a link that leaves the root: copy the file, or start from its own folder"
    return None if path.is_file() else "no regular file"


def _unwritable(source: str) -> str | None:
    """Why a manifest cannot hold a name; None if it can."""
    return None if _is_utf8(source) else "its name is not UTF-8: rename it"


def _is_utf8(text: str) -> bool:
    """False of half a character, which JSON can spell."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _wrong_line(path: Path, line: int, reason: str) -> ScanProblem:
    return ScanProblem(source=f"{path.name}, line {line}", reason=reason)
