"""The whole road on the world, from nothing to a few-step student, and the table of what each step costs.

    rufous reproduce world --preset small
    rufous reproduce world --preset student

data -> autoencoder -> video-text model, twice -> teacher -> pruning -> recovery -> few steps -> feedback
-> the student as it ships -> truth.
Every stage has a folder in the run's folder and resumes by itself; a stage that is done is passed by. Each
release names its parents by hash: ``rufous verify --chain`` follows them. From a teacher that is
finished, the road begins with pruning.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.release import load_config
from rufous.pipelines.loading import component_names
from rufous.recipes import world_autoencoder, world_few_steps, world_recovery, world_teacher, world_video_text
from rufous.recipes.processes import Processes, joined
from rufous.recipes.recipe import Recipe
from rufous.recipes.stages import Road, Row, Stage
from rufous.recipes.world_autoencoder import WorldAutoencoderConfig
from rufous.recipes.world_clips import WorldClipsConfig
from rufous.recipes.world_feedback import HELD_OUT_IMAGES, FeedbackConfig
from rufous.recipes.world_few_steps import FEEDBACK_TRAIN, WorldFewStepsConfig
from rufous.recipes.world_pruning import WorldPruningConfig
from rufous.recipes.world_pruning import run as prune
from rufous.recipes.world_recovery import WorldRecoveryConfig
from rufous.recipes.world_sets import WorldSet
from rufous.recipes.world_ship import WorldShipConfig
from rufous.recipes.world_ship import run as ship
from rufous.recipes.world_teacher import Phase, WorldTeacherConfig
from rufous.recipes.world_video_text import SHARPER, WorldVideoTextConfig
from rufous.training.loop import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Releases, embedded names or folders, that the stages up to the teacher would make."""

    teacher: str = "world-teacher"
    rewards: str = "world-video-text"


@dataclass(frozen=True, kw_only=True)
class WorldReproduceConfig:
    """Settings of every stage; folders of releases inside them are filled in by the run."""

    finished: Finished | None = None
    """Begin after the teacher; the settings of the stages up to it then say nothing."""
    autoencoder: WorldAutoencoderConfig = field(default_factory=WorldAutoencoderConfig)
    video_text: WorldVideoTextConfig = field(default_factory=WorldVideoTextConfig)
    rewards: WorldVideoTextConfig = field(default_factory=lambda: SHARPER)
    """The video-text model goes on without its text tower; it is then reward and yardstick."""
    teacher: WorldTeacherConfig = field(default_factory=WorldTeacherConfig)
    budget: str = "-45%"
    recovery: WorldRecoveryConfig = field(default_factory=WorldRecoveryConfig)
    few_steps: WorldFewStepsConfig = field(default_factory=WorldFewStepsConfig)
    feedback: FeedbackConfig = HELD_OUT_IMAGES
    """Added to ``few_steps`` in a further stage that starts from its student."""
    feedback_train: TrainConfig = FEEDBACK_TRAIN
    num_prompts: int = 400


def run(config: WorldReproduceConfig, run_dir: Path, device: torch.device) -> Path:
    """Carry out what is left of the road and write ``run_dir/table.md`` and ``table.json``."""
    with joined(device) as processes:
        road = Road(run_dir, processes)
        road.go(stages_of(config, road))
        features = str(_before(config, road, "rewards"))
        return road.write_table(table_rows(config, road), num_prompts=config.num_prompts, features=features)


