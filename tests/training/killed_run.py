"""What the child of ``test_kill.py`` does: train the toy, and wait for its death at a given place."""

import shutil
import time
from pathlib import Path
from typing import Any

import torch

from rufous.training import resume, state_files
from tests.training.conftest import ToyObjective, run

STEPS = 40


def train_toy(run_dir: Path, frozen: Path, place: str | None) -> None:
    """Train to the end; at ``place`` leave the file ``frozen`` and do nothing more."""
    torch.set_num_threads(1)

    def freeze(*_: Any) -> None:
        frozen.touch()
        time.sleep(600)

    def slow(step: int, loss: torch.Tensor) -> torch.Tensor:
        time.sleep(0.01)
        return loss

    if place == "tensors half written":
        state_files.save_file = lambda tensors, path: (path.write_bytes(b"half"), freeze())
    elif place == "before the manifest":
        resume.write_text = freeze
    elif place == "before the folder appears":
        Path.rename = freeze  # type: ignore[method-assign]
    elif place == "old checkpoint half deleted":
        rmtree = shutil.rmtree

        def delete(path: Path, **options: Any) -> None:
            if path.suffix == ".deleted" and path.is_dir():
                next(path.rglob("*.safetensors")).unlink()
                freeze()
            rmtree(path, **options)

        shutil.rmtree = delete  # type: ignore[assignment]
    run(run_dir, STEPS, objective=ToyObjective(during_loss=slow), save_every=4)
