"""The aesthetic stage on tiny random weights."""

import functools
import pickle

import pytest
import torch

from rufous.core.errors import CheckpointError
from rufous.data import published_models
from rufous.data.stage import Stage
from rufous.data.stages import aesthetic
from rufous.data.stages.aesthetic import Aesthetic
from rufous.video.frames import from_uint8
from tests.data.tiny_clips import clip_of, noise
from tests.data.tiny_weights import EMBED_DIM, write_clip, write_head
from tests.perception.tiny_towers import TINY_CLIP


@pytest.fixture
def stage(tmp_path, monkeypatch):
    aesthetic._networks.cache_clear()
    monkeypatch.setattr(
        aesthetic, "load_clip", functools.partial(published_models.load_clip, config=TINY_CLIP)
    )
    monkeypatch.setattr(
        aesthetic,
        "load_aesthetic_head",
        functools.partial(published_models.load_aesthetic_head, embed_dim=EMBED_DIM),
    )
    return lambda head, **settings: Aesthetic(
        head=head,
        clip_file=str(write_clip(tmp_path)),
        head_file=str(write_head(tmp_path / f"{head}.pth", is_mlp=head == "mlp")),
        device="cpu",
        **settings,
    )


@pytest.mark.parametrize("head", ["mlp", "linear"])
def test_the_score_is_the_mean_over_the_frames_at_the_points(stage, head):
    frames = noise(9)
    (clip,) = stage(head).process(clip_of(frames, num_full=9))
    tower = published_models.load_clip(stage(head).clip_file, config=TINY_CLIP)
    network = published_models.load_aesthetic_head(head, stage(head).head_file, embed_dim=EMBED_DIM)
    chosen = from_uint8(torch.from_numpy(frames[[1, 4, 7]]).permute(0, 3, 1, 2))
    wanted = network(tower.encode_image(chosen)).mean().item()
    assert clip.scores["aesthetic"] == pytest.approx(wanted, rel=1e-5)


def test_other_frames_are_another_score(stage):
    clip = clip_of(noise(9), num_full=9)
    one, other = (stage("mlp", points=points).process(clip)[0] for points in ((0.1,), (0.9,)))
    assert one.scores["aesthetic"] != other.scores["aesthetic"]


def test_it_is_a_stage_that_travels(stage):
    assert isinstance(stage("mlp"), Stage)
    assert pickle.loads(pickle.dumps(stage("mlp"))) == stage("mlp")


def test_missing_weights_stop_with_where_to_get_them(stage, tmp_path):
    lacking = Aesthetic(clip_file=str(tmp_path), head_file=str(tmp_path / "none.pth"))
    with pytest.raises(CheckpointError, match="Get it from https"):
        lacking.process(clip_of(noise(9)))
    assert "Get it from https" in (lacking.missing() or "")
    assert stage("mlp").missing() is None
