"""Folders of small clip files, and features that need no network."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from rufous.evaluation.set_features import VideoFeatures
from rufous.video.write import write_video


def write_clips(
    folder: Path, count: int, *, seed: int = 0, num_frames: int = 12, brightness: int = 0
) -> Path:
    """Lossless noise of 16x16, some of it in a sub-folder."""
    generator = torch.Generator().manual_seed(seed)
    for index in range(count):
        frames = torch.randint(0, 128, (num_frames, 3, 16, 16), generator=generator, dtype=torch.uint8)
        place = folder / "more" if index % 2 else folder
        write_video(place / f"{index}.webp", frames + brightness, fps=8)
    return folder


class Reader:
    """Mean brightness of each third of the frames; counts what it reads."""

    def __init__(self) -> None:
        self.num_read = 0
        self.batches: list[int] = []

    def __call__(self, clips: Sequence[Tensor]) -> Tensor:
        self.num_read += len(clips)
        self.batches.append(len(clips))
        return torch.stack([clip.float().unflatten(0, (3, -1)).mean(dim=(1, 2, 3, 4)) for clip in clips])


def brightness_features(reader: Reader, **changes: object) -> VideoFeatures:
    settings: dict[str, object] = {
        "name": "brightness",
        "read": reader,
        "num_frames": 3,
        "takes_more_frames": True,
        "resize": "none",
        "weights": "none",
        "figure": "frechet",
        "figure_name": "frechet_brightness",
        "ddof": 1,
        "status": "exact",
    }
    return VideoFeatures(**{**settings, **changes})  # type: ignore[arg-type]
