"""A suite of prompts, the file name of each of its clips, and a folder of clips matched to it.

A suite is a JSON list in VBench's layout (``VBench_full_info.json``): ``prompt_en``, the ``dimension`` list
that a prompt is measured on, and for some ``auxiliary_info``, what a dimension looks for. A clip is named by
its prompt and its number, ``{prompt}-{i}.mp4``, and a folder is flat.

Source: VBench (arXiv:2311.17982), prompts/README.md of its release.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rufous.core.config import to_json_dict
from rufous.core.files import write_text

MAX_NAME_BYTES = 255
"""Of a file name, on the file systems in use."""
MAX_SUITE_BYTES = 64_000_000
SAMPLES = 5
"""Clips of each prompt, as published."""
FLICKER_FACTOR = 5
"""So many times more for prompts of temporal_flickering alone, since clips that move are sorted out."""
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".webp")
PROXY, WORLD = "proxy_", "world_"
FLICKERING, UNFILTERED, STATIC = "temporal_flickering", "unfiltered_temporal_flickering", "static_filter"
"""The row of VBench, which counts clips that stand still; the same of all clips; and which stand still."""
ON_REQUEST = ("clipsim",)
"""Rows that no suite of VBench names and that need a prompt alone: if asked for by name, they are for all."""
_KEYS = ("prompt_en", "dimension", "auxiliary_info", "video_list")


@dataclass(frozen=True, kw_only=True)
class SuiteEntry:
    """One prompt, what it is measured on, and what each dimension looks for."""

    prompt: str
    dimensions: tuple[str, ...] = ()
    auxiliary: Mapping[str, Any] | None = None
    """By dimension, for example ``{"color": {"color": "red"}}``."""
    others: Mapping[str, Any] = field(default_factory=dict)
    """What else its file says of it, as the image of VBench's image-to-video suite; kept and not read."""


@dataclass(frozen=True, kw_only=True)
class ClipFile:
    """One clip of a folder, and what it should show."""

    path: Path
    prompt: str
    index: int | None = None
    """Its number among the clips of its prompt; None where the name holds none."""
    dimensions: tuple[str, ...] | None = None
    """What the suite measures it on; None if it names nothing, or without a suite: on everything."""
    auxiliary: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file, in a sentence."""

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class MatchedFolder:
    """The clips that can be measured, in the order of their names, and what is wrong with the others."""

    clips: tuple[ClipFile, ...]
    problems: tuple[Problem, ...]
    passed_over: tuple[str, ...] = ()
    """Files whose number lies beyond those that the suite counts."""


def read_suite(path: Path | str) -> list[SuiteEntry]:
    """The entries of a suite's file, in their order.

    Raises:
        ValueError: No JSON list of entries, or an entry without what it needs; names its number.
        OSError: The file cannot be read.
    """
    path = Path(path)
    if (size := path.stat().st_size) > MAX_SUITE_BYTES:
        raise ValueError(f"{path} has {size:,} bytes: a suite has at most {MAX_SUITE_BYTES:,}")
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(values, list) or not values:
        raise ValueError(
            f"{path} holds no list of prompts: "
            'write [{"prompt_en": "a red circle", "dimension": ["color"]}]'
        )
    return [_entry(value, f"{path}, entry {number}") for number, value in enumerate(values, start=1)]


def write_suite(
    path: Path | str,
    entries: Iterable[SuiteEntry],
    *,
    videos: Mapping[str, Sequence[Path | str]] | None = None,
) -> None:
    """Write entries in the published layout, atomically.

    Args:
        path: The file.
        entries: What to write.
        videos: Clips by prompt, written as ``video_list``, as VBench's own runs do.
    """
    rows = []
    for entry in entries:
        row: dict[str, Any] = {"prompt_en": entry.prompt, "dimension": list(entry.dimensions), **entry.others}
        if entry.auxiliary is not None:
            row["auxiliary_info"] = to_json_dict(entry.auxiliary)
        if videos is not None:
            row["video_list"] = [str(video) for video in videos.get(entry.prompt, ())]
        rows.append(row)
    write_text(path, json.dumps(rows, indent=4, ensure_ascii=False) + "\n")


def merged(entries: Iterable[SuiteEntry]) -> dict[str, SuiteEntry]:
    """Entries by prompt; those of one prompt share their clips, so they become one."""
    found: dict[str, SuiteEntry] = {}
    for entry in entries:
        known = found.get(entry.prompt)
        if known is not None:
            auxiliary = {**(known.auxiliary or {}), **(entry.auxiliary or {})}
            dimensions = tuple(dict.fromkeys((*known.dimensions, *entry.dimensions)))
            others = {**known.others, **entry.others}
            entry = replace(entry, dimensions=dimensions, auxiliary=auxiliary or None, others=others)
        found[entry.prompt] = entry
    return found


def asks_for(dimensions: Collection[str], row: str) -> bool:
    """Whether a prompt that is measured on some dimensions is measured on a row.

    A proxy stands for its dimension; rows of the world, and those ``ON_REQUEST``, are for every prompt. A
    prompt without dimensions is measured on every row.
    """
    if not dimensions:
        return True
    if row in (UNFILTERED, STATIC) and FLICKERING in dimensions:
        return True
    return row.startswith(WORLD) or row in ON_REQUEST or row.removeprefix(PROXY) in dimensions


def samples_of(entry: SuiteEntry, samples: int = SAMPLES) -> int:
    """How many clips of an entry's prompt to make; more of those that temporal_flickering will sort."""
    return samples * FLICKER_FACTOR if entry.dimensions == (FLICKERING,) else samples


