"""The world's road at toy size on several processes; ``torchrun -m tests.recipes.processes_run OUT``."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from rufous.recipes import RECIPES
from tests.recipes.conftest import CPU, toy_road


def main(out: Path) -> None:
    """Each recipe joins and leaves the processes by itself, as under ``rufous train``."""
    torch.set_num_threads(1)
    road = toy_road(out)
    RECIPES["world_autoencoder"].run(road.autoencoder, out / "autoencoder", CPU)
    RECIPES["world_video_text"].run(road.video_text, out / "video_text", CPU)
    teacher = replace(road.teacher, image_train=replace(road.teacher.train, num_steps=1))
    RECIPES["world_teacher"].run(teacher, out / "teacher", CPU)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
