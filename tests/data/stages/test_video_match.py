"""The embedded video-text model as a stage."""

import shutil

import numpy as np
import pytest

from rufous.checkpoints.lookup import find_release
from rufous.core.errors import ConfigError
from rufous.data.presets import make_plan
from rufous.data.stage import settings_key
from rufous.data.stages.video_match import VideoMatch
from rufous.rewards.world import world_video_text
from rufous.video.frames import from_uint8
from rufous.world.dataset import WorldClips
from tests.data.tiny_clips import clip_of

WORLD = WorldClips(seed=77)


def scored(index, caption):
    frames = np.ascontiguousarray(WORLD[index].frames.permute(0, 2, 3, 1).numpy())
    (clip,) = VideoMatch(device="cpu").process(clip_of(frames, captions={"original": caption}))
    return clip.scores["video_match"]


def test_the_score_is_that_of_the_reward(monkeypatch):
    clip = WORLD[0]
    reward = world_video_text()
    expected = float(reward.score(from_uint8(clip.frames)[None].transpose(1, 2), [clip.caption]))
    assert scored(0, clip.caption) == pytest.approx(expected, abs=1e-4)


def test_the_caption_of_another_clip_scores_lower():
    own = [scored(i, WORLD[i].caption) for i in range(8)]
    other = [scored(i, WORLD[i + 8].caption) for i in range(8)]
    assert min(own) > 0.5
    assert np.mean(own) > np.mean(other) + 0.3


def test_what_cannot_be_scored_is_told():
    with pytest.raises(ValueError, match="no caption"):
        VideoMatch().process(clip_of(np.zeros((2, 8, 8, 3), np.uint8), captions={}))
    with pytest.raises(ConfigError, match=r"cannot run here: .*none-such"):
        make_plan(["video_match"], settings=["video_match.release=none-such"])
    assert "video_match" in make_plan(["video_match"]).stages[0].name


def test_a_release_that_is_trained_anew_scores_anew(tmp_path):
    stage = VideoMatch(release=str(tmp_path / "release"))
    keys = [settings_key(stage)]
    shutil.copytree(find_release("world-video-text"), tmp_path / "release")
    keys.append(settings_key(stage))
    weights = tmp_path / "release" / "video_text" / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"\0")
    keys.append(settings_key(stage))
    assert len(set(keys)) == 3
