"""Kept clips as WebDataset tar files: what any trainer reads, without the raw videos.

    FOLDER/
      00000.tar     of each clip KEY.mp4 (or .mkv), KEY.txt with its caption, KEY.json with its manifest row
      00000.json    the tar's SHA-256, its size, what it was made of, and the clips that could not be cut out

Clips are cut out without sound, their packets copied where that is exact and encoded anew elsewhere. A shard
whose rows are those of the last run is left as it is.
"""

import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rufous.core.files import atomic_path, sha256_of, write_text
from rufous.data.best_caption import caption_of
from rufous.data.clip import Clip
from rufous.data.executor import Executor, Failure
from rufous.data.manifest import flat_row
from rufous.data.media import ClipMedia
from rufous.video.excerpt import write_excerpt

CLIPS_A_SHARD = 256
FORMAT = 1
SCRATCH = ".cut-"


@dataclass(frozen=True, kw_only=True)
class ClipShards:
    """What was written."""

    num_shards: int
    num_clips: int
    failed: Mapping[str, str]
    """Why, by the source of each clip that is in no shard, and its times where they are not the file's."""


@dataclass(frozen=True, kw_only=True)
class CutOut:
    """The work on one clip: its file in ``folder``, named by its key."""

    root: Path
    folder: Path

    def __call__(self, clip: Clip) -> Path | OSError | str:
        """The file; the error that ends the run, as a full disk does; or why there is none."""
        media = ClipMedia(self.root / clip.source, start_s=clip.start_s, end_s=clip.end_s)
        try:
            return write_excerpt(media.timeline, media.frame_numbers, self.folder / clip.key).path
        except ValueError as error:
            return str(error)
        except OSError as error:
            return error


@dataclass(frozen=True)
class _Shard:
    """One shard: its tar file, and the clips that belong into it."""

    path: Path
    clips: tuple[Clip, ...]

    @property
    def made_of(self) -> str:
        """A hash of all that decides its contents."""
        told = [FORMAT, [[clip.content_id, flat_row(clip)] for clip in self.clips]]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @property
    def is_done(self) -> bool:
        """Whether it stands on disk, whole, of these clips and with all of them: failures are tried again."""
        told = _index_of(self.path)
        is_whole = self.path.is_file() and self.path.stat().st_size == told.get("bytes")
        return is_whole and told.get("made_of") == self.made_of and not told["failed"]


def write_clip_shards(
    folder: Path,
    clips: Sequence[Clip],
    *,
    root: Path,
    executor: Executor,
    clips_a_shard: int = CLIPS_A_SHARD,
    on_progress: Callable[[Clip], None] = lambda _: None,
) -> ClipShards:
    """Write shards of these clips, in their order; those of an earlier run that nobody wants any more go.

    Args:
        folder: Made if it is not there.
        clips: Rows that were kept.
        root: Folder of their sources.
        executor: Who cuts them out, one by one.
        clips_a_shard: The last one has fewer.
        on_progress: Called after each clip that is cut out.

    Raises:
        ValueError: ``clips_a_shard`` below 1.
        OSError: The folder cannot be written, or the disk is full; whole shards stay.
    """
    if clips_a_shard < 1:
        raise ValueError(f"clips_a_shard={clips_a_shard}: use 1 or more")
    shards = [
        _Shard(folder / f"{number:05d}.tar", tuple(clips[start : start + clips_a_shard]))
        for number, start in enumerate(range(0, len(clips), clips_a_shard))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    waiting = [shard for shard in shards if not shard.is_done]
    home = {clip.key: shard for shard in waiting for clip in shard.clips}
    cut: dict[Path, dict[str, Path | str]] = {shard.path: {} for shard in waiting}
    for left in folder.glob(f"{SCRATCH}*"):  # by a run that was killed
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as scratch:
        work = CutOut(root=root.absolute(), folder=Path(scratch).absolute())
        for clip, outcome in executor.run((clip for shard in waiting for clip in shard.clips), work):
            if isinstance(outcome, OSError):
                raise outcome
            shard = home[clip.key]
            cut[shard.path][clip.key] = outcome.reason if isinstance(outcome, Failure) else outcome
            on_progress(clip)
            if len(cut[shard.path]) == len(shard.clips):
                _write(shard, cut.pop(shard.path))
    for stale in sorted(set(folder.glob("*.tar")) - {shard.path for shard in shards}):
        if "made_of" in _index_of(stale):  # else it is somebody else's
            _told(stale).unlink()
            stale.unlink()
    told = [_index_of(shard.path) for shard in shards]
    failed = {place: reason for each in told for place, reason in each["failed"].items()}
    return ClipShards(num_shards=len(shards), num_clips=sum(each["clips"] for each in told), failed=failed)


def _write(shard: _Shard, cut: Mapping[str, Path | str]) -> None:
    """Pack what was cut out, and delete it."""
    failed: dict[str, str] = {}
    _told(shard.path).unlink(missing_ok=True)
    with atomic_path(shard.path) as temporary:
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for clip in shard.clips:
                file = cut[clip.key]
                if isinstance(file, str):
                    failed[_place_of(clip)] = file
                    continue
                _add(tar, file.name, file.read_bytes())
                file.unlink()
                if any(text.strip() for text in clip.captions.values()):
                    _add(tar, f"{clip.key}.txt", caption_of(clip).encode())
                _add(tar, f"{clip.key}.json", json.dumps(flat_row(clip), sort_keys=True).encode())
        index: dict[str, Any] = {
            "sha256": sha256_of(temporary),
            "bytes": temporary.stat().st_size,
            "clips": len(shard.clips) - len(failed),
            "made_of": shard.made_of,
            "failed": failed,
        }
    write_text(_told(shard.path), json.dumps(index, indent=1) + "\n")


def _place_of(clip: Clip) -> str:
    """What tells a clip from others of its file, for a reader."""
    start = f" from {clip.start_s:g} s" if clip.start_s else ""
    return clip.source + start + ("" if clip.end_s is None else f" to {clip.end_s:g} s")


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)  # no time, no owner: equal bytes
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _told(path: Path) -> Path:
    return path.with_suffix(".json")


def _index_of(path: Path) -> dict[str, Any]:
    """What is known of a shard; empty if nothing is."""
    try:
        found = json.loads(_told(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
