"""One clip through its stages, depth first, doing only what no earlier run has done.

What a stage made of a clip is kept as its changes, under a key: what the clip is (``content_id``, or before
``probe`` its file's name, size and time), its original caption, the stage's settings and those of the stages
it is after. So a stage that changes is done again with what depends on it, and nothing else is.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rufous.core.config import to_json_dict
from rufous.core.console import logger
from rufous.core.errors import CheckpointError, ConfigError, MissingDependencyError
from rufous.data.clip import Clip
from rufous.data.media import ClipMedia, MediaSettings
from rufous.data.stage import SetStage, Stage, settings_key
from rufous.data.stages.probe import Probe

Changes = dict[str, Any]
"""What a stage changed of a clip, as JSON has it; a None inside a mapping takes an entry away."""
Known = Mapping[str, Sequence[Changes]]
_MAPPINGS = ("info", "scores", "tags", "captions", "errors")
_FIELDS = ("source", "start_s", "end_s", "content_id", "dropped")
_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Per-clip stages in their order, with the keys of their settings."""

    root: Path
    stages: tuple[Stage, ...]
    keys: tuple[str, ...]
    reads_sets: tuple[bool, ...]
    """Whether a stage reads, by whatever way, what a set stage found: its key then holds all of the clip."""
    media: MediaSettings
    redo: frozenset[str] = frozenset()
    """Names of stages whose known results do not count."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One clip, and what is known of it; goes to a worker."""

    clip: Clip
    file_key: str
    known: Known


@dataclass(frozen=True, kw_only=True)
class ChainResult:
    """What became of one clip; comes from a worker."""

    clips: tuple[Clip, ...]
    fresh: Mapping[str, Sequence[Changes]] = field(default_factory=dict)
    """By key, what was found out now and will hold in later runs."""
    content_id: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time by stage; whichever looks at the frames first pays for their decoding."""
    fatal: str | None = None
    """Why the run cannot go on: a package or weights are missing."""


def stage_keys(stages: Iterable[Stage | SetStage], media: MediaSettings) -> dict[str, str]:
    """Key of each stage by name: its settings, those of the media, and the keys of what it is after.

    Raises:
        ConfigError: Two stages of one name, or one that comes before a stage it is after.
    """
    listed = list(stages)
    names = [stage.name for stage in listed]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"two stages are named {repeated[0]}: a run has each once")
    keys: dict[str, str] = {}
    for stage in listed:
        before = [name for name in stage.after if name in names]
        if late := [name for name in before if name not in keys]:
            raise ConfigError(f"the stage {stage.name} reads {late[0]}: put {late[0]} before it")
        told = [settings_key(stage), to_json_dict(media), [keys[name] for name in sorted(before)]]
        keys[stage.name] = _digest(told)
    return keys


def file_key(clip: Clip, root: Path) -> tuple[str, int]:
    """What tells a clip of a file apart without opening it, and the file's bytes (-1: there is no file)."""
    try:
        status = (root / clip.source).stat()
        size, changed = status.st_size, status.st_mtime_ns
    except OSError:
        size, changed = -1, 0
    told = [clip.source, size, changed, clip.start_s, clip.end_s, clip.captions.get("original", "")]
    return _digest(told), size


def replay(task: Task, chain: Chain) -> ChainResult | None:
    """What earlier runs know of a clip; None if a stage is still to be done."""
    walk = _Walk(task, chain, may_work=False)
    try:
        clips = walk.through(task.clip, 0, None, frozenset())
    except _UnknownError:
        return None
    return ChainResult(clips=tuple(clips))


@dataclass(frozen=True)
class ChainWork:
    """What a worker does; sent to it once."""

    chain: Chain

    def __call__(self, task: Task) -> ChainResult:
        """Carry out the stages that are not known."""
        clip, walk = task.clip, _Walk(task, self.chain, may_work=True)
        media = ClipMedia(
            self.chain.root / clip.source,
            start_s=clip.start_s,
            end_s=clip.end_s,
            settings=self.chain.media,
        )
        try:
            clips = walk.through(replace(clip, media=media), 0, media, frozenset())
        except (MissingDependencyError, CheckpointError) as error:
            return ChainResult(clips=(clip,), fatal=str(error))
        finally:
            media.release()
        return ChainResult(
            clips=tuple(replace(each, media=None) for each in clips),
            fresh=walk.fresh,
            content_id=walk.content_id,
            seconds=walk.seconds,
        )


class _UnknownError(LookupError):
    """A stage would have to be carried out."""


