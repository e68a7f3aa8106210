"""Every reward by its name."""

import functools
from collections.abc import Callable

import torch

from rufous.rewards.image_text import PUBLISHED_CLIPS, published_clip
from rufous.rewards.reward import Reward
from rufous.rewards.video_text import viclip
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
    if name not in REWARDS:
        raise ValueError(f"no reward {name!r}: use {', '.join(REWARDS)}")
    return REWARDS[name](device=device)
