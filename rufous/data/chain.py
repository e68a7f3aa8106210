"""One clip through its stages in one task, doing only what no earlier run has done.

A stage that cuts a clip ends its task: each piece is a task of its own, so that one bad shot costs a film
nothing else, and all workers share in the film.

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

import torch

from rufous.core.config import to_json_dict
from rufous.core.console import logger
from rufous.core.errors import CheckpointError, ConfigError, MissingDependencyError
from rufous.core.files import state_of
from rufous.data.clip import Clip
from rufous.data.media import ClipMedia, MediaSettings
from rufous.data.stage import LeavesFiles, ReadsFew, SetStage, Stage, settings_key
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
    position: int = 0
    """Of the stage that it goes on with."""
    unsure: frozenset[str] = frozenset()
    """Stages that failed for a reason that may pass, and those after them: not to be kept."""
    may_be_moved: bool = False
    """Whether other results may be known by its content id: it comes back when a stage has found that."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A clip that is to become a task."""

    clip: Clip
    position: int = 0
    unsure: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class ChainResult:
    """What became of one clip; comes from a worker."""

    clips: tuple[Clip, ...] = ()
    """Those that are done."""
    pieces: tuple[Piece, ...] = ()
    """Those that go on."""
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
    size, changed = state_of(root / clip.source)
    told = [clip.source, size, changed, clip.start_s, clip.end_s, clip.captions.get("original", "")]
    return _digest(told), size


def replay(task: Task, chain: Chain) -> ChainResult | None:
    """What earlier runs know of a clip; None if a stage is still to be done."""
    try:
        return _Walk(task, chain, may_work=False).through()
    except _UnknownError:
        return None


@dataclass(frozen=True)
class ChainWork:
    """What a worker does; sent to it once."""

    chain: Chain

    def __call__(self, task: Task) -> ChainResult:
        """Carry out the stages that are not known."""
        walk = _Walk(task, self.chain, may_work=True)
        try:
            return walk.through()
        except (MissingDependencyError, CheckpointError) as error:
            return ChainResult(clips=(task.clip,), fatal=str(error))
        finally:
            walk.release()


class _UnknownError(LookupError):
    """A stage would have to be carried out."""


class _Walk:
    """One task on its way; owns what was found out on it, and the media of its clip."""

    def __init__(self, task: Task, chain: Chain, *, may_work: bool) -> None:
        self._task, self._chain, self._may_work = task, chain, may_work
        self._unsure, self._content_id = task.unsure, task.clip.content_id
        self._fresh: dict[str, list[Changes]] = {}
        self._seconds: dict[str, float] = {}
        self._media: ClipMedia | None = None

    def through(self) -> ChainResult:
        """The clip after all stages, or after the first that cuts it.

        Raises:
            _UnknownError: A stage is not known, and none may be carried out.
        """
        clip, end = self._task.clip, len(self._chain.stages)
        for position in range(self._task.position, end):
            if clip.dropped is not None:
                break
            outputs = self._outputs(clip, position)
            if len(outputs) > 1:
                return self._result(outputs, position + 1)
            clip, is_identified = outputs[0], not self._content_id
            self._content_id = self._content_id or clip.content_id
            if self._task.may_be_moved and is_identified and self._content_id:
                return self._result(outputs, position + 1)
        return self._result([clip], end)

    def release(self) -> None:
        """Forget what was decoded."""
        if self._media is not None:
            self._media.release()

    def _result(self, outputs: Sequence[Clip], position: int) -> ChainResult:
        outputs = [replace(each, media=None) for each in outputs]
        is_end = position == len(self._chain.stages)
        return ChainResult(
            clips=tuple(each for each in outputs if is_end or each.dropped is not None),
            pieces=tuple(
                Piece(clip=each, position=position, unsure=self._unsure)
                for each in outputs
                if not is_end and each.dropped is None
            ),
            fresh=self._fresh,
            content_id=self._content_id,
            seconds=self._seconds,
        )

    def _outputs(self, clip: Clip, position: int) -> list[Clip]:
        """What one stage makes of a clip, or made of it in an earlier run."""
        stage, key = self._chain.stages[position], self._key(clip, position)
        if self._unsure.intersection(stage.after):
            self._unsure |= {stage.name}
        is_known = key in self._task.known and stage.name not in self._chain.redo
        if stage.name not in self._unsure and is_known:
            outputs = [_changed(clip, changes) for changes in self._task.known[key]]
            if not isinstance(stage, LeavesFiles) or all(map(stage.still_holds, outputs)):
                return outputs
        if not self._may_work:
            raise _UnknownError(key)
        clip = self._with_media(clip)
        outputs, is_sure = self._carried_out(stage, clip)
        if not is_sure:
            self._unsure |= {stage.name}
        elif stage.name not in self._unsure:
            self._fresh[key] = [_changes(clip, output) for output in outputs]
        return outputs

    def _with_media(self, clip: Clip) -> Clip:
        """The clip with frames; those of another stretch are forgotten."""
        if clip.media is None:
            path = self._chain.root / clip.source
            few = all(isinstance(stage, ReadsFew) for stage in self._chain.stages)
            settings = self._chain.media
            own = ClipMedia(path, start_s=clip.start_s, end_s=clip.end_s, settings=settings, is_few=few)
            clip = replace(clip, media=own)
        if clip.media is not self._media:
            self.release()
            self._media = clip.media
        return clip

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
        except (MissingDependencyError, CheckpointError, KeyboardInterrupt, SystemExit):
            raise  # every clip would fail, or the run is to stop
        except torch.OutOfMemoryError as error:  # of a GPU that others use too: later there may be room
            failed = clip.with_error(stage.name, "the GPU is out of memory: " + str(error).partition("\n")[0])
            return [failed], False
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
            self._seconds[stage.name] = self._seconds.get(stage.name, 0.0) + spent

    def _key(self, clip: Clip, position: int) -> str:
        what = clip.content_id or [self._task.file_key, clip.start_s, clip.end_s]
        told: list[Any] = [what, clip.captions.get("original", ""), self._chain.keys[position]]
        if clip.brought:
            told.append(clip.brought)
        if self._chain.reads_sets[position]:
            told += [dict(clip.scores), dict(clip.tags)]
        return _digest(told)


def _at_its_place(clip: Clip, output: Clip) -> Clip:
    """An output whose content id, media, length and number of frames are those of its own times."""
    if (output.source, output.start_s, output.end_s) == (clip.source, clip.start_s, clip.end_s):
        return output
    if output.media is clip.media:
        output = replace(output, media=None)
    if output.source == clip.source and "num_frames" in clip.info:  # else nobody has opened the file yet
        own = output.media or clip.frames().part(output.start_s, output.end_s)
        output = replace(output, media=own).measured()
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
