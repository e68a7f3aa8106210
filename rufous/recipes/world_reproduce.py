"""The whole road on the world, from nothing to a few-step student, and the table of what each step costs.

    rufous reproduce world --preset small

data -> autoencoder -> video-text model -> teacher -> pruning -> recovery -> few steps -> feedback -> truth.
Every stage has a folder in the run's folder and resumes by itself; a stage that is done is passed by. Each
release names its parents by hash: ``rufous verify --chain`` follows them.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import is_release, load_component
from rufous.compression import NetworkCall, PruneConfig, prune_release
from rufous.compression.calls import noised_calls
from rufous.core.console import logger
from rufous.core.files import write_text
from rufous.core.randomness import generator_from
from rufous.recipes import world_autoencoder, world_few_steps, world_recovery, world_teacher, world_video_text
from rufous.recipes.processes import joined
from rufous.recipes.recipe import Recipe
from rufous.recipes.world_autoencoder import WorldAutoencoderConfig
from rufous.recipes.world_few_steps import FeedbackConfig, WorldFewStepsConfig
from rufous.recipes.world_recovery import WorldRecoveryConfig, load_denoiser
from rufous.recipes.world_sets import WorldSet, open_sets
from rufous.recipes.world_teacher import WorldTeacherConfig
from rufous.recipes.world_truth import WorldTruthConfig
from rufous.recipes.world_truth import run as judge
from rufous.recipes.world_video_text import WorldVideoTextConfig
from rufous.training.loop import TrainConfig

_log = logger(__name__)
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
    feedback: FeedbackConfig = field(default_factory=lambda: FeedbackConfig(image_text=1.0, video_text=2.0))
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


def run(config: WorldReproduceConfig, run_dir: Path, device: torch.device) -> Path:
    """Carry out what is left of the road and write ``run_dir/table.md`` and ``table.json``."""
    road = _Road(config, run_dir, device)
    for stage in road.stages():
        if not road.is_done(stage):
            _log.info("stage %s", stage)
            road.stages()[stage]()
            road.mark_done(stage)
    rows = [(row, _judged(row, config, road, device)) for row in table_rows(config)]
    write_text(run_dir / "table.json", json.dumps([{"row": r.name, **found} for r, found in rows], indent=1))
    table = markdown_table(rows)
    write_text(run_dir / "table.md", table)
    _log.info("what each step costs:\n%s", table)
    return run_dir / "table.md"


class _Road:
    """Folders of one run, and its stages as functions; owns nothing but the marks of stages that are done."""

    def __init__(self, config: WorldReproduceConfig, run_dir: Path, device: torch.device) -> None:
        self.config, self.root, self.device = config, run_dir, device

    def release(self, stage: StageName) -> Path:
        """Where a stage's release is."""
        return self.root / stage / "release"

    def stages(self) -> dict[StageName, Callable[[], object]]:
        """Every stage in order."""
        return {
            "autoencoder": self._autoencoder,
            "video_text": self._video_text,
            "teacher": self._teacher,
            "pruned": self._prune,
            "recovered": self._recover,
            "few_steps": self._few_steps,
            "feedback": self._feedback,
        }

    def is_done(self, stage: StageName) -> bool:
        """Whether the stage ended, and its release is still the one it wrote."""
        mark, release = self.root / stage / "done.json", self.release(stage)
        if not mark.is_file() or not is_release(release):
            return False
        return json.loads(mark.read_text())["manifest_id"] == Manifest.load(release).id

    def mark_done(self, stage: StageName) -> None:
        """Remember the release that the stage wrote."""
        written = {"manifest_id": Manifest.load(self.release(stage)).id}
        write_text(self.root / stage / "done.json", json.dumps(written))

    def _autoencoder(self) -> None:
        clips = tuple(str(self.root / f"clips_{part.level}") for part in self.config.autoencoder.clips)
        config = replace(self.config.autoencoder, clips_dirs=clips)
        world_autoencoder.run(config, self.root / "autoencoder", self.device)

    def _video_text(self) -> None:
        config = replace(self.config.video_text, clips_dir=str(self.root / "clips_core"))
        world_video_text.run(config, self.root / "video_text", self.device)

    def _teacher(self) -> None:
        config = self.config.teacher
        latents = replace(
            config.latents,
            clips_dir=str(self.root / "clips_core"),
            autoencoder=str(self.release("autoencoder")),
        )
        config = replace(
            config,
            latents=latents,
            latents_dir=str(self.root / "latents"),
            text=str(self.release("video_text")),
        )
        world_teacher.run(config, self.root / "teacher", self.device)

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

    def _recover(self) -> None:
        config = replace(
            self.config.recovery,
            teacher=str(self.release("teacher")),
            student=str(self.release("pruned")),
            sets=self._sets(),
        )
        world_recovery.run(config, self.root / "recovered", self.device)

    def _few_steps(self) -> None:
        self._run_few_steps("few_steps", self.release("recovered"), FeedbackConfig())

    def _feedback(self) -> None:
        self._run_few_steps("feedback", self.release("few_steps"), self.config.feedback)

    def _run_few_steps(self, stage: StageName, student: Path, feedback: FeedbackConfig) -> None:
        config = replace(
            self.config.few_steps,
            teacher=str(self.release("teacher")),
            student=str(student),
            feedback=replace(feedback, rewards=str(self.release("video_text"))),
            sets=self._sets(),
            train=self.config.feedback_train if stage == "feedback" else self.config.few_steps.train,
        )
        world_few_steps.run(config, self.root / stage, self.device)

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
    """Truth, motion and time of one row; judged once for each release."""
    release = road.release(row.stage)
    folder = road.root / "truth" / row.name.replace(" ", "_").replace(",", "")
    settings = WorldTruthConfig(
        model=str(release),
        num_prompts=config.num_prompts,
        num_inference_steps=row.num_inference_steps,
        num_frames=row.num_frames,
        features=str(road.release("video_text")),
    )
    path = folder / "truth.json"
    if not path.is_file() or json.loads(path.read_text())["manifest_id"] != Manifest.load(release).id:
        judge(settings, folder, device)
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


FULL = WorldReproduceConfig()
SMALL = WorldReproduceConfig(
    autoencoder=replace(FULL.autoencoder, train=_brief(FULL.autoencoder.train, 300)),
    video_text=replace(FULL.video_text, train=_brief(FULL.video_text.train, 300)),
    teacher=replace(
        FULL.teacher,
        image_train=_brief(
            TrainConfig(num_steps=1, optimizer=FULL.teacher.train.optimizer), 400, decay_steps=1
        ),
        train=_brief(FULL.teacher.train, 100, decay_steps=40),
    ),
    recovery=replace(FULL.recovery, train=_brief(FULL.recovery.train, 60, decay_steps=20)),
    few_steps=replace(FULL.few_steps, train=_brief(FULL.few_steps.train, 60, decay_steps=20)),
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
