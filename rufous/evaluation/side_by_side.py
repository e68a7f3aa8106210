"""Models side by side: the same prompts and seeds for each, and what can be told about every clip.

A model is a label and a way to get a generator, so nothing here knows pipelines or checkpoints.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from jaxtyping import UInt8
from torch import Tensor

from rufous.core.config import to_json_dict
from rufous.evaluation.judging import JudgedClip, judge_clip
from rufous.world.truth import ATTRIBUTES, RIGHT, UNSURE, WRONG, Verdict


@dataclass(frozen=True, kw_only=True)
class SeededPrompt:
    """One row: what every model is asked for."""

    prompt: str
    seed: int


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneratedClip:
    """What a model made of one row."""

    frames: UInt8[Tensor, "f 3 h w"]
    fps: float
    denoise_s: float
    """Wall time of the denoising alone, in seconds."""


Generate = Callable[[SeededPrompt], GeneratedClip]


@dataclass(frozen=True, kw_only=True)
class ComparedModel:
    """One column."""

    label: str
    subtitle: str = ""
    """How it is sampled, in a few words: ``50 steps, guidance 3``."""
    details: Mapping[str, str | int | float]
    """What else to know about it, under short names: model, manifest, size."""
    load: Callable[[], Generate]
    """Loads the model and warms it up; called once, right before its clips are made."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ComparedClip:
    """One cell: a clip and what its pixels tell."""

    clip: GeneratedClip
    judged: JudgedClip


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """All cells; ``clips[row][column]`` belongs to ``prompts[row]`` and ``models[column]``."""

    models: tuple[ComparedModel, ...]
    prompts: tuple[SeededPrompt, ...]
    clips: tuple[tuple[ComparedClip, ...], ...]

    def column(self, index: int) -> list[ComparedClip]:
        """All clips of one model."""
        return [row[index] for row in self.clips]


@dataclass(frozen=True, kw_only=True)
class ModelFigures:
    """Counts and means of one model over its clips; None where no clip counts."""

    num_judged: int
    """Clips whose truth was judged."""
    num_all_right: int
    """Those of them that show all that the prompt says."""
    attributes_right: float | None
    """Mean over them of the share of attributes that are right."""
    motion_magnitude: float | None
    """Mean over the clips that can be measured."""
    denoise_s: float


def compare_models(models: Sequence[ComparedModel], prompts: Sequence[SeededPrompt]) -> Comparison:
    """Let every model make every row, one model after another, and measure the clips.

    Args:
        models: At least one. Only one is loaded at a time.
        prompts: At least one.

    Raises:
        ValueError: No model or no prompt.
    """
    if not models or not prompts:
        raise ValueError(f"cannot compare {len(models)} models on {len(prompts)} prompts: give one or more")
    columns = [_clips_of(model, prompts) for model in models]
    return Comparison(models=tuple(models), prompts=tuple(prompts), clips=tuple(zip(*columns, strict=True)))


def _clips_of(model: ComparedModel, prompts: Sequence[SeededPrompt]) -> list[ComparedClip]:
    generate = model.load()
    clips = [generate(row) for row in prompts]
    return [
        ComparedClip(clip=clip, judged=judge_clip(clip.frames, clip.fps, row.prompt))
        for clip, row in zip(clips, prompts, strict=True)
    ]


def attributes_by_value(verdict: Verdict) -> dict[str, list[str]]:
    """Attributes under ``right``, ``wrong`` and ``unsure``, in the world's order; empty ones left out."""
    found: dict[str, list[str]] = {}
    for name in ATTRIBUTES:
        if name in verdict.attributes:
            found.setdefault(verdict.attributes[name], []).append(name)
    return found


def truth_text(verdict: Verdict | None) -> str:
    """A verdict in one line: ``all 6 right``, or ``right 4 of 6; wrong: color; unsure: size``."""
    if verdict is None:
        return "truth not judged"
    found, total = attributes_by_value(verdict), len(verdict.attributes)
    if verdict.all_right:
        return f"all {total} right"
    rest = [f"{value}: {', '.join(found[value])}" for value in (WRONG, UNSURE) if value in found]
    return "; ".join([f"right {len(found.get(RIGHT, ()))} of {total}", *rest])


def figures_text(motion_magnitude: float | None, denoise_s: float) -> str:
    """Motion and time in one line: ``motion 0.27, denoised in 1.25 s``."""
    motion = "not measured" if motion_magnitude is None else f"{motion_magnitude:.2f}"
    return f"motion {motion}, denoised in {denoise_s:.{2 if denoise_s < 10 else 1}f} s"


def summarize(clips: Sequence[ComparedClip]) -> ModelFigures:
    """Means of one model over its clips."""
    judged = [clip.judged for clip in clips]
    verdicts = [each.verdict for each in judged if each.verdict is not None]
    motions = [each.motion_magnitude for each in judged if each.motion_magnitude is not None]
    shares = [len(attributes_by_value(each).get(RIGHT, ())) / len(each.attributes) for each in verdicts]
    return ModelFigures(
        num_judged=len(verdicts),
        num_all_right=sum(verdict.all_right for verdict in verdicts),
        attributes_right=fmean(shares) if shares else None,
        motion_magnitude=fmean(motions) if motions else None,
        denoise_s=fmean(clip.clip.denoise_s for clip in clips),
    )


def to_report(comparison: Comparison) -> dict[str, object]:
    """All figures of a comparison as plain JSON values, without the pixels."""
    models = [
        {
            "label": model.label,
            "subtitle": model.subtitle,
            **model.details,
            **to_json_dict(summarize(comparison.column(index))),
        }
        for index, model in enumerate(comparison.models)
    ]
    rows = [
        {"prompt": row.prompt, "seed": row.seed, "clips": list(map(_clip_report, comparison.models, clips))}
        for row, clips in zip(comparison.prompts, comparison.clips, strict=True)
    ]
    return {"models": models, "rows": rows}


def _clip_report(model: ComparedModel, clip: ComparedClip) -> dict[str, object]:
    verdict = clip.judged.verdict
    return {
        "label": model.label,
        "truth": None if verdict is None else verdict.attributes,
        "reasons": [] if verdict is None else list(verdict.reasons),
        "motion_magnitude": clip.judged.motion_magnitude,
        "denoise_s": clip.clip.denoise_s,
        "note": clip.judged.note,
    }
