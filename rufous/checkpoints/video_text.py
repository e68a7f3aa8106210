"""The video-text model of a release, and how its training read clips."""

from pathlib import Path

import torch

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component
from rufous.networks.video_text import VideoTextModel

WORLD_VIDEO_TEXT = "world-video-text"


def load_video_text(
    release: str | Path = WORLD_VIDEO_TEXT, *, device: torch.device | str = "cpu"
) -> tuple[VideoTextModel, int]:
    """The model in float32, and the frame stride of its training.

    Raises:
        CheckpointError: No such release, or one without ``video_text``.
    """
    folder = find_release(release)
    model: VideoTextModel = load_component(folder, "video_text", dtype=torch.float32, device=device)
    return model, frame_stride_of(folder)


def frame_stride_of(release: str | Path) -> int:
    """The model was trained on every so-manieth frame of a clip; whoever shows it clips must do the same.

    From the settings in the release's manifest (``frame_stride`` of the recipe ``world_video_text``), else 1.
    """
    return int(Manifest.load(find_release(release)).config.get("frame_stride", 1))
