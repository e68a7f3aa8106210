"""What to measure and what to keep: named lists of stages and filters, and how one becomes a run's steps.

A preset names its stages; those whose weights or packages are not here are left out with the filters that
look at their values, and it is told. Thresholds that were published say where; the others are choices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rufous.core.config import override
from rufous.core.errors import CheckpointError, ConfigError, MissingDependencyError
from rufous.data.engine import Step
from rufous.data.filters import LENGTH, AnyFilter, Filter, TagFilter
from rufous.data.stage import NeedsFiles, SetStage, Stage
from rufous.data.stages.registry import STAGES

INFO = (LENGTH, "width", "height", "fps", "num_frames", "duration_s", "rotation", "num_bytes")
"""Values of ``probe`` that a filter can look at."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A way to curate."""

    about: str
    steps: tuple[str | AnyFilter, ...]
    """Names of stages, and filters, in the order in which they act; a filter ends a pass over the clips."""


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
    about="Open-Sora 1.2 (arXiv:2412.20404): scores are written into captions rather than filtered by; "
    "2 to 16 s and the aesthetic score of 4.5 are published, the rest are choices.",
    steps=(
        *("probe", "shots", "aesthetic"),
        Filter(value="num_frames", min=1.0),  # docs/data_processing.md: --fmin 1
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


def make_plan(
    steps: Sequence[str | AnyFilter],
    *,
    settings: Sequence[str] = (),
    filters: Sequence[AnyFilter] = (),
) -> Plan:
    """Stages made, filters replaced, and what cannot be done left out.

    Args:
        steps: Of a preset.
        settings: ``stage.setting=value`` texts.
        filters: Each takes the place of those of the preset that look at the same value, or comes last.

    Raises:
        ConfigError: An unknown stage or setting, a setting of a stage that is left out, or a filter for a
            value that no stage gives.
    """
    names = [step for step in steps if isinstance(step, str)]
    made, left_out = _made(names, _by_stage(settings, names))
    chosen: list[Step] = []
    pending = list(filters)
    for step in steps:
        if isinstance(step, str):
            chosen += [made[step]] if step in made else []
            continue
        own = [each for each in filters if each.value == step.value]
        if own:
            chosen += [each for each in own if each in pending]
            pending = [each for each in pending if each not in own]
        elif (stage := _stage_of(step.value, names)) in left_out:
            left_out[step.name] = f"{stage} is left out"
        else:
            chosen.append(step)
    for each in filters:
        if _stage_of(each.value, list(made)) is None and each.value not in INFO:
            known = ", ".join([*made, *INFO])
            raise ConfigError(f"no stage of this run gives {each.value}: values begin with one of {known}")
    return Plan(steps=(*chosen, *pending), left_out=left_out)


def with_stages(steps: Sequence[str | AnyFilter], names: Sequence[str]) -> tuple[str | AnyFilter, ...]:
    """The steps of a preset with more stages, carried out before its first filter.

    Raises:
        ConfigError: A stage is unknown, or there already.
    """
    for name in names:
        if name not in STAGES:
            raise ConfigError(f"{name!r} is no stage: use {', '.join(STAGES)}")
        if name in steps:
            raise ConfigError(f"the preset has the stage {name} already")
    place = next((i for i, step in enumerate(steps) if not isinstance(step, str)), len(steps))
    return (*steps[:place], *names, *steps[place:])


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
    names: Sequence[str], settings: Mapping[str, Sequence[str]]
) -> tuple[dict[str, Stage | SetStage], dict[str, str]]:
    """Stages by name, and why the others are left out: what they need is not here."""
    made: dict[str, Stage | SetStage] = {}
    left_out: dict[str, str] = {}
    for name in names:
        reason, stage = None, None
        if name not in STAGES:
            reason = "this version has no such stage"
        else:
            try:
                stage = override(STAGES[name](), settings.get(name, ()))
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


def _stage_of(value: str, names: Sequence[str]) -> str | None:
    """The stage that gives a value, by the rule of its name: ``technical_sharpness`` is ``technical``'s."""
    giving = [name for name in names if value == name or value.startswith(f"{name}_")]
    return max(giving, key=len, default=None)
