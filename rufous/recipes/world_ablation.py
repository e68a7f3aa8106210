"""What each step of the recipe brings: students of one teacher that differ in one thing, on one budget.

    rufous train world_ablation
    OMP_NUM_THREADS=1 torchrun --nproc_per_node 2 -m rufous train world_ablation

Every trained row has the same number of steps, data and seeds, on a budget smaller than the shipped model's.
Recovery is compared with and without block features; then, all from one recovered student, the methods of few
steps; then, all from one few-step student, feedback by each reward, both and none (as many steps again), and
through the tiny decoder. ``run_dir/table.md`` has a row for each, with 95 % intervals.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.release import load_config
from rufous.pipelines.loading import component_names
from rufous.recipes import world_few_steps, world_pruning, world_recovery, world_tiny_decoder
from rufous.recipes.few_steps import FewStepsConfig
from rufous.recipes.processes import joined
from rufous.recipes.recipe import Recipe
from rufous.recipes.stages import Road, Row, Stage
from rufous.recipes.world_feedback import FeedbackConfig
from rufous.recipes.world_few_steps import REAL_CLIPS, WorldFewStepsConfig
from rufous.recipes.world_pruning import WorldPruningConfig
from rufous.recipes.world_recovery import WorldRecoveryConfig
from rufous.recipes.world_sets import SIXTEEN
from rufous.recipes.world_tiny_decoder import WorldTinyDecoderConfig
from rufous.training.loop import TrainConfig

Method = Literal["consistency", "distribution_matching", "real_clips"]
_MATCHING = partial(replace, method="distribution_matching", target=FewStepsConfig.target)
METHODS: dict[Method, tuple[str, Callable[[WorldFewStepsConfig], WorldFewStepsConfig]]] = {
    "consistency": (
        "consistency",
        partial(
            replace,
            method="consistency",
            critic=None,
            adversarial=None,
            student_every=FewStepsConfig.student_every,
        ),
    ),
    "distribution_matching": ("distribution matching", partial(_MATCHING, adversarial=None)),
    "real_clips": ("distribution matching with real clips", partial(_MATCHING, adversarial=REAL_CLIPS)),
}
"""Stages by name: what the table calls them, and what they set."""
FEEDBACKS = {
    "feedback_none": FeedbackConfig(guard=None),
    "feedback_image": FeedbackConfig(image_text=0.2, guard=None),
    "feedback_video": FeedbackConfig(video_text=0.4, guard=None),
    "feedback_both": FeedbackConfig(image_text=0.2, video_text=0.4, guard=None),
    "feedback_tiny": FeedbackConfig(video_text=0.4, guard=None),
}
"""Stages by their rewards; the last one decodes by the tiny decoder. No guard watches, so that each reward
pulls at its whole strength to the last step and the rows differ in nothing else."""


def budgeted(train: TrainConfig, num_steps: int) -> TrainConfig:
    """The same training in ``num_steps``, a third of them while the learning rate falls."""
    decay = max(1, num_steps // 3) if train.optimizer.schedule == "wsd" else 0
    return replace(
        train,
        num_steps=num_steps,
        optimizer=replace(train.optimizer, decay_steps=decay, warmup_steps=min(20, num_steps // 4)),
        ema_decay=0.98,
        log_every=max(1, num_steps // 20),
        save_every=max(1, num_steps // 3),
        validate_every=0,
    )


@dataclass(frozen=True, kw_only=True)
class WorldAblationConfig:
    """Settings of the run; releases inside the parts are filled in by it."""

    teacher: str = "world-teacher"
    rewards: str = "world-video-text"
    budget: str = "-45%"
    num_steps: int = 300
    """Of every trained row."""
    recovery: WorldRecoveryConfig = field(default_factory=WorldRecoveryConfig)
    few_steps: WorldFewStepsConfig = field(default_factory=WorldFewStepsConfig)
    tiny_decoder: WorldTinyDecoderConfig = field(default_factory=WorldTinyDecoderConfig)
    feedback_from: Method = "distribution_matching"
    """Whose student the rows of feedback start from, and go on with."""
    num_prompts: int = 200
    """Of the rows of many steps."""
    num_few_step_prompts: int = 800
    """Of the others, whose clips cost a tenth and which differ by less."""


def run(config: WorldAblationConfig, run_dir: Path, device: torch.device) -> Path:
    """Train what is left and write ``run_dir/table.md`` and ``table.json``."""
    with joined(device) as processes:
        road = Road(run_dir, processes)
        road.go(stages_of(config, road))
        rows = table_rows(config, road)
        return road.write_table(rows, num_prompts=config.num_prompts, features=config.rewards)


def stages_of(config: WorldAblationConfig, road: Road) -> list[Stage]:
    """Every stage in order."""
    device = road.processes.device

    def stage(name: str, settings: object, run: object) -> Stage:
        return Stage(name, settings, partial(run, settings, road.root / name, device))  # type: ignore[arg-type]

    sets = config.recovery.sets
    pruning = WorldPruningConfig(teacher=config.teacher, budget=config.budget, sets=sets)
    recovery = replace(
        config.recovery,
        teacher=config.teacher,
        student=str(road.release("pruned")),
        train=budgeted(config.recovery.train, config.num_steps),
    )
    plain = replace(recovery, objective=replace(recovery.objective, feature_weight=0.0))
    tiny = replace(
        config.tiny_decoder,
        latents=replace(config.tiny_decoder.latents, autoencoder=str(find_release(config.teacher))),
    )
    few_steps = replace(
        config.few_steps,
        teacher=config.teacher,
        student=str(road.release("recovered")),
        feedback=FeedbackConfig(rewards=config.rewards),
        train=budgeted(config.few_steps.train, config.num_steps),
    )
    return [
        stage("pruned", pruning, world_pruning.run),
        stage("recovered", recovery, world_recovery.run),
        stage("recovered_plain", plain, world_recovery.run),
        stage("tiny_decoder", tiny, world_tiny_decoder.run),
        *(stage(name, changed(few_steps), world_few_steps.run) for name, (_, changed) in METHODS.items()),
        *(
            stage(name, _with_feedback(config, road, few_steps, name), world_few_steps.run)
            for name in FEEDBACKS
        ),
    ]


def _with_feedback(
    config: WorldAblationConfig, road: Road, few_steps: WorldFewStepsConfig, name: str
) -> WorldFewStepsConfig:
    """The same method for as many steps again, with the rewards of a row."""
    decoder = str(road.release("tiny_decoder")) if name == "feedback_tiny" else None
    _, changed = METHODS[config.feedback_from]
    few_steps = changed(few_steps)
    is_matching = few_steps.method == "distribution_matching"
    return replace(
        few_steps,
        student=str(road.release(config.feedback_from)),
        critic=str(road.root / config.feedback_from / "critic") if is_matching else None,
        feedback=replace(FEEDBACKS[name], rewards=config.rewards, tiny_decoder=decoder),
    )


def table_rows(config: WorldAblationConfig, road: Road) -> list[Row]:
    """The teacher, every student at its own number of steps, and the methods at fewer."""
    teacher = find_release(config.teacher)
    usual = load_config(teacher, component_names(teacher)["diffusion"])
    few, many, frames = (
        config.few_steps.num_inference_steps,
        usual.sampling.num_inference_steps,
        usual.num_frames,
    )
    rows = [
        Row("teacher", teacher, many, frames),
        Row("pruned, not recovered", road.release("pruned"), many, frames, against="teacher"),
    ]
    rows += [
        Row(name, road.release(stage), many, frames, against=against)
        for name, stage, against in (
            ("recovered without block features", "recovered_plain", "pruned, not recovered"),
            ("recovered with block features", "recovered", "recovered without block features"),
        )
    ]
    first = next(iter(METHODS.values()))[0]

    def few_step_row(name: str, stage: str, count: int, *, against: str | None) -> Row:
        return Row(name, road.release(stage), count, frames, against, config.num_few_step_prompts)

    rows += [
        few_step_row(
            f"{told}, {count} steps",
            name,
            count,
            against=None if told == first else f"{first}, {count} steps",
        )
        for name, (told, _) in METHODS.items()
        for count in (few, few // 2, few // 4)
        if count
    ]
    none, *named = (
        "none",
        "image reward",
        "video reward",
        "both rewards",
        "video reward by the tiny decoder",
    )
    start = f"{METHODS[config.feedback_from][0]}, {few} steps"
    rows.append(few_step_row(f"feedback: {none}", "feedback_none", few, against=start))
    rows += [
        few_step_row(f"feedback: {name}", stage, few, against=f"feedback: {none}")
        for name, stage in zip(named, list(FEEDBACKS)[1:], strict=True)
    ]
    return rows


FULL = WorldAblationConfig()
SMALL = replace(
    FULL,
    num_steps=200,
    recovery=replace(FULL.recovery, sets=(SIXTEEN,)),
    few_steps=replace(
        FULL.few_steps,
        sets=(replace(SIXTEEN, batch_size=8),),
        train=replace(FULL.few_steps.train, accumulation=1),
    ),
)
"""Clips of 16 frames alone, in steps that cost less than half: about two hours on two cores."""
RECIPE = Recipe(
    name="world_ablation",
    summary="What each step of the recipe brings, on one budget.",
    config=FULL,
    presets={"full": FULL, "small": SMALL},
    run=run,
)
