"""A curated set in miniature: lossless files of noise in two aspects, their manifest, and a run of it."""

from pathlib import Path

import torch

from rufous.data.buckets import BucketConfig, BucketRule
from rufous.data.clip import Clip
from rufous.data.curated_clips import CuratedSampling
from rufous.data.manifest import write_manifest
from rufous.recipes.curated import CuratedConfig
from rufous.recipes.curated_batches import CuratedDataConfig
from rufous.video.write import write_video
from tests.recipes.conftest import brief

BUCKETS = BucketConfig(
    rules=(
        BucketRule(resolution="16x24", num_frames=4, reach=0.8, batch_size=2),
        BucketRule(resolution="16x24", num_frames=1, batch_size=2),
    ),
    aspects=("2:3", "3:2"),
    multiple=8,
    stills=True,
)
COLORS = ("red", "blue", "green", "white")


def write_curated(folder: Path, num_clips: int = 16) -> Path:
    """The manifest; its last row was dropped."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    clips = []
    for index in range(num_clips):
        height, width = ((20, 32), (32, 20))[index % 2]
        frames = torch.randint(0, 256, (9, 3, height, width), generator=generator, dtype=torch.uint8)
        write_video(folder / f"{index}.mkv", frames, fps=8, lossless=True)
        clip = Clip(
            source=f"{index}.mkv",
            content_id=str(index),
            info={"num_frames": 9, "height": height, "width": width, "fps": 8.0},
            captions={"original": f"a {COLORS[index % 4]} circle"},
        )
        clips.append(clip)
    clips.append(Clip(source="gone.mkv").drop("probe", "no such file"))
    write_manifest(folder / "manifest.jsonl", clips)
    return folder / "manifest.jsonl"


def settings(start: Path, manifest: Path, num_steps: int, **data) -> CuratedConfig:
    """A run of a few steps."""
    return CuratedConfig(
        start=str(start),
        data=CuratedDataConfig(
            manifest=str(manifest),
            sampling=CuratedSampling(strides=(1, 2), crop="random"),
            buckets=BUCKETS,
            **data,
        ),
        train=brief(num_steps),
    )
