import pytest

from rufous.checkpoints import Manifest, save_release
from rufous.checkpoints.lookup import find_release
from rufous.core.errors import CheckpointError
from rufous.rewards import REWARDS, Reward, load_reward
from rufous.rewards.loading import reward_place
from tests.perception.tiny_towers import TOKENIZER


def test_a_reward_bears_the_name_it_is_loaded_by(pair, tmp_path, monkeypatch):
    folder = tmp_path / "pair"
    save_release(folder, {"video_text": pair, "tokenizer": TOKENIZER}, Manifest(name="pair"))
    monkeypatch.setattr("rufous.rewards.world.find_release", lambda name: folder)
    for name in ("world_image_text", "world_video_text"):
        reward = load_reward(name)
        assert isinstance(reward, Reward)
        assert reward.name == name


def test_a_reward_is_read_from_its_published_file_or_from_the_worlds_release(tmp_path, monkeypatch):
    monkeypatch.setattr("rufous.checkpoints.weights.default_cache", lambda: tmp_path)
    with pytest.raises(CheckpointError, match="ViClip-InternVid-10M-FLT"):
        reward_place("viclip")
    file = tmp_path / "weights" / "HPSv2" / "HPS_v2.1_compressed.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    assert reward_place("hpsv2.1") == file
    assert reward_place("world_video_text") == find_release("world-video-text")


def test_an_unknown_reward_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match=f"no reward 'beauty': use {', '.join(REWARDS)}"):
        load_reward("beauty")
