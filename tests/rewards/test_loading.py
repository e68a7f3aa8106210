import pytest

from rufous.checkpoints import Manifest, save_release
from rufous.rewards import REWARDS, Reward, load_reward
from tests.perception.tiny_towers import TOKENIZER


def test_a_reward_bears_the_name_it_is_loaded_by(pair, tmp_path, monkeypatch):
    folder = tmp_path / "pair"
    save_release(folder, {"video_text": pair, "tokenizer": TOKENIZER}, Manifest(name="pair"))
    monkeypatch.setattr("rufous.rewards.world.find_release", lambda name: folder)
    for name in ("world_image_text", "world_video_text"):
        reward = load_reward(name)
        assert isinstance(reward, Reward)
        assert reward.name == name


def test_an_unknown_reward_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match=f"no reward 'beauty': use {', '.join(REWARDS)}"):
        load_reward("beauty")
