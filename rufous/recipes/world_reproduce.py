"""The whole road on the world, from nothing to a few-step student, and the table of what each step costs.

    rufous reproduce world --preset small

data -> autoencoder -> video-text model -> teacher -> pruning -> recovery -> few steps -> feedback -> truth.
Every stage has a folder in the run's folder and resumes by itself; a stage that is done is passed by. Each
release names its parents by hash: ``rufous verify --chain`` follows them.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import is_release, load_component
from rufous.compression import NetworkCall, PruneConfig, prune_release
from rufous.compression.calls import noised_calls
from rufous.core.console import logger
from rufous.core.errors import ConfigError
from rufous.core.files import write_text
from rufous.core.randomness import generator_from
from rufous.recipes import world_autoencoder, world_few_steps, world_recovery, world_teacher, world_video_text
from rufous.recipes.processes import joined
from rufous.recipes.recipe import Recipe, made_of
from rufous.recipes.recovery import load_denoiser
from rufous.recipes.world_autoencoder import WorldAutoencoderConfig
from rufous.recipes.world_feedback import HELD_OUT_IMAGES, FeedbackConfig
from rufous.recipes.world_few_steps import WorldFewStepsConfig
from rufous.recipes.world_recovery import WorldRecoveryConfig
from rufous.recipes.world_sets import WorldSet, open_sets
from rufous.recipes.world_teacher import Phase, WorldTeacherConfig
from rufous.recipes.world_truth import WorldTruthConfig
from rufous.recipes.world_truth import run as judge
from rufous.recipes.world_video_text import WorldVideoTextConfig
from rufous.training.loop import MAY_CHANGE, TrainConfig

_log = logger(__name__)
Run: TypeAlias = Callable[[Any, Path, torch.device], Path]
StageName = Literal["autoencoder", "video_text", "teacher", "pruned", "recovered", "few_steps", "feedback"]


@dataclass(frozen=True, kw_only=True)
class WorldReproduceConfig:
    """Settings of every stage; folders of releases inside them are filled in by the run."""

    autoencoder: WorldAutoencoderConfig = field(default_factory=WorldAutoencoderConfig)
    video_text: WorldVideoTextConfig = field(default_factory=WorldVideoTextConfig)
    teacher: WorldTeacherConfig = field(default_factory=WorldTeacherConfig)
    budget: str = "-45%"
    recovery: WorldRecoveryConfig = field(default_factory=WorldRecoveryConfig)
    few_steps: WorldFewStepsConfig = field(default_factory=WorldFewStepsConfig)
    feedback: FeedbackConfig = HELD_OUT_IMAGES
    """Added to ``few_steps`` in a further stage that starts from its student."""
    feedback_train: TrainConfig = field(
        default_factory=lambda: replace(WorldFewStepsConfig().train, num_steps=1_000)
    )
    num_prompts: int = 400


@dataclass(frozen=True)
class Row:
    """One row of the table: a release, and how it is sampled."""

    name: str
    stage: StageName
    num_inference_steps: int
    num_frames: int


@dataclass(frozen=True)
class Stage:
    """One stage: what its run would be made of, and the run."""

    name: StageName
    config: Any
    run: Callable[[], object]


def run(config: WorldReproduceConfig, run_dir: Path, device: torch.device) -> Path:
    """Carry out what is left of the road and write ``run_dir/table.md`` and ``table.json``.

    Raises:
        ConfigError: Under torchrun with several processes: pruning and judging are work for one.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "the whole road is one process: run its stages one by one under torchrun (rufous recipes)"
        )
    road = _Road(config, run_dir, device)
    for stage in road.stages():
        if not road.is_done(stage):
            _log.info("stage %s", stage.name)
            stage.run()
            road.mark_done(stage)
    rows = [(row, _judged(row, config, road, device)) for row in table_rows(config)]
    write_text(run_dir / "table.json", json.dumps([{"row": r.name, **found} for r, found in rows], indent=1))
    table = markdown_table(rows)
    write_text(run_dir / "table.md", table)
    _log.info("what each step costs:\n%s", table)
    return run_dir / "table.md"


