"""Each clip as a file of its own, copied without loss where it starts on a key frame."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rufous.data.clip import Clip
from rufous.data.stage import Gives
from rufous.video.excerpt import write_excerpt


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Writes the clip below ``folder``, without sound; it stays where it is as far as other stages know.

    Info ``cut_file``: its path below ``folder``, with forward slashes; ``cut_frames``: how many it has, which
    was checked. Tag ``cut``: ``copied``, or ``encoded`` anew.
    """

    name: ClassVar[str] = "cut"
    after: ClassVar[tuple[str, ...]] = ("shots",)
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False
    gives: ClassVar[Gives] = Gives(numbers=("cut_frames",), tags={"cut": ("copied", "encoded")})

    folder: str = ""
    """Where to write; made if it is not there."""
    copy: bool = True
    """Whether packets may be copied; else all is encoded anew, with key frames as close as wanted."""
    crf: int = 18
    """Of what is encoded: 0 (best) to 51."""
    keyframe_s: float = 1.0
    """Seconds between key frames of what is encoded; about 1 halves the cost of random reads."""

    def __post_init__(self) -> None:
        if not 0 <= self.crf <= 51:
            raise ValueError(f"crf={self.crf} must lie in [0, 51]")
        if not 0 < self.keyframe_s < 3600:
            raise ValueError(f"keyframe_s={self.keyframe_s} must lie in (0, 3600)")

    def missing(self) -> str | None:
        """What keeps it from running."""
        return None if self.folder else "no folder to write to: set cut.folder"

    def still_holds(self, clip: Clip) -> bool:
        """Whether the clip's file is there; true of one that could not be cut."""
        name = clip.info.get("cut_file")
        return name is None or (Path(self.folder) / str(name)).is_file()

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with what was written.

        Raises:
            ValueError: No folder is set, or the file would lie outside it.
            OSError: The folder cannot be written, or the disk is full.
        """
        if not self.folder:
            raise ValueError("cut has no folder to write to: set cut.folder")
        media, folder = clip.frames(), Path(self.folder)
        stem = _stem_of(clip)
        place = folder / stem
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.parent.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{place.parent} leads out of {folder}: remove the link")
        excerpt = write_excerpt(
            media.timeline,
            media.frame_numbers,
            place,
            may_copy=self.copy,
            crf=self.crf,
            keyframe_s=self.keyframe_s,
        )
        clip = clip.with_info(
            cut_file=excerpt.path.relative_to(folder).as_posix(), cut_frames=excerpt.num_frames
        )
        return [clip.with_tags(cut="copied" if excerpt.is_copied else "encoded")]


def _stem_of(clip: Clip) -> str:
    """A name that no other clip of the run has, in one of 256 folders, of harmless characters."""
    digest = clip.key
    readable = re.sub(r"[^A-Za-z0-9]+", "-", Path(clip.source).stem)[:40].strip("-")
    return f"{digest[:2]}/{readable or 'clip'}-{digest}"
