"""Stage 1 on the world: a pruned U-Net learns its teacher's output after guidance.

    rufous prune world-teacher -o runs/world_pruned --budget=-45%
    rufous train world_recovery

Against the published first stage: it starts from the teacher's own weights, the teacher runs in eval mode,
the clip's fps reaches all passes, blocks are compared too, and clips of 16 and of 26 frames take turns.
"""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from rufous.distillation.structural import StructuralConfig
from rufous.distillation.teaching import GuidanceRange
from rufous.recipes.processes import joined
from rufous.recipes.recipe import Recipe
from rufous.recipes.recovery import RecoveryConfig, open_teacher, recover
from rufous.recipes.world_sets import SIXTEEN, TWENTY_SIX, WorldSet, alternating, open_sets
from rufous.training.loop import TrainConfig
from rufous.training.optim import OptimizerConfig


@dataclass(frozen=True, kw_only=True)
class WorldRecoveryConfig(RecoveryConfig):
    """Settings of the run."""

    teacher: str = "world-teacher"
    student: str = "runs/world_pruned"
    sets: tuple[WorldSet, ...] = (SIXTEEN, TWENTY_SIX)
    objective: StructuralConfig = field(
        default_factory=lambda: StructuralConfig(guidance=GuidanceRange(2.0, 2.0), feature_weight=0.5)
    )
    """The guidance is the teacher's own, so that the student needs none."""
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            num_steps=3000,
            optimizer=OptimizerConfig(
                name="muon", learning_rate=1e-3, warmup_steps=50, schedule="wsd", decay_steps=1000
            ),
            ema_decay=0.998,
            save_every=250,
        )
    )


def run(config: WorldRecoveryConfig, run_dir: Path, device: torch.device) -> Path:
    """Train and write ``run_dir/release``, the teacher's release with the student's U-Net.

    Raises:
        ConfigError: The student was not made of this teacher.
    """
    teacher = open_teacher(config)
    with joined(device) as processes:
        data = open_sets(config.sets, teacher, processes)
        with alternating(config.sets, data, config.seed) as batches:
            return recover(
                config,
                name="world-recovered",
                batches=batches,
                empty=data[0].empty,
                run_dir=run_dir,
                processes=processes,
            )


SMALL = WorldRecoveryConfig()
RECIPE = Recipe(
    name="world_recovery",
    summary="Stage 1: a pruned U-Net recovers by its teacher's guided output.",
    config=SMALL,
    presets={"small": SMALL},
    run=run,
)