def clip_name(prompt: str, index: int, suffix: str = ".mp4") -> str:
    """File name of a clip: the prompt as it is, and its number from 0.

    Raises:
        ValueError: The prompt is empty, or cannot be a file name.
    """
    name = f"{prompt}-{index}{suffix}"
    if not prompt.strip() or "/" in prompt or "\0" in prompt or prompt.startswith("."):
        raise ValueError(
            f"prompt {prompt!r} cannot be a file name: it may not be empty, hold '/' or begin with '.'"
        )
    if len(name.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"{name!r} has {len(name.encode())} bytes: a file name has at most {MAX_NAME_BYTES}")
    return name


def parse_clip_name(name: str) -> tuple[str, int | None]:
    """Prompt and number of a file name; the whole stem and None where it ends in no ``-NUMBER``."""
    stem = Path(name).stem if Path(name).suffix.lower() in VIDEO_SUFFIXES else name
    found = re.fullmatch(r"(.+)-(\d+)", stem, re.DOTALL)
    return (found[1], int(found[2])) if found else (stem, None)


def is_clip_manifest(values: object) -> bool:
    """Whether the content of a JSON file tells of a clip: which file it is, and its prompt."""
    return isinstance(values, dict) and all(isinstance(values.get(key), str) for key in ("prompt", "file"))