class _Road:
    """Folders of one run, and its stages; owns nothing but the marks of stages that are done."""

    def __init__(self, config: WorldReproduceConfig, run_dir: Path, device: torch.device) -> None:
        self.config, self.root, self.device = config, run_dir, device

    def release(self, stage: StageName) -> Path:
        """Where a stage's release is."""
        return self.root / stage / "release"

    def stages(self) -> list[Stage]:
        """Every stage in order."""
        config, clips = self.config, str(self.root / "clips_core")
        levels = tuple(str(self.root / f"clips_{part.level}") for part in config.autoencoder.clips)
        autoencoder = replace(config.autoencoder, clips_dirs=levels)
        video_text = replace(config.video_text, clips_dir=clips)
        latents = replace(
            config.teacher.latents, clips_dir=clips, autoencoder=str(self.release("autoencoder"))
        )
        teacher = replace(
            config.teacher,
            latents=latents,
            latents_dir=str(self.root / "latents"),
            text=str(self.release("video_text")),
        )
        recovery = replace(
            config.recovery,
            teacher=str(self.release("teacher")),
            student=str(self.release("pruned")),
            sets=self._sets(),
        )
        few_steps = self._few_steps(self.release("recovered"), FeedbackConfig(), config.few_steps.train)
        feedback = self._few_steps(self.release("few_steps"), config.feedback, config.feedback_train)
        pruning = {"budget": config.budget, "teacher": str(self.release("teacher"))}
        return [
            self._stage("autoencoder", autoencoder, world_autoencoder.run),
            self._stage("video_text", video_text, world_video_text.run),
            self._stage("teacher", teacher, world_teacher.run),
            Stage("pruned", pruning, self._prune),
            self._stage("recovered", recovery, world_recovery.run),
            self._stage("few_steps", few_steps, world_few_steps.run),
            self._stage("feedback", feedback, world_few_steps.run),
        ]

    def is_done(self, stage: Stage) -> bool:
        """Whether the stage ended with these settings and inputs, and its release is still what it wrote."""
        mark, release = self.root / stage.name / "done.json", self.release(stage.name)
        return mark.is_file() and is_release(release) and json.loads(mark.read_text()) == self._mark(stage)

    def mark_done(self, stage: Stage) -> None:
        """Remember the release that the stage wrote, and of what."""
        write_text(self.root / stage.name / "done.json", json.dumps(self._mark(stage), indent=1))

    def _mark(self, stage: Stage) -> dict[str, Any]:
        made = made_of(stage.config, leave_out=MAY_CHANGE - {"num_steps"})
        return {"manifest_id": Manifest.load(self.release(stage.name)).id, "made_of": made}

    def _stage(self, name: StageName, config: Any, recipe: Run) -> Stage:
        return Stage(name, config, lambda: recipe(config, self.root / name, self.device))

    def _few_steps(self, student: Path, feedback: FeedbackConfig, train: TrainConfig) -> WorldFewStepsConfig:
        return replace(
            self.config.few_steps,
            teacher=str(self.release("teacher")),
            student=str(student),
            feedback=replace(feedback, rewards=str(self.release("video_text"))),
            sets=self._sets(),
            train=train,
        )

    def _prune(self) -> None:
        teacher = self.release("teacher")
        network = load_component(teacher, "unet", dtype=torch.float32, device=self.device)
        prune_release(
            teacher,
            self.release("pruned"),
            PruneConfig(budget=self.config.budget),
            network=network,
            data=self._calibration,
            seeds={"calibration": 0},
            overwrite=True,
        )

    def _calibration(self) -> Sequence[NetworkCall]:
        """Four encoded clips at four noise levels."""
        teacher = self.release("teacher")
        with joined(self.device) as processes:
            data = open_sets(self._sets()[:1], teacher, processes)[0]
            batch = data.batches(batch_size=4, seed=0).take(1)[0]
        return noised_calls(
            load_denoiser(teacher, self.device),
            batch.latents,
            batch.cond,
            num_timesteps=4,
            generator=generator_from(0, "calibration", device=self.device),
        )

    def _sets(self) -> tuple[WorldSet, ...]:
        """The recovery's sets with this run's folders; the teacher's own clips are encoded already."""
        frames = self.config.teacher.latents.clips.num_frames

        def folder(kind: str, each: WorldSet) -> str:
            own = "clips_core" if kind == "clips" else "latents"
            same = each.clips.num_frames == frames
            return str(self.root / (own if same else f"{kind}_{each.clips.num_frames}"))

        return tuple(
            replace(each, clips_dir=folder("clips", each), latents_dir=folder("latents", each))
            for each in self.config.recovery.sets
        )


