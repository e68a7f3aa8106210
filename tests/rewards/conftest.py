"""Tiny real networks behind the rewards, and a tokenizer in CLIP's format."""

import pytest

from rufous.networks.video_text import VideoTextConfig, VideoTextModel
from tests.checkpoints.conftest import tokenizer_folder
from tests.perception.tiny_towers import TEXT, randomize

__all__ = ["tokenizer_folder"]

TINY_PAIR = VideoTextConfig(
    text=TEXT,
    image_size=16,
    channels=(4, 4, 4, 4),
    norm_groups=2,
    frame_width=8,
    temporal_layers=1,
    temporal_heads=2,
    max_frames=8,
)


@pytest.fixture
def pair() -> VideoTextModel:
    network = VideoTextModel(TINY_PAIR)
    return randomize(network, 1)  # type: ignore[return-value]
