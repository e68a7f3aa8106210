"""What a stage of curation is.

A stage is a frozen dataclass: its fields are its settings, and their hash says whether its results are still
good. Stages never filter by score; they measure, cut or describe, and ``filters`` decide. What a stage
cannot do for one clip is told by ``ValueError`` or ``OSError``; the executor writes it into that clip's
``errors`` and the run goes on.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, runtime_checkable

from rufous.core.config import to_json_dict
from rufous.core.errors import CheckpointError
from rufous.core.files import cached_sha256_of
from rufous.data.clip import Clip

COST: Mapping[str, bool] = MappingProxyType({"cost": True})
"""``field(metadata=COST)`` marks a setting such as a timeout or a budget: clips are not done again for it."""


@runtime_checkable
class Stage(Protocol):
    """One step that looks at one clip."""

    name: ClassVar[str]
    """Lower case, as in the manifest and on the command line."""
    after: ClassVar[tuple[str, ...]]
    """Stages whose results it reads; it is done again when they change."""
    version: ClassVar[int]
    """Raised when the same settings give other results."""
    needs_gpu: ClassVar[bool]
    """Whether its network is too slow for a CPU: a cluster gives it an actor with a GPU."""

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with more known of it; several when it is cut, none never: dropped clips stay as rows."""
        ...


@runtime_checkable
class SetStage(Protocol):
    """One step that compares clips with each other, after all of them went through the stages before."""

    name: ClassVar[str]
    after: ClassVar[tuple[str, ...]]
    version: ClassVar[int]

    def process_all(self, clips: Sequence[Clip]) -> list[Clip]:
        """As many clips, in the same order."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gives:
    """What filters can look at of what a stage finds."""

    numbers: tuple[str, ...] = ()
    """Scores, and numbers of ``info``."""
    tags: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """By the name of a tag, the names that it has; it may join several by ``+``."""


@runtime_checkable
class Declares(Protocol):
    """A stage that says what it gives, so that a mistyped filter is refused.

    Of any other stage, whatever is called ``NAME`` or ``NAME_...`` is believed to come from it.
    """

    gives: ClassVar[Gives]


@runtime_checkable
class Waits(Protocol):
    """A stage that asks another machine."""

    def longest_wait_s(self) -> float:
        """Seconds that it may wait for the answers about one clip."""
        ...


@runtime_checkable
class NeedsFiles(Protocol):
    """A stage that may lack weights or a package on this machine; presets leave it out then."""

    def missing(self) -> str | None:
        """What is missing and how to get it; None if nothing is. Loads nothing."""
        ...


@runtime_checkable
class Licensed(Protocol):
    """A stage whose weights may not be used for everything: the command says so before the work."""

    licence: ClassVar[str]


@runtime_checkable
class ReadsFew(Protocol):
    """A stage that looks at full-size frames alone, or at none: a pass of such stages decodes no others."""

    reads_few: ClassVar[bool]
    """True; any other stage lacks it."""


@runtime_checkable
class ReadsWeights(Protocol):
    """A stage whose results change with the bytes of files besides the videos."""

    def weight_files(self) -> Sequence[Path]:
        """Those files.

        Raises:
            CheckpointError: One is missing.
        """
        ...


@runtime_checkable
class LeavesFiles(Protocol):
    """A stage that writes files: it is done again where they are gone."""

    def still_holds(self, clip: Clip) -> bool:
        """Whether what it wrote of this clip, which is as the stage left it, is there."""
        ...


def settings_key(stage: Stage | SetStage) -> str:
    """A short hash of a stage's name, version, settings and weights, alike in every process.

    Settings that change what a run costs and not what it finds are left out: their fields have ``COST`` as
    metadata. Weights that are missing are left out too: that stage finds nothing.
    """
    told: dict[str, Any] = {"name": stage.name, "version": stage.version, "settings": _that_count(stage)}
    if isinstance(stage, ReadsWeights):
        with suppress(CheckpointError):
            told["weights"] = [cached_sha256_of(path) for path in stage.weight_files()]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _that_count(settings: Any) -> Any:
    """JSON values of the settings without those that only cost."""
    if not dataclasses.is_dataclass(settings) or isinstance(settings, type):
        return to_json_dict(settings)
    counting = [each for each in dataclasses.fields(settings) if not each.metadata.get("cost")]
    return {each.name: _that_count(getattr(settings, each.name)) for each in counting}
