"""Stage 2 on the world: the recovered U-Net becomes a few-step student, with reward feedback if asked.

    rufous train world_few_steps
    rufous train world_few_steps --preset feedback

The second command goes on from the student and the critic of the first.
Validation measures truth, motion and every reward, the held-out one too, on as many clips of each length.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch

from rufous.checkpoints.lookup import find_release
from rufous.distillation.adversarial import AdversarialConfig
from rufous.distillation.teaching import GuidanceRange
from rufous.networks.vae2d import AutoencoderKL
from rufous.pipelines.text_to_video import TextToVideoPipeline
from rufous.recipes.few_steps import FewStepsConfig, check_guard, distil
from rufous.recipes.processes import joined
from rufous.recipes.recipe import Recipe
from rufous.recipes.watching import Figures, clips_of_each_length
from rufous.recipes.world_feedback import (
    HELD_OUT_IMAGES,
    MEASURED,
    FeedbackConfig,
    WorldRewards,
    baseline_of,
    make_feedback,
    measure_model,
)
from rufous.recipes.world_sets import SIXTEEN, TWENTY_SIX, WorldSet, alternating, open_sets
from rufous.rewards.feedback import RewardFeedback
from rufous.rewards.world import world_rewards
from rufous.training.loop import TrainConfig
from rufous.training.optim import OptimizerConfig

REAL_CLIPS = AdversarialConfig(weight=1.0, stages=("middle_block", "output_blocks.2", "output_blocks.5"))
"""Heads at the world U-Net's three resolutions."""


@dataclass(frozen=True, kw_only=True)
class WorldFewStepsConfig(FewStepsConfig):
    """Settings of the run."""

    teacher: str = "world-teacher"
    student: str = "runs/world_recovery/release"
    method: Literal["consistency", "distribution_matching"] = "distribution_matching"
    guidance: GuidanceRange = field(default_factory=lambda: GuidanceRange(1.5, 1.5))
    """At 3 things get halos of the complementary colour, and fewer clips are right (docs/benchmarks.md)."""
    feedback: FeedbackConfig = field(default_factory=FeedbackConfig)
    sets: tuple[WorldSet, ...] = (replace(SIXTEEN, batch_size=8), replace(TWENTY_SIX, batch_size=6))
    """Half of what recovery has: with the critic's a step costs thrice as much."""
    num_validation_clips: int = 64
    """As many of each length of ``sets``. Five that turn wrong while none turns right are a fall of truth."""
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            num_steps=3000,
            accumulation=2,  # a batch of each length in every step, the student's own among them
            optimizer=OptimizerConfig(
                name="muon", learning_rate=5e-4, warmup_steps=50, schedule="wsd", decay_steps=1000
            ),
            ema_decay=0.998,
            save_every=250,
            validate_every=250,
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.feedback.is_on:
            check_guard(self.feedback.guard, self.train, MEASURED)
        batches, sets = self.train.accumulation, len(self.sets)
        if self.method == "distribution_matching" and batches < math.gcd(self.student_every * batches, sets):
            raise ValueError(
                f"train.accumulation={batches}, student_every={self.student_every}: the student's steps "
                f"would not have clips of all {sets} sets; use train.accumulation={sets}"
            )


@dataclass(frozen=True)
class _Watching:
    """The world's rewards and measurements."""

    config: WorldFewStepsConfig
    rewards: WorldRewards
    counts: Mapping[int, int]
    """Number of validation clips of each number of frames."""

    def feedback(self, autoencoder: AutoencoderKL) -> RewardFeedback | None:
        """The rewards that are trained on."""
        if not self.config.feedback.is_on:
            return None
        return make_feedback(self.config.feedback, self.rewards, autoencoder)

    def measure(self, pipe: TextToVideoPipeline) -> Figures:
        """Truth, motion and rewards."""
        return measure_model(pipe, self.counts, self.rewards)

    def baseline(self, teacher: Figures, student: Figures) -> Figures:
        """The teacher's motion and the student's own truth."""
        return baseline_of(teacher=teacher, student=student)

    def parents(self) -> Mapping[str, Path]:
        """The rewards' release."""
        return self.config.feedback.parents()


def run(config: WorldFewStepsConfig, run_dir: Path, device: torch.device) -> Path:
    """Train and write ``run_dir/release``, the teacher's release with the few-step U-Net."""
    teacher = find_release(config.teacher)
    lengths = [each.clips.num_frames for each in config.sets]
    counts = clips_of_each_length(config.num_validation_clips, lengths)
    with joined(device) as processes:
        data = open_sets(config.sets, teacher, processes)
        rewards = world_rewards(config.feedback.rewards, device=processes.device)
        watching = _Watching(config, rewards, counts)
        with alternating(config.sets, data, config.seed) as batches:
            return distil(
                config,
                name="world-student",
                batches=batches,
                empty=data[0].empty,
                text=data[0].text,
                watching=watching,
                run_dir=run_dir,
                processes=processes,
            )


SMALL = WorldFewStepsConfig()
FEEDBACK_TRAIN = replace(
    SMALL.train,
    num_steps=1_000,
    optimizer=replace(SMALL.train.optimizer, learning_rate=2.5e-4, warmup_steps=20, decay_steps=980),
    validate_every=100,
)
"""Half the rate, which falls from the start: at a high one clips get worse for a while, and the guard cannot
tell that from cheating."""
OFTEN_WORST = (
    replace(SIXTEEN, batch_size=8, repeats={"rotating": 3, "bouncing": 2}),
    replace(TWENTY_SIX, batch_size=8, repeats={"rotating": 2, "bouncing": 4, "orbiting": 3}),
)
"""More of what a student is worst at, of 26 frames most of all."""
FURTHER = replace(
    SMALL,
    student="world-student",
    sets=OFTEN_WORST,
    train=replace(
        SMALL.train,
        num_steps=600,
        optimizer=replace(SMALL.train.optimizer, learning_rate=4e-4, decay_steps=260),
        save_every=50,
        validate_every=200,
    ),
)
"""The embedded student goes on, for a teacher that has learnt more; without its critic, which does not ship,
it loses something at first. ``scripts/train_student.sh`` adds feedback."""
RECIPE = Recipe(
    name="world_few_steps",
    summary="Stage 2: a few-step student, by consistency or distribution matching, with reward feedback.",
    config=SMALL,
    presets={
        "small": SMALL,
        "feedback": replace(
            SMALL,
            student="runs/world_few_steps/release",
            critic="runs/world_few_steps/critic",
            feedback=HELD_OUT_IMAGES,
            train=FEEDBACK_TRAIN,
        ),
        "real_clips": replace(SMALL, adversarial=REAL_CLIPS, sets=OFTEN_WORST),
        "further": FURTHER,
        "further_feedback": replace(
            FURTHER,
            student="runs/world_few_steps_further/release",
            critic="runs/world_few_steps_further/critic",
            feedback=HELD_OUT_IMAGES,
            train=replace(
                FEEDBACK_TRAIN,
                num_steps=300,
                optimizer=replace(FEEDBACK_TRAIN.optimizer, decay_steps=280),
                save_every=50,
            ),
        ),
    },
    run=run,
)
