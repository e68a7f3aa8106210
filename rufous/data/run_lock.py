"""One run at a time on an output folder."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

NAME = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for the ``with`` block.

    The operating system lets go of the lock when its process ends in whatever way, so the file that a killed
    run leaves behind stops nobody.

    Args:
        folder: Made if it is not there.

    Raises:
        RuntimeError: Another run holds it; the message says which.
        OSError: The folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    with _locked_file(path) as file:
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _locked_file(path: Path) -> TextIO:
    """The lock's file, locked; a run that ends deletes it, maybe after it was opened here."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass  # deleted, and nobody has made another
        except BlockingIOError as error:
            file.close()
            raise RuntimeError(
                f"{path.parent} is being written by {_owner(path)}: wait for it, or choose another --output"
            ) from error
        file.close()


def _owner(path: Path) -> str:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return f"process {told['pid']} on {told['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another run"
