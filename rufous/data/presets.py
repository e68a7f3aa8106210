"""What to measure and what to keep: named lists of stages and filters, and how one becomes a run's steps.

A preset names its stages; those whose weights or packages are not here are left out with the filters that
look at their values, and it is told. Thresholds that were published say where; the others are choices.
"""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rufous.core.config import override
from rufous.core.errors import CheckpointError, ConfigError, MissingDependencyError
from rufous.data.clip import Clip
from rufous.data.engine import Step
from rufous.data.filters import LENGTH, SIGNS, AnyFilter, Filter, TagFilter, parse_filter
from rufous.data.known_before import is_brought
from rufous.data.stage import Declares, NeedsFiles, SetStage, Stage, Waits
from rufous.data.stages.probe import Probe
from rufous.data.stages.registry import STAGES
from rufous.data.stages.shots import Shots

INFO = (LENGTH, *Probe.gives.numbers)
"""Values that every clip has, or gets from ``probe``, and that ``shots`` may change."""
LATE = ("cut", "describe", "describe_locally", "rewrite", "rewrite_locally")
"""Stages that are for the clips that stay: they write files, or cost money."""
MOST_WAITING = 0.8
"""Share of a worker's time for a clip that its stages may wait for other machines."""

PlannedStep = str | Stage | SetStage | AnyFilter
"""A stage by its name, or as it is where its settings are not the usual ones; or a filter."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A way to curate."""

    about: str
    steps: tuple[PlannedStep, ...]
    """Stages and filters in the order in which they act; a filter ends a pass over the clips."""


