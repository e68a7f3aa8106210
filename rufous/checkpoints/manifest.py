"""The manifest of a release: what is in the folder, what it was made of, how, and what was measured."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rufous
from rufous.core.config import from_json_dict, to_json_dict
from rufous.core.errors import CheckpointError, ConfigError
from rufous.core.files import sha256_of, write_text

FORMAT_VERSION = 1
MANIFEST_NAME = "rufous.json"


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """One file of a release, as it was written."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Parent:
    """Something a release was made from: another release, or a published file."""

    name: str
    """Release name, hub id with file name, or file name; never a path of the machine it was made on."""
    sha256: str | None = None
    """Hash of the file, for a published file."""
    manifest_id: str | None = None
    """Id of the manifest, for a release."""
    role: str | None = None
    """What it gave, for example ``teacher`` or ``lora``."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a release says about itself, in ``rufous.json``; two equal releases have equal manifests."""

    format_version: int = FORMAT_VERSION
    code_version: str = rufous.__version__
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    """The resolved config of the run that made the weights."""
    seeds: dict[str, int] = field(default_factory=dict)
    files: dict[str, FileRecord] = field(default_factory=dict)
    """Every file of the folder but the manifest, by its path with forward slashes."""
    parents: tuple[Parent, ...] = ()
    licences: dict[str, str] = field(default_factory=dict)
    """Licence of each part, for example ``{"weights": "RAIL-MS"}``."""
    figures: dict[str, Any] = field(default_factory=dict)
    """What was measured, by its name; plain JSON values."""
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The JSON that is written."""
        return json.dumps(to_json_dict(self), indent=2, sort_keys=True) + "\n"

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that change with any byte of the release; clips carry it."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]

    def save(self, folder: Path | str) -> None:
        """Write ``rufous.json`` into ``folder``, atomically."""
        write_text(Path(folder) / MANIFEST_NAME, self.text)

    @staticmethod
    def load(folder: Path | str) -> "Manifest":
        """Read ``rufous.json`` of ``folder``.

        Raises:
            CheckpointError: It is missing, unreadable, or written by a newer format.
        """
        path = Path(folder) / MANIFEST_NAME
        values = read_json(path)
        version = values.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise CheckpointError(
                f"{path} has format version {version}; this code reads up to {FORMAT_VERSION}: upgrade rufous"
            )
        try:
            return from_json_dict(Manifest, values)
        except ConfigError as error:
            raise CheckpointError(f"{path} is no manifest: {error}") from error

    def verify(self, folder: Path | str) -> None:
        """Hash every file again.

        Raises:
            CheckpointError: Files are missing, changed, or not in the manifest; names them all.
        """
        found = record_files(folder)
        problems = [f"missing {name}" for name in self.files if name not in found]
        problems += [f"not in the manifest {name}" for name in found if name not in self.files]
        problems += [
            f"changed {name} ({found[name].size_bytes} bytes, was {record.size_bytes})"
            for name, record in self.files.items()
            if name in found and found[name] != record
        ]
        if problems:
            raise CheckpointError(
                f"{folder} is not what its manifest says: {'; '.join(problems)}; fetch or convert it again"
            )


def record_files(folder: Path | str) -> dict[str, FileRecord]:
    """Hash and size of every file of a release, but the manifest, hidden files and a README.md."""
    folder = Path(folder)
    paths = sorted(
        path for path in folder.rglob("*") if path.is_file() and _belongs(path.relative_to(folder))
    )
    return {
        path.relative_to(folder).as_posix(): FileRecord(
            sha256=sha256_of(path), size_bytes=path.stat().st_size
        )
        for path in paths
    }


def _belongs(path: Path) -> bool:
    is_hidden = any(part.startswith(".") for part in path.parts)
    return not is_hidden and path.as_posix() not in (MANIFEST_NAME, "README.md")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        CheckpointError: The file is missing or holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: {path.parent} is not a complete release folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return values