def stages_of(config: WorldReproduceConfig, road: Road) -> list[Stage]:
    """Every stage in order."""
    device = road.processes.device
    teacher = str(_before(config, road, "teacher"))
    sets = _sets(config.recovery.sets, config, road)
    pruning = WorldPruningConfig(teacher=teacher, sets=sets, budget=config.budget)
    recovery = replace(config.recovery, teacher=teacher, sets=sets, student=str(road.release("pruned")))
    rewards = str(_before(config, road, "rewards"))
    few_steps = replace(
        config.few_steps,
        teacher=teacher,
        sets=_sets(config.few_steps.sets, config, road),
        student=str(road.release("recovered")),
        feedback=FeedbackConfig(rewards=rewards),
    )
    is_matching = config.few_steps.method == "distribution_matching"
    feedback = replace(
        few_steps,
        student=str(road.release("few_steps")),
        critic=str(road.root / "few_steps" / "critic") if is_matching else None,
        feedback=replace(config.feedback, rewards=rewards),
        train=config.feedback_train,
    )
    shipped = WorldShipConfig(source=str(road.release("feedback")), target=str(road.release("shipped")))
    recipes = (
        *(_up_to_the_teacher(config, road) if config.finished is None else ()),
        ("pruned", pruning, prune),
        ("recovered", recovery, world_recovery.run),
        ("few_steps", few_steps, world_few_steps.run),
        ("feedback", feedback, world_few_steps.run),
        ("shipped", shipped, partial(_ship_alone, road.processes)),
    )
    return [
        Stage(name, settings, partial(run, settings, road.root / name, device))
        for name, settings, run in recipes
    ]


def _ship_alone(processes: Processes, config: WorldShipConfig, run_dir: Path, device: torch.device) -> None:
    if processes.is_first:
        ship(config, run_dir, device)


def _before(config: WorldReproduceConfig, road: Road, stage: Literal["teacher", "rewards"]) -> Path:
    """The release of a stage up to the teacher: this run's, or the finished one."""
    return road.release(stage) if config.finished is None else find_release(getattr(config.finished, stage))


def _up_to_the_teacher(config: WorldReproduceConfig, road: Road) -> tuple[tuple[str, Any, Any], ...]:
    """The stages up to the teacher with this run's folders: name, settings, run."""
    clips = str(road.root / "clips_core")
    levels = tuple(str(road.root / f"clips_{part.level}") for part in config.autoencoder.clips)
    latents = replace(config.teacher.latents, clips_dir=clips, autoencoder=str(road.release("autoencoder")))
    teacher = replace(
        config.teacher,
        latents=latents,
        latents_dir=str(road.root / "latents"),
        longer=_in_run(config.teacher.longer, config, road),
        text=str(road.release("video_text")),
    )
    rewards = replace(config.rewards, clips_dir=clips, init_from=str(road.release("video_text")))
    return (
        ("autoencoder", replace(config.autoencoder, clips_dirs=levels), world_autoencoder.run),
        ("video_text", replace(config.video_text, clips_dir=clips), world_video_text.run),
        ("rewards", rewards, world_video_text.run),
        ("teacher", teacher, world_teacher.run),
    )


def _sets(sets: tuple[WorldSet, ...], config: WorldReproduceConfig, road: Road) -> tuple[WorldSet, ...]:
    """Sets with this run's folders."""
    return tuple(_in_run(each, config, road) for each in sets)


def _in_run(each: WorldSet, config: WorldReproduceConfig, road: Road) -> WorldSet:
    """A set with this run's folders, which the teacher and the student share."""
    frames = each.clips.num_frames
    is_usual = frames == config.teacher.latents.clips.num_frames
    clips, latents = ("clips_core", "latents") if is_usual else (f"clips_{frames}", f"latents_{frames}")
    return replace(each, clips_dir=str(road.root / clips), latents_dir=str(road.root / latents))


