"""Two steps on two processes; ``torchrun -m tests.recipes.curated_run START MANIFEST OUT CACHE``."""

import sys
from pathlib import Path

import torch

from rufous.recipes import RECIPES
from tests.recipes.conftest import CPU
from tests.recipes.curated_set import settings


def main(start: str, manifest: str, out: str, cache: str) -> None:
    """Train."""
    torch.set_num_threads(1)
    config = settings(Path(start), Path(manifest), 2, cache_dir=cache)
    RECIPES["curated"].run(config, Path(out), CPU)


if __name__ == "__main__":
    main(*sys.argv[1:])