HUMMINGBIRD = Preset(
    about="Quality, motion and re-captioning, as the paper has it (arXiv:2503.18559). It and its release "
    "name no threshold (sort, and drop what is low): all of them are choices.",
    steps=(
        *("probe", "shots", "borders", "still", "flashing", "technical", "flow", "smoothness", "camera"),
        *("watermark", "fingerprint", "duplicates"),
        Filter(value=LENGTH, min=1.0),  # 16 frames at 16 a second: less is no training clip
        Filter(value="still", max=0.5),
        Filter(value="flashing", max=3.0),  # above it WCAG 2.2 calls flashes unsafe
        Filter(value="technical", min_percentile=10.0),
        Filter(value="smoothness", min_percentile=5.0),  # the release's filter of motion; its cut is by hand
        TagFilter(value="camera_motion", refused=("dolly_zoom",)),
        "text_area",  # reading text is slow: only what is left is read
        Filter(value="text_area", max=0.02),
        *("describe", "rewrite", "match"),
    ),
)
OPEN_SORA_1_2 = Preset(
    about="Open-Sora 1.2 (arXiv:2412.20404): few filters, and scores that training writes into captions "
    "(data.sampling.scores); shots in pieces of at most 15 s, 2 to 16 s and the aesthetic score of 4.5 are "
    "published, the rest are choices.",
    steps=(
        *("probe", Shots(max_s=15.0)),  # tools/scene_cut/cut.py: 2 to 15 s; it keeps the first 15 s alone
        "aesthetic",
        Filter(value="num_frames", min=1.0),  # docs/data_processing.md: --fmin 1, of clips, as here
        Filter(value=LENGTH, min=2.0, max=16.0),  # report 1.2: clips of 2 to 16 s
        Filter(value="aesthetic", min=4.5),  # Panda-70M in its docs; 5 in the example of its tools
        *("flow", "text_area", "camera", "fingerprint", "duplicates"),
        Filter(value="text_area", max=0.05),  # its tools count boxes and have no filter for them
        *("describe", "match"),
    ),
)
MEASURE = Preset(about="Read every file, and keep all that can be read.", steps=("probe",))
PRESETS: dict[str, Preset] = {
    "hummingbird": HUMMINGBIRD,
    "open-sora-1.2": OPEN_SORA_1_2,
    "probe": MEASURE,
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run carries out."""

    steps: tuple[Step, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Why, by the name of a stage or filter of the preset."""

    @property
    def stages(self) -> tuple[Stage | SetStage, ...]:
        """Without the filters."""
        return tuple(step for step in self.steps if isinstance(step, Stage | SetStage))


def parse_steps(texts: Iterable[str]) -> tuple[str | AnyFilter, ...]:
    """Names of stages, and filters as ``parse_filter`` reads them, in their order.

    Raises:
        ConfigError: A text with a sign of a filter is none.
    """
    return tuple(parse_filter(text) if any(sign in text for sign in SIGNS) else text for text in texts)


def make_plan(
    steps: Sequence[PlannedStep],
    *,
    settings: Sequence[str] = (),
    filters: Sequence[AnyFilter] = (),
    timeout_s: float = math.inf,
    clips: Sequence[Clip] = (),
) -> Plan:
    """Stages made, filters replaced, and what cannot be done left out.

    Args:
        steps: Of a preset.
        settings: ``stage.setting=value`` texts.
        filters: Each takes the place of those of the preset that look at the same value; or comes at the end
            of the pass in which its value is found, and before what is ``LATE`` or for a GPU.
        timeout_s: What the executor gives a worker for one clip.
        clips: What is to be curated: filters may look at what these bring, where no stage finds it.

    Raises:
        ConfigError: An unknown stage or setting, a setting of a stage that is left out, a filter for a
            value that no stage gives and no clip brings, or stages that may wait for too long.
    """
    names = [_name(step) for step in steps if not isinstance(step, Filter | TagFilter)]
    made, left_out = _made(steps, _by_stage(settings, names))
    chosen: list[Step] = []
    pending = list(filters)
    for step in steps:
        if not isinstance(step, Filter | TagFilter):
            chosen += [made[_name(step)]] if _name(step) in made else []
            continue
        own = [each for each in filters if each.value == step.value]
        if own:
            chosen += [each for each in own if each in pending]
            pending = [each for each in pending if each not in own]
        elif (stage := _giver(step, names)) in left_out and not is_brought(step, clips):
            left_out[step.name] = f"{stage} is left out"
        else:
            chosen.append(step)
    for each in pending:
        chosen.insert(_place_of_filter(each, chosen, pending), each)
    for place, step in enumerate(chosen):
        if isinstance(step, Filter | TagFilter):
            _check_given(step, chosen[:place], list(made.values()), clips)
    _check_waiting(list(made.values()), timeout_s)
    return Plan(steps=tuple(chosen), left_out=left_out)


def with_stages(steps: Sequence[PlannedStep], names: Sequence[str]) -> tuple[PlannedStep, ...]:
    """The steps of a preset with more stages.

    Each comes before the first filter, after what it reads and before what reads it; those that are ``LATE``,
    or read what such ones write, after the last filter.

    Raises:
        ConfigError: A stage is unknown, or there already.
    """
    placed = list(steps)
    for name in names:
        if name not in STAGES:
            raise ConfigError(f"{name!r} is no stage: use {', '.join(STAGES)}")
        if name in map(_name, placed):
            raise ConfigError(f"the preset has the stage {name} already")
        placed.insert(_place_of_stage(name, placed), name)
    return tuple(placed)


def _name(step: PlannedStep) -> str:
    return step if isinstance(step, str) else step.name


def _place_of_stage(name: str, steps: Sequence[PlannedStep]) -> int:
    filters = [place for place, step in enumerate(steps) if isinstance(step, Filter | TagFilter)]
    reads = STAGES[name].after
    is_late = name in LATE or not set(LATE).isdisjoint(reads)
    wanted = len(steps)
    if filters:
        wanted = filters[-1] + 1 if is_late else filters[0]
    read = [place + 1 for place, step in enumerate(steps) if _name(step) in reads]
    readers = [place for place, step in enumerate(steps) if name in _after(step)]
    return min([max([wanted, *read]), *readers])


def _after(step: PlannedStep) -> tuple[str, ...]:
    kind = STAGES.get(step) if isinstance(step, str) else step
    return () if kind is None or isinstance(kind, Filter | TagFilter) else kind.after


def _place_of_filter(filter_: AnyFilter, steps: Sequence[Step], pending: Sequence[AnyFilter]) -> int:
    """Behind the stages that find its value, those that share a pass with them, and filters put there."""
    names = [step.name for step in steps]
    givers = (Probe.name, Shots.name) if filter_.value in INFO else (_giver(filter_, names),)
    place = max((place + 1 for place, name in enumerate(names) if name in givers), default=0)
    while place < len(steps) and (steps[place] in pending or _shares_a_pass(steps[place])):
        place += 1
    return place


def _shares_a_pass(step: Step) -> bool:
    return isinstance(step, Stage) and not step.needs_gpu and step.name not in LATE


def _giver(filter_: AnyFilter, names: Iterable[str]) -> str | None:
    """The stage that finds a filter's value."""
    return max((name for name in names if _gives(name, STAGES.get(name), filter_)), key=len, default=None)


def _gives(name: str, stage: object, filter_: AnyFilter) -> bool:
    """By what the stage declares; else by its name: ``redness_mean`` is ``redness``'s."""
    if isinstance(stage, Declares):
        return filter_.value in (
            stage.gives.numbers if isinstance(filter_, Filter) else tuple(stage.gives.tags)
        )
    return filter_.value == name or filter_.value.startswith(f"{name}_")


def _check_given(
    filter_: AnyFilter, before: Sequence[Step], stages: Sequence[Stage | SetStage], clips: Sequence[Clip]
) -> None:
    """Refuse a filter for what no stage finds and no clip brings, or no stage before it."""
    is_number = isinstance(filter_, Filter)
    if is_number and filter_.value in INFO:
        return
    givers = [stage for stage in stages if _gives(stage.name, stage, filter_)]
    if not givers and is_brought(filter_, clips):
        return
    if not givers:
        known = list(INFO) if is_number else []
        for stage in stages:
            gives = stage.gives if isinstance(stage, Declares) else None
            known += [stage.name] if gives is None else gives.numbers if is_number else gives.tags
        what = filter_.value if is_number else f"the tag {filter_.value}"
        raise ConfigError(f"no stage of this run gives {what}: {_nearest(filter_.value, known)}")
    if not any(stage in before for stage in givers):
        raise ConfigError(f"{filter_.name} stands before {givers[0].name}, which finds its value")
    for stage in givers:
        if isinstance(filter_, TagFilter) and isinstance(stage, Declares):
            names = stage.gives.tags[filter_.value]
            for name in (each for each in filter_.refused if each not in names):
                raise ConfigError(f"{filter_.value} is never {name!r}: {_nearest(name, names)}")


def _nearest(text: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(text, known)
    return f"did you mean {' or '.join(close)}?" if close else f"use {', '.join(known)}"


def _check_waiting(stages: Sequence[Stage | SetStage], timeout_s: float) -> None:
    """Refuse stages for which a silent server would cost the worker: its clip would be dropped."""
    waits = {stage.name: stage.longest_wait_s() for stage in stages if isinstance(stage, Waits)}
    total = sum(waits.values())
    if total > MOST_WAITING * timeout_s:
        raise ConfigError(
            f"{' and '.join(waits)} may wait {total:g} s for one clip, which may take {timeout_s:g} s: raise "
            f"its limit to {math.ceil(total / MOST_WAITING)} s, or lower {min(waits)}.endpoint.patience_s"
        )


def _by_stage(settings: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in settings:
        stage, dot, setting = text.partition(".")
        if not dot or "=" in stage:
            raise ConfigError(f"{text!r} is no setting: write stage.setting=value")
        if stage not in names:
            raise ConfigError(f"{text!r}: no stage of this run is named {stage!r}: it has {', '.join(names)}")
        found.setdefault(stage, []).append(setting)
    return found


def _made(
    steps: Sequence[PlannedStep], settings: Mapping[str, Sequence[str]]
) -> tuple[dict[str, Stage | SetStage], dict[str, str]]:
    """Stages by name, and why the others are left out: what they need is not here."""
    made: dict[str, Stage | SetStage] = {}
    left_out: dict[str, str] = {}
    for step in steps:
        if isinstance(step, Filter | TagFilter):
            continue
        name, reason, stage = _name(step), None, None
        if isinstance(step, str) and step not in STAGES:
            reason = "this version has no such stage"
        else:
            try:
                usual = STAGES[name]() if isinstance(step, str) else step
                stage = override(usual, settings.get(name, ()))
                reason = stage.missing() if isinstance(stage, NeedsFiles) else None
            except (MissingDependencyError, CheckpointError) as error:
                reason = str(error)
        if stage is None or reason is not None:
            if name in settings:
                raise ConfigError(f"{name}.{settings[name][0]}: {name} cannot run here: {reason}")
            left_out[name] = reason or "it cannot be made"
        else:
            made[name] = stage
    return made, left_out
