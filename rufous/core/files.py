"""Files that are whole or absent: atomic replacement, and hashes for manifests."""

import contextlib
import functools
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside ``path``; move it into place on success, delete it on any failure.

    The temporary name keeps the suffix, since encoders choose the format by it. Parent folders are made.

    Raises:
        OSError: The folder cannot be made or written; whatever stood at ``path`` is left untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes 0600, which other users could not read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256_of(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_of(path: Path | str) -> tuple[int, int]:
    """A file's bytes (-1: there is none) and when it changed last, in ns: the same while it is as it was."""
    try:
        status = os.stat(path)
    except OSError:
        return -1, 0
    return status.st_size, status.st_mtime_ns


def cached_sha256_of(path: Path | str) -> str:
    """As ``sha256_of``; this process does not read a file again while its ``state_of`` is the same."""
    return _sha256_in(Path(path), state_of(path))


@functools.lru_cache(maxsize=16)
def _sha256_in(path: Path, state: tuple[int, int]) -> str:
    return sha256_of(path)
