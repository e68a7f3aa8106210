"""The whole road at toy size, by the method that ships; ``torchrun -m tests.recipes.reproduce_run OUT``."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from rufous.recipes import RECIPES
from rufous.recipes.world_feedback import HELD_OUT_IMAGES
from rufous.recipes.world_few_steps import WorldFewStepsConfig
from rufous.recipes.world_recovery import WorldRecoveryConfig
from rufous.recipes.world_reproduce import WorldReproduceConfig
from rufous.recipes.world_sets import WorldSet
from tests.recipes.conftest import CPU, Road, brief, toy_road


def toy(road: Road) -> WorldReproduceConfig:
    """A step or two of each stage; the image reward is held out, and the guard watches."""
    sets = (
        WorldSet(clips=road.clips, batch_size=2),
        WorldSet(clips=replace(road.clips, num_frames=6, seed=3), batch_size=2),
    )
    both_lengths = replace(brief(1), accumulation=2)
    return WorldReproduceConfig(
        autoencoder=road.autoencoder,
        video_text=road.video_text,
        rewards=replace(road.video_text, train_text=False, init_from="filled in", train=brief(2)),
        teacher=road.teacher,
        budget="-10%",
        recovery=WorldRecoveryConfig(sets=sets, train=brief(1)),
        few_steps=WorldFewStepsConfig(sets=sets, num_validation_clips=2, train=both_lengths),
        feedback=replace(HELD_OUT_IMAGES, image_frames=2),
        feedback_train=both_lengths,
        num_prompts=4,
    )


def main(out: Path) -> None:
    """All stages and the table."""
    torch.set_num_threads(1)
    RECIPES["world_reproduce"].run(toy(toy_road(out)), out, CPU)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
