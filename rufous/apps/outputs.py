"""Which file each clip goes to; existing files and unwritable or full disks are refused before any work."""

import errno
import glob
import os
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rufous.apps.prompt_files import PromptLine

DEFAULT_FILE = Path("out.mp4")
DEFAULT_FOLDER = Path("out")
MIN_FREE_BYTES = (
    1_000_000  # a clip is far smaller or fails cleanly on its own; this catches a full disk early
)
_SLUG_WORDS = 6


def plan_outputs(lines: Sequence[PromptLine], output: Path | None) -> list[Path]:
    """The file of each prompt.

    One prompt goes to the file ``output``. Several, or an ``output`` without a suffix, make a folder with one
    file each: its own name from the prompts' file, or else ``03-a-red-circle.mp4``.

    Raises:
        ValueError: Several prompts for one file, or two prompts with one name.
    """
    if output is None:
        output = DEFAULT_FILE if len(lines) == 1 and lines[0].name is None else DEFAULT_FOLDER
    is_folder = output.is_dir() or not output.suffix
    if not is_folder:
        if len(lines) > 1:
            what = "the frames of one clip" if "%" in output.name else "one file"
            raise ValueError(
                f"--output {output} is {what} for {len(lines)} prompts: name a folder, no suffix"
            )
        return [output]
    digits = len(str(len(lines)))
    paths = [output / _file_name(line, f"{i:0{digits}d}") for i, line in enumerate(lines, start=1)]
    if repeated := {path.name for path, count in Counter(paths).items() if count > 1}:
        raise ValueError(f"two prompts are named {', '.join(sorted(repeated))}: give each its own name")
    return paths


def check_outputs(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse what could not be written, before any work is done.

    Raises:
        ValueError: An unknown suffix, or a file that exists and must not be overwritten.
        OSError: A folder that cannot be made or written, or a full disk.
    """
    from rufous.video.write import SUFFIXES, manifest_path

    for path in paths:
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"{path}: unknown suffix {path.suffix!r}: use one of {', '.join(SUFFIXES)}")
        for existing in () if overwrite else (*existing_files(path), manifest_path(path)):
            if existing.exists():
                raise ValueError(f"{existing} exists: add --overwrite, or choose another --output")
    for folder in {path.parent for path in paths}:
        check_folder(folder)


def existing_files(path: Path) -> list[Path]:
    """What is there of an output: the file, or the frames of a pattern of numbered ones."""
    is_pattern = path.suffix.lower() == ".png"
    found = (
        path.parent.glob("*".join(map(glob.escape, re.split(r"%0?\d*d", path.name))))
        if is_pattern
        else [path]
    )
    return [each for each in found if each.exists()]


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be made or written, and a full disk, with an ``OSError``."""
    present = folder.absolute()
    while not present.exists():
        present = present.parent
    if not present.is_dir():
        raise NotADirectoryError(
            errno.ENOTDIR, "is a file, not a folder: choose another --output", str(present)
        )
    if not os.access(present, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "cannot be written: choose another --output", str(present))
    free = shutil.disk_usage(present).free
    if free < MIN_FREE_BYTES:
        message = f"the disk is full ({free:,} bytes free): free some or choose another --output"
        raise OSError(errno.ENOSPC, message, str(present))


def _file_name(line: PromptLine, number: str) -> str:
    if line.name is not None:
        return line.name if Path(line.name).suffix else f"{line.name}.mp4"
    words = re.findall(r"[a-z0-9]+", line.prompt.lower())[:_SLUG_WORDS]
    return "-".join([number, *words])[:80] + ".mp4"
