"""The world's road at toy size on several processes; ``torchrun -m tests.recipes.processes_run OUT``."""

import sys
from pathlib import Path

import torch

from rufous.recipes import RECIPES
from rufous.training.parallel import process_group
from tests.recipes.conftest import CPU, toy_road


def main(out: Path) -> None:
    """The three recipes that train, with the processes joined once."""
    torch.set_num_threads(1)
    road = toy_road(out)
    with process_group("cpu"):
        RECIPES["world_autoencoder"].run(road.autoencoder, out / "autoencoder", CPU)
        RECIPES["world_video_text"].run(road.video_text, out / "video_text", CPU)
        RECIPES["world_teacher"].run(road.teacher, out / "teacher", CPU)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
