"""Lists of captioned clips, as a training reads them; ``list_rows`` knows their layouts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rufous.data.list_rows import check_times, read_rows


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
        check_times(self.start_s, self.end_s)


def read_clip_list(
    path: Path | str,
    *,
    root: Path | str | None = None,
    on_error: Callable[[int, str], None] | None = None,
) -> list[ClipRecord]:
    """The clips of a list, in its order; empty lines are left out. Takes about half a kilobyte a clip.

    * ``.jsonl``: an object a line, with ``source``, ``caption`` and, where wanted, ``start_s`` and ``end_s``.
    * ``.csv``: a header with the columns of one of ``list_rows.CSV_LAYOUTS``, the caption's among them, and
      ``start_s`` and ``end_s`` where wanted.

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
    records = [
        ClipRecord(source=row.source, caption=row.caption or "", start_s=row.start_s, end_s=row.end_s)
        for row in read_rows(path, root=root, needs_caption=True, on_error=on_error)
    ]
    if not records and on_error is None:
        raise ValueError(f"{path} holds no clips: write at least one")
    return records
