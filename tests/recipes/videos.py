"""Full size in miniature: a release of random weights, its pruned student, and a list of real video files."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rufous.compression.prune import PruneConfig
from rufous.compression.release import prune_release
from rufous.data.video_clips import ClipSampling
from rufous.recipes.distil_decoder import DistilDecoderConfig
from rufous.recipes.video_batches import VideoDataConfig, VideoSet
from rufous.training.loop import TrainConfig
from rufous.video.write import write_video

NUM_FILES, SIDE = 4, 16


@dataclass(frozen=True)
class Miniature:
    """Teacher, student and data of the smoke runs."""

    teacher: Path
    student: Path
    data: VideoDataConfig


def cut(num_frames: int) -> VideoSet:
    sampling = ClipSampling(num_frames=num_frames, height=SIDE, width=SIDE, strides=(1, 2), skip_s=0.0)
    return VideoSet(sampling=sampling, batch_size=2)


def write_clips(folder: Path) -> Path:
    """Files of noise at 8 frames a second, and their list in the layout of Hummingbird's first stage."""
    rows = ["path,text"]
    generator = torch.Generator().manual_seed(0)
    for index in range(NUM_FILES):
        frames = torch.randint(0, 256, (24, 3, 20, 32), generator=generator, dtype=torch.uint8)
        write_video(folder / f"{index}.mp4", frames, fps=8)
        rows.append(f"{index}.mp4,a red circle number {index}")
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    return folder / "clips.csv"


def decoder_settings(miniature: Miniature, train: TrainConfig, **changes: Any) -> DistilDecoderConfig:
    """Of the four files two are held out."""
    config = DistilDecoderConfig(
        release=str(miniature.teacher),
        data=replace(miniature.data, sets=miniature.data.sets[:1]),
        width=8,
        blocks_per_stage=1,
        num_validation_clips=2,
        train=train,
    )
    return replace(config, **changes)


@pytest.fixture(scope="session")
def miniature(tiny_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    root = tmp_path_factory.mktemp("miniature")
    remove = PruneConfig(remove=("middle_block",), importance="none")
    prune_release(tiny_release, root / "unet_pruned", remove)
    data = VideoDataConfig(clips=str(write_clips(root)), sets=(cut(4), cut(6)))
    return Miniature(teacher=tiny_release, student=root / "unet_pruned", data=data)