def table_rows(config: WorldReproduceConfig, road: Road) -> list[Row]:
    """What is judged: each step of the road, then the student at fewer steps and at its longest clips."""
    teacher = _before(config, road, "teacher")
    diffusion = config.teacher.diffusion
    if config.finished is not None:
        diffusion = load_config(teacher, component_names(teacher)["diffusion"])
    frames, usual = diffusion.num_frames, diffusion.sampling.num_inference_steps
    longest = max(each.clips.num_frames for each in config.recovery.sets)
    steps = config.few_steps.num_inference_steps
    student, first = road.release("shipped"), "teacher, twice the steps"
    shipped = "as it ships"
    rows = [Row(first, teacher, 2 * usual, frames)]
    rows += [
        Row(name, release, count, frames, against=first)
        for name, release, count in (
            ("teacher", teacher, usual),
            ("pruned", road.release("pruned"), usual),
            ("recovered", road.release("recovered"), usual),
            ("few steps", road.release("few_steps"), steps),
            ("after feedback", road.release("feedback"), steps),
            *(
                (shipped if count == steps else f"{shipped}, {count}", student, count)
                for count in (steps, steps // 2, steps // 4)
                if count
            ),
        )
    ]
    return [*rows, Row(f"{shipped}, {longest} frames", student, steps, longest, against=shipped)]


def _shortened(train: TrainConfig, num_steps: int, *, decay_steps: int) -> TrainConfig:
    """The same training for so many steps."""
    return replace(train, num_steps=num_steps, optimizer=replace(train.optimizer, decay_steps=decay_steps))


def _brief(train: TrainConfig, num_steps: int, **optimizer: int) -> TrainConfig:
    """The same training in fewer steps."""
    changes: dict[str, Any] = {"warmup_steps": min(20, num_steps // 4), **optimizer}
    return replace(
        train,
        num_steps=num_steps,
        optimizer=replace(train.optimizer, **changes),
        ema_decay=0.98,
        log_every=max(1, num_steps // 20),  # the usual distance would leave a point or two of a curve
        save_every=max(50, num_steps // 4),
        validate_every=num_steps if train.validate_every else 0,
    )


def _brief_phase(phase: Phase | None, num_steps: int) -> Phase | None:
    return None if phase is None else replace(phase, train=_brief(phase.train, num_steps))


def _fewer(each: WorldSet) -> WorldSet:
    """A quarter of the clips: rendering and encoding all of them takes a fifth of half an hour."""
    return replace(each, clips=_quarter(each.clips))


def _quarter(clips: WorldClipsConfig) -> WorldClipsConfig:
    return replace(clips, num_clips=clips.num_clips // 4)


FULL = WorldReproduceConfig()
SMALL = WorldReproduceConfig(
    autoencoder=replace(
        FULL.autoencoder,
        clips=tuple(_quarter(clips) for clips in FULL.autoencoder.clips),
        train=_brief(FULL.autoencoder.train, 300),
    ),
    video_text=replace(
        FULL.video_text, clips=_quarter(FULL.video_text.clips), train=_brief(FULL.video_text.train, 300)
    ),
    rewards=replace(FULL.rewards, clips=_quarter(FULL.rewards.clips), train=_brief(FULL.rewards.train, 40)),
    teacher=replace(
        FULL.teacher,
        latents=replace(FULL.teacher.latents, clips=_quarter(FULL.teacher.latents.clips)),
        longer=_fewer(FULL.teacher.longer),
        images=_brief_phase(FULL.teacher.images, 400),
        sparse=_brief_phase(FULL.teacher.sparse, 150),
        clips=replace(FULL.teacher.clips, train=_brief(FULL.teacher.clips.train, 80, decay_steps=40)),
    ),
    recovery=replace(
        FULL.recovery,
        sets=tuple(_fewer(each) for each in FULL.recovery.sets),
        train=_brief(FULL.recovery.train, 60, decay_steps=20),
    ),
    few_steps=replace(
        FULL.few_steps,
        sets=tuple(_fewer(each) for each in FULL.few_steps.sets),
        train=_brief(FULL.few_steps.train, 60, decay_steps=20),
        num_validation_clips=8,
    ),
    feedback=replace(FULL.feedback, guard=None),
    feedback_train=_brief(FULL.feedback_train, 30, decay_steps=10),
    num_prompts=16,
)
"""Half an hour on two cores: its clips are not good, its curves and its table are complete. It validates at
the last step alone, on 8 clips that show little, so no guard watches."""

STUDENT = replace(
    FULL,
    finished=Finished(),
    recovery=replace(FULL.recovery, train=_shortened(FULL.recovery.train, 1_500, decay_steps=500)),
    few_steps=replace(FULL.few_steps, train=_shortened(FULL.few_steps.train, 1_800, decay_steps=400)),
    feedback_train=_shortened(FULL.feedback_train, 300, decay_steps=280),
)
"""What makes the embedded student, from the embedded teacher: hours on two cores. The one that ships had the
teacher's guidance at 3 for the first half of its few steps (docs/benchmarks.md)."""

RECIPE = Recipe(
    name="world_reproduce",
    summary="The whole road on the world, from nothing to a few-step student.",
    config=FULL,
    presets={"small": SMALL, "full": FULL, "student": STUDENT},
    run=run,
)