class _Walk:
    """One task on its way; owns what was found out on it."""

    def __init__(self, task: Task, chain: Chain, *, may_work: bool) -> None:
        self._task, self._chain, self._may_work = task, chain, may_work
        self.fresh: dict[str, list[Changes]] = {}
        self.seconds: dict[str, float] = {}
        self.content_id = ""

    def through(
        self, clip: Clip, position: int, media: ClipMedia | None, unsure: frozenset[str]
    ) -> list[Clip]:
        """The clip after all stages from ``position`` on.

        Args:
            clip: As the stages before left it.
            position: Of the next stage.
            media: Of the clip, or of the longer one that it was cut out of.
            unsure: Stages that failed for a reason that may pass, and those after them: not to be kept.
        """
        if not self.content_id:
            self.content_id = clip.content_id
        if position == len(self._chain.stages) or clip.dropped is not None:
            return [clip]
        stage, key = self._chain.stages[position], self._key(clip, position)
        if unsure.intersection(stage.after):
            unsure |= {stage.name}
        is_known = key in self._task.known and stage.name not in self._chain.redo
        if stage.name not in unsure and is_known:
            outputs = [_changed(clip, changes) for changes in self._task.known[key]]
        elif not self._may_work:
            raise _UnknownError(key)
        else:
            clip = self._with_media(clip, media)
            outputs, is_sure = self._carried_out(stage, clip)
            if not is_sure:
                unsure |= {stage.name}
            elif stage.name not in unsure:
                self.fresh[key] = [_changes(clip, output) for output in outputs]
        results: list[Clip] = []
        for output in outputs:
            results += self.through(output, position + 1, clip.media or media, unsure)
            if output.media is not None and output.media is not clip.media:
                output.media.release()
        return results

    def _with_media(self, clip: Clip, media: ClipMedia | None) -> Clip:
        if clip.media is not None:
            return clip
        path = self._chain.root / clip.source
        if media is not None and media.path == path:
            return replace(clip, media=media.part(clip.start_s, clip.end_s))
        own = ClipMedia(path, start_s=clip.start_s, end_s=clip.end_s, settings=self._chain.media)
        return replace(clip, media=own)

    def _carried_out(self, stage: Stage, clip: Clip) -> tuple[list[Clip], bool]:
        """What a stage made of a clip, and whether it would be the same another time."""
        start = time.perf_counter()
        try:
            outputs = [_at_its_place(clip, output) for output in stage.process(clip)]
            if not outputs or len({(each.source, each.start_s, each.end_s) for each in outputs}) < len(
                outputs
            ):
                raise RuntimeError(f"a stage gives one clip or more, at different places, not {outputs}")
            return outputs, True
        except (MissingDependencyError, CheckpointError):
            raise  # every clip would fail
        except (ValueError, OSError) as error:
            reason = str(error).removeprefix(f"{self._chain.root / clip.source}: ")
            failed = clip.with_error(stage.name, reason)
            is_lost = clip.frames().failure is not None or isinstance(stage, Probe)
            return [failed.drop(stage.name, reason) if is_lost else failed], not isinstance(error, OSError)
        except BaseException as error:  # a fault of the stage: this clip is lost, told in its row and the log
            _log.warning("%s: the stage %s failed", clip.source, stage.name, exc_info=True)
            reason = f"{type(error).__name__}: {error}"
            return [clip.with_error(stage.name, reason).drop(stage.name, reason)], False
        finally:
            spent = time.perf_counter() - start
            self.seconds[stage.name] = self.seconds.get(stage.name, 0.0) + spent

    def _key(self, clip: Clip, position: int) -> str:
        what = clip.content_id or [self._task.file_key, clip.start_s, clip.end_s]
        told: list[Any] = [what, clip.captions.get("original", ""), self._chain.keys[position]]
        if self._chain.reads_sets[position]:
            told += [dict(clip.scores), dict(clip.tags)]
        return _digest(told)


def _at_its_place(clip: Clip, output: Clip) -> Clip:
    """An output whose content id and media are those of its own times."""
    if (output.source, output.start_s, output.end_s) == (clip.source, clip.start_s, clip.end_s):
        return output
    if output.media is clip.media:
        output = replace(output, media=None)
    return output.identified() if output.content_id == clip.content_id and clip.content_id else output


def _changes(before: Clip, after: Clip) -> Changes:
    old, new = before.to_dict(), after.to_dict()
    changes: Changes = {name: new[name] for name in _FIELDS if new[name] != old[name]}
    for name in _MAPPINGS:
        if new[name] == old[name]:
            continue
        gone = dict.fromkeys(old[name].keys() - new[name].keys())
        changes[name] = gone | {
            key: value
            for key, value in new[name].items()
            if key not in old[name] or (type(value), value) != (type(old[name][key]), old[name][key])
        }
    return changes


def _changed(clip: Clip, changes: Changes) -> Clip:
    mappings = {
        name: {k: v for k, v in {**getattr(clip, name), **changes[name]}.items() if v is not None}
        for name in _MAPPINGS
        if name in changes
    }
    fields = {name: changes[name] for name in _FIELDS if name in changes}
    is_elsewhere = not {"source", "start_s", "end_s"}.isdisjoint(fields)
    return replace(clip, **fields, **mappings, media=None if is_elsewhere else clip.media)


def _digest(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]