def table_rows(config: WorldReproduceConfig) -> list[Row]:
    """What is judged: each step of the road, then the student at fewer steps and at its longest clips."""
    frames = config.teacher.diffusion.num_frames
    longest = max(each.clips.num_frames for each in config.recovery.sets)
    steps = config.few_steps.num_inference_steps
    usual = config.teacher.diffusion.sampling.num_inference_steps
    rows = [
        Row("teacher, twice the steps", "teacher", 2 * usual, frames),
        Row("teacher", "teacher", usual, frames),
        Row("pruned", "pruned", usual, frames),
        Row("recovered", "recovered", usual, frames),
        Row("few steps", "few_steps", steps, frames),
        Row("after feedback", "feedback", steps, frames),
    ]
    rows += [
        Row(f"after feedback, {fewer}", "feedback", fewer, frames)
        for fewer in (steps // 2, steps // 4)
        if fewer
    ]
    return [*rows, Row(f"after feedback, {longest} frames", "feedback", steps, longest)]


def _judged(row: Row, config: WorldReproduceConfig, road: _Road, device: torch.device) -> dict[str, Any]:
    """Truth, motion and time of one row; judged once for each release and settings."""
    release = road.release(row.stage)
    folder = road.root / "truth" / row.name.replace(" ", "_").replace(",", "")
    settings = WorldTruthConfig(
        model=str(release),
        num_prompts=config.num_prompts,
        num_inference_steps=row.num_inference_steps,
        num_frames=row.num_frames,
        features=str(road.release("video_text")),
    )
    path, mark, judged = folder / "truth.json", folder / "made_of.json", made_of(settings)
    if not path.is_file() or not mark.is_file() or json.loads(mark.read_text()) != judged:
        judge(settings, folder, device)
        write_text(mark, json.dumps(judged))
    found = json.loads(path.read_text())
    parameters = sum(p.numel() for p in load_component(release, "unet").parameters())
    return {**{name: found[name] for name in found if name != "config"}, "parameters": parameters}


def markdown_table(rows: Sequence[tuple[Row, dict[str, Any]]]) -> str:
    """The table for a reader; shares as fractions, seconds of one clip."""
    lines = [
        "| | parameters | steps | frames | all right, seen | held out | motion | Frechet | denoising |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row, found in rows:
        seen, held_out = found["seen"], found["held_out"]
        motion = (seen["motion_magnitude"] + held_out["motion_magnitude"]) / 2
        size = f"{found['parameters'] / 1e6:.2f} M"
        lines.append(
            f"| {row.name} | {size} | {row.num_inference_steps} | {row.num_frames} | "
            f"{_share(seen)} | {_share(held_out)} | {motion:.3f} | {found['frechet']:.4f} | "
            f"{found['seconds_per_clip']['denoise']:.2f} s |"
        )
    return "\n".join(lines) + "\n"


def _share(found: dict[str, Any]) -> str:
    low, high = found["all_right_95"]
    return f"{found['all_right']:.3f} ({low:.3f} to {high:.3f})"


def _brief(train: TrainConfig, num_steps: int, **optimizer: int) -> TrainConfig:
    """The same training in fewer steps."""
    changes: dict[str, Any] = {"warmup_steps": min(20, num_steps // 4), **optimizer}
    return replace(
        train,
        num_steps=num_steps,
        optimizer=replace(train.optimizer, **changes),
        ema_decay=0.98,
        save_every=max(50, num_steps // 4),
        validate_every=num_steps if train.validate_every else 0,
    )


def _brief_phase(phase: Phase | None, num_steps: int) -> Phase | None:
    return None if phase is None else replace(phase, train=_brief(phase.train, num_steps))


FULL = WorldReproduceConfig()
SMALL = WorldReproduceConfig(
    autoencoder=replace(FULL.autoencoder, train=_brief(FULL.autoencoder.train, 300)),
    video_text=replace(FULL.video_text, train=_brief(FULL.video_text.train, 300)),
    teacher=replace(
        FULL.teacher,
        images=_brief_phase(FULL.teacher.images, 400),
        sparse=_brief_phase(FULL.teacher.sparse, 150),
        clips=replace(FULL.teacher.clips, train=_brief(FULL.teacher.clips.train, 80, decay_steps=40)),
    ),
    recovery=replace(FULL.recovery, train=_brief(FULL.recovery.train, 60, decay_steps=20)),
    few_steps=replace(
        FULL.few_steps, train=_brief(FULL.few_steps.train, 60, decay_steps=20), num_validation_clips=8
    ),
    feedback_train=_brief(FULL.feedback_train, 30, decay_steps=10),
    num_prompts=16,
)
"""Half an hour on two cores: its clips are not good, its curves and its table are complete."""

RECIPE = Recipe(
    name="world_reproduce",
    summary="The whole road on the world, from nothing to a few-step student.",
    config=FULL,
    presets={"small": SMALL, "full": FULL},
    run=run,
)
