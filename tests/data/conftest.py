from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rufous.video.write import write_video


@pytest.fixture
def write_clip(tmp_path: Path) -> Callable[..., Path]:
    """A small clip whose frames grow brighter from ``grey`` on; lossless as .mkv."""

    def write(name: str, *, grey: int = 100, num_frames: int = 8, fps: int = 8, size: int = 32) -> Path:
        ramp = np.clip(grey + np.arange(num_frames), 0, 255).astype(np.uint8)
        frames = torch.from_numpy(ramp).view(-1, 1, 1, 1).repeat(1, 3, size, size)
        frames[:, :, : size // 2] = frames[:, :, : size // 2] // 2
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_video(path, frames, fps=fps, lossless=path.suffix == ".mkv")

    return write
