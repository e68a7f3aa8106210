import pytest
import torch

from rufous.checkpoints import Manifest, save_release
from rufous.core.errors import CheckpointError
from rufous.rewards.image_text import ImageTextReward
from rufous.rewards.video_text import VideoTextReward
from rufous.rewards.world import world_image_text, world_rewards, world_video_text
from tests.perception.tiny_towers import TOKENIZER
from tests.rewards.clips import PROMPTS, noise


def saved(folder, pair, **settings):
    parts = {"video_text": pair, "tokenizer": TOKENIZER}
    save_release(folder, parts, Manifest(name="pair", config=settings))
    return folder


def test_both_heads_come_from_one_network_and_read_frames_as_it_was_trained(pair, tmp_path):
    images, clips = world_rewards(saved(tmp_path / "pair", pair, frame_stride=2))
    assert images.network is clips.network
    video = noise()
    expected = ImageTextReward("looks", pair, TOKENIZER).score(video, PROMPTS)
    torch.testing.assert_close(images.score(video, PROMPTS), expected)
    expected = VideoTextReward("clip", pair, TOKENIZER).score(video[:, :, ::2], PROMPTS)
    torch.testing.assert_close(clips.score(video, PROMPTS), expected)


def test_each_head_can_be_had_alone(pair, tmp_path):
    folder = saved(tmp_path / "pair", pair)
    assert world_image_text(folder).name == "world_image_text"
    assert world_video_text(folder).name == "world_video_text"
    with pytest.raises(CheckpointError, match="no model 'nowhere'"):
        world_rewards("nowhere")
