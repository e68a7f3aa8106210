"""The world's own rewards: the image head and the video head of one small model, ``world-video-text``."""

from pathlib import Path

import torch

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.release import load_component
from rufous.checkpoints.video_text import WORLD_VIDEO_TEXT, load_video_text
from rufous.perception.prompts import Tokenizer
from rufous.rewards.image_text import ImageTextReward
from rufous.rewards.video_text import VideoTextReward


def world_rewards(
    release: str | Path = WORLD_VIDEO_TEXT, *, device: torch.device | str = "cpu"
) -> tuple[ImageTextReward, VideoTextReward]:
    """Both heads over one network in float32: looks of single frames, and looks and motion of the clip.

    Raises:
        CheckpointError: No such release, or one without ``video_text`` and ``tokenizer``.
    """
    folder = find_release(release)
    network, stride = load_video_text(folder, device=device)
    tokenizer: Tokenizer = load_component(folder, "tokenizer")
    return (
        ImageTextReward("world_image_text", network, tokenizer),
        VideoTextReward("world_video_text", network, tokenizer, frame_stride=stride),
    )


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
