"""Kept clips as CSV in the layouts that published training code reads.

Those layouts know whole files only. Where a clip is a part of its file, the columns ``start_s`` and ``end_s``
are added, which ``rufous.data.list_rows`` reads and published code passes over: cut the clips for that.
"""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rufous.core.files import atomic_path
from rufous.data.clip import Clip
from rufous.data.filters import value_of
from rufous.data.list_rows import OPEN_SORA_SCORES, OPEN_SORA_TAGS

CAPTIONS = ("rewritten", "described", "original")
"""Kinds of captions, the most wanted first."""
_WEBVID_SOURCE = re.compile(r"videos/(?P<page_dir>.+)/(?P<videoid>[^/]+)\.mp4")
Cells = dict[str, str | int | float]


def write_published_csv(
    path: Path | str, clips: Sequence[Clip], *, layout: str, captions: Sequence[str] = CAPTIONS
) -> Path:
    """Write the clips that are kept, atomically; sources stay relative to the root.

    Args:
        path: The file.
        clips: Rows of a run; dropped ones are left out.
        layout: One of ``LAYOUTS``.
        captions: Kinds of captions; the first that a clip has is written.

    Raises:
        ValueError: An unknown layout, no clip, a clip without a caption, or one that the layout cannot hold.
        OSError: The file cannot be written; what stood there is untouched.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout={layout!r} is unknown: use {', '.join(LAYOUTS)}")
    kept = [clip for clip in clips if clip.dropped is None]
    if not kept:
        raise ValueError("no clip is kept: there is nothing to write")
    rows = [LAYOUTS[layout](clip, _caption(clip, captions)) for clip in kept]
    if any(clip.start_s or clip.end_s is not None for clip in kept):
        for row, clip in zip(rows, kept, strict=True):
            row |= {"start_s": clip.start_s, "end_s": "" if clip.end_s is None else clip.end_s}
    header = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return Path(path)


def _caption(clip: Clip, captions: Sequence[str]) -> str:
    for kind in captions:
        if clip.captions.get(kind, "").strip():
            return clip.captions[kind]
    raise ValueError(
        f"{clip.source} has no caption of {', '.join(captions)}: list captions, or run a captioning stage"
    )


def _hummingbird(clip: Clip, caption: str) -> Cells:
    """Source: the CSV of AMD's Hummingbird, stage 1."""
    return {"path": clip.source, "text": caption}


def _open_sora(clip: Clip, caption: str) -> Cells:
    """Source: Open-Sora 1.2, tools/datasets; the columns its data tools add are named as there."""
    needed = ("width", "height", "fps", "num_frames")
    if missing := [name for name in needed if value_of(clip, name) is None]:
        raise ValueError(f"{clip.source} has no {missing[0]}: run the stage probe")
    width, height, fps, num_frames = (float(value_of(clip, name) or 0.0) for name in needed)
    cells: Cells = {
        "path": clip.source,
        "text": caption,
        "num_frames": int(num_frames),
        "height": int(height),
        "width": int(width),
        "aspect_ratio": height / width,
        "fps": fps,
        "resolution": int(height * width),
    }
    scores = {name: clip.scores[ours] for name, ours in OPEN_SORA_SCORES.items() if ours in clip.scores}
    return (
        cells | scores | {name: clip.tags[ours] for name, ours in OPEN_SORA_TAGS.items() if ours in clip.tags}
    )


def _webvid(clip: Clip, caption: str) -> Cells:
    """Source: WebVid-10M's CSV; a video lies at videos/PAGE_DIR/VIDEOID.mp4."""
    found = _WEBVID_SOURCE.fullmatch(clip.source)
    if found is None:
        raise ValueError(f"{clip.source} does not lie at videos/PAGE_DIR/VIDEOID.mp4, as WebVid has it")
    return {"videoid": found["videoid"], "page_dir": found["page_dir"], "name": caption}


LAYOUTS: Mapping[str, Callable[[Clip, str], Cells]] = {
    "hummingbird": _hummingbird,
    "open-sora": _open_sora,
    "webvid": _webvid,
}
