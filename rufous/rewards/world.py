"""The world's own rewards: the image head and the video head of one small model, ``world-video-text``."""

from pathlib import Path

import torch

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component
from rufous.networks.video_text import VideoTextModel
from rufous.perception.prompts import Tokenizer
from rufous.rewards.image_text import ImageTextReward
from rufous.rewards.video_text import VideoTextReward

WORLD_VIDEO_TEXT = "world-video-text"


def world_rewards(
    release: str | Path = WORLD_VIDEO_TEXT, *, device: torch.device | str = "cpu"
) -> tuple[ImageTextReward, VideoTextReward]:
    """Both heads over one network in float32: looks of single frames, and looks and motion of the clip.

    Raises:
        CheckpointError: No such release, or one without ``video_text`` and ``tokenizer``.
    """
    folder = find_release(release)
    network: VideoTextModel = load_component(folder, "video_text", dtype=torch.float32, device=device)
    tokenizer: Tokenizer = load_component(folder, "tokenizer")
    stride = frame_stride_of(folder)
    return (
        ImageTextReward("world_image_text", network, tokenizer),
        VideoTextReward("world_video_text", network, tokenizer, frame_stride=stride),
    )


def frame_stride_of(release: str | Path) -> int:
    """The model was trained on every so-manieth frame of a clip; whoever shows it clips must do the same.

    From the settings in the release's manifest (``frame_stride`` of the recipe ``world_video_text``), else 1.
    """
    return int(Manifest.load(find_release(release)).config.get("frame_stride", 1))


def world_image_text(
    release: str | Path = WORLD_VIDEO_TEXT, *, device: torch.device | str = "cpu"
) -> ImageTextReward:
    """The image head alone; arguments and errors as ``world_rewards``."""
    return world_rewards(release, device=device)[0]


def world_video_text(
    release: str | Path = WORLD_VIDEO_TEXT, *, device: torch.device | str = "cpu"
) -> VideoTextReward:
    """The video head alone; arguments and errors as ``world_rewards``."""
    return world_rewards(release, device=device)[1]
