"""Every reward by its name."""

import functools
from collections.abc import Callable
from pathlib import Path

import torch

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.video_text import WORLD_VIDEO_TEXT
from rufous.checkpoints.weights import find_weights
from rufous.rewards.image_text import PUBLISHED_CLIPS, published_clip
from rufous.rewards.reward import Reward
from rufous.rewards.video_text import VICLIP_FILE, viclip
from rufous.rewards.world import world_image_text, world_video_text

REWARDS: dict[str, Callable[..., Reward]] = {
    "world_image_text": world_image_text,
    "world_video_text": world_video_text,
    **{name: functools.partial(published_clip, name) for name in PUBLISHED_CLIPS},
    "viclip": viclip,
}
"""Functions that load a reward. Each takes ``device``, and first the release or file to load it from."""


def load_reward(name: str, *, device: torch.device | str = "cpu") -> Reward:
    """A reward with its frozen weights on ``device``.

    Raises:
        ValueError: No such reward; the message lists those there are.
        CheckpointError: Its weights are missing or do not fit.
    """
    _check_name(name)
    return REWARDS[name](device=device)


def reward_place(name: str) -> Path:
    """The published file, or the release, that ``load_reward`` reads a reward from.

    Raises:
        ValueError: No such reward; the message lists those there are.
        CheckpointError: It is missing.
    """
    _check_name(name)
    published = {**{each: clip.file for each, clip in PUBLISHED_CLIPS.items()}, "viclip": VICLIP_FILE}
    return find_weights(published[name]) if name in published else find_release(WORLD_VIDEO_TEXT)


def _check_name(name: str) -> None:
    if name not in REWARDS:
        raise ValueError(f"no reward {name!r}: use {', '.join(REWARDS)}")