def match_folder(
    folder: Path | str,
    entries: Iterable[SuiteEntry] | None = None,
    *,
    samples: int = SAMPLES,
    rows: Collection[str] | None = None,
    told_prompts: Mapping[str, str] | None = None,
) -> MatchedFolder:
    """Match the clips of a flat folder to a suite.

    Two clips for one slot, a prompt and a number, are problems, and neither counts. With a suite so are a
    clip whose prompt is not in it, and every missing one of the first ``samples_of``, and clips of higher
    numbers are passed over.

    Args:
        folder: Clips; files of other kinds are passed over.
        entries: The suite.
        samples: Clips that each prompt should have.
        rows: What will be measured; prompts that the suite has for other rows are none of this folder's
            business. None for all.
        told_prompts: Prompt by file name, before what the names say. Where both differ, the number in the
            name is not one among the clips of the prompt, and the clip has none.

    Raises:
        ValueError: No such folder, or no clip in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: give a folder of clips")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and p.name[0] != ".")
    if not paths:
        raise ValueError(f"{folder} holds no clip: give a folder of {', '.join(VIDEO_SUFFIXES)} files")
    clips = [_named(path, told_prompts or {}) for path in paths]
    if entries is None:
        found, problems = _alone_in_their_slots(clips)
        return MatchedFolder(clips=tuple(found), problems=tuple(problems))
    return _match(clips, merged(entries), samples, rows)


def _entry(value: Any, where: str) -> SuiteEntry:
    if not isinstance(value, dict) or not isinstance(value.get("prompt_en"), str):
        raise ValueError(f'{where} has no text "prompt_en"')
    dimensions, auxiliary = value.get("dimension", []), value.get("auxiliary_info")
    if not isinstance(dimensions, list) or not all(isinstance(name, str) for name in dimensions):
        raise ValueError(f'{where}: "dimension" is no list of names')
    if auxiliary is not None and not isinstance(auxiliary, dict):
        raise ValueError(f'{where}: "auxiliary_info" is no object with a key for each dimension')
    others = {key: told for key, told in value.items() if key not in _KEYS}
    return SuiteEntry(
        prompt=value["prompt_en"], dimensions=tuple(dimensions), auxiliary=auxiliary, others=others
    )


def _named(path: Path, told: Mapping[str, str]) -> ClipFile:
    named, index = parse_clip_name(path.name)
    prompt = told.get(path.name, named)
    return ClipFile(path=path, prompt=prompt, index=index if prompt == named else None)


def _alone_in_their_slots(clips: Iterable[ClipFile]) -> tuple[list[ClipFile], list[Problem]]:
    """The clips that share their slot with no other; of those that do, nobody knows which one counts."""
    slots: dict[tuple[str, int | str], list[ClipFile]] = {}
    for clip in clips:
        slot = clip.prompt, clip.path.name if clip.index is None else clip.index
        slots.setdefault(slot, []).append(clip)
    problems: list[Problem] = []
    for same in (same for same in slots.values() if len(same) > 1):
        names = ", ".join(clip.path.name for clip in same)
        problems += [Problem(c.path.name, f"two clips for one slot, keep one of: {names}") for c in same]
    return [same[0] for same in slots.values() if len(same) == 1], problems


def _match(
    clips: Sequence[ClipFile],
    entries: Mapping[str, SuiteEntry],
    samples: int,
    rows: Collection[str] | None,
) -> MatchedFolder:
    problems: list[Problem] = []
    passed_over: list[str] = []
    counts = {
        prompt: samples_of(entry, samples)
        for prompt, entry in entries.items()
        if rows is None or any(asks_for(entry.dimensions, row) for row in rows)
    }
    counted: list[ClipFile] = []
    for clip in clips:
        if clip.index is None:
            problems.append(Problem(clip.path.name, "its name does not end in -NUMBER"))
        elif clip.prompt not in entries:
            problems.append(Problem(clip.path.name, "its prompt is not in the suite"))
        elif clip.prompt in counts and clip.index >= counts[clip.prompt]:
            passed_over.append(clip.path.name)
        elif clip.prompt in counts:
            counted.append(clip)
    alone, doubles = _alone_in_their_slots(counted)
    asked = ((clip, entries[clip.prompt]) for clip in alone)
    found = [replace(c, dimensions=e.dimensions or None, auxiliary=e.auxiliary) for c, e in asked]
    taken = {(clip.prompt, clip.index) for clip in counted}
    problems += doubles
    problems += [
        Problem(f"{prompt}-{index}.mp4", "missing")
        for prompt, count in counts.items()
        for index in range(count)
        if (prompt, index) not in taken
    ]
    return MatchedFolder(
        clips=tuple(sorted(found, key=lambda clip: clip.path.name)),
        problems=tuple(problems),
        passed_over=tuple(passed_over),
    )
