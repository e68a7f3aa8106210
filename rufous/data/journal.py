"""What was found out about clips, on disk as soon as each is done: JSON lines that are only appended to.

A run that is stopped in any way loses the clips it was working on and no more. In memory are the places of
the lines; the lines themselves are read when they are asked for.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from rufous.core.console import logger
from rufous.data.chain import Changes

_log = logger(__name__)


class Journal:
    """Results by the key of ``rufous.data.chain``; owns one file, which one run at a time may write."""

    def __init__(self, path: Path) -> None:
        """Look through what is there; lines that were cut off are passed over.

        Args:
            path: The file; made when the first result is kept.

        Raises:
            OSError: The file cannot be read.
        """
        self.path = path
        self._places: dict[str, list[int]] = {}
        self._sizes: set[int] = set()
        """Of files that earlier runs looked at."""
        self._file: BinaryIO | None = None
        num_damaged = 0
        if path.is_file():
            with path.open("rb") as file:
                place = 0
                for line in file:
                    entry = _parsed(line)
                    if entry is None:
                        num_damaged += 1
                    else:
                        self._note(entry, place)
                        self._sizes.add(entry["size"])
                    place += len(line)
        if num_damaged:
            _log.warning("%s: %d lines were cut off; what they held is done again", path, num_damaged)

    def known(self, *keys: str) -> dict[str, Sequence[Changes]]:
        """All that was kept under file keys or content ids."""
        places = sorted({place for key in keys if key for place in self._places.get(key, ())})
        found: dict[str, Sequence[Changes]] = {}
        if places:
            with self.path.open("rb") as file:
                for place in places:
                    file.seek(place)
                    found |= (_parsed(file.readline()) or {"results": {}})["results"]
        return found

    def may_know(self, file_key: str, size: int) -> bool:
        """Whether a file of another name, or touched since, may be one that an earlier run looked at."""
        return size > 0 and file_key not in self._places and size in self._sizes

    def keep(
        self, file_key: str, *, size: int, content_id: str, results: Mapping[str, Sequence[Changes]]
    ) -> None:
        """Append results; they are with the operating system when this returns.

        Raises:
            OSError: The disk is full, say; what was kept before is whole.
        """
        entry = {"file": file_key, "size": size, "content": content_id, "results": dict(results)}
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        file = self._opened()
        place = file.seek(0, os.SEEK_END)
        try:
            while line:
                line = line[file.write(line) :]
        except OSError:
            file.truncate(place)  # so that the next entry begins a line
            raise
        self._note(entry, place)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> BinaryIO:
        """The file, ready for a whole line: a line that was cut off is ended first."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab+", buffering=0)
            if self._file.seek(0, os.SEEK_END):
                self._file.seek(-1, os.SEEK_END)
                if self._file.read(1) != b"\n":
                    self._file.write(b"\n")
        return self._file

    def _note(self, entry: Mapping[str, Any], place: int) -> None:
        for key in (entry["file"], entry["content"]):
            if key:
                self._places.setdefault(key, []).append(place)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
        return entry if {"file", "size", "content", "results"} <= entry.keys() else None
    except (ValueError, AttributeError):
        return None
