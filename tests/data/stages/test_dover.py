"""The DOVER stage on tiny random weights and a real file."""

import functools
import logging

import pytest
import torch

from rufous.data import published_models
from rufous.data.clip import Clip
from rufous.data.media import ClipMedia
from rufous.data.stage import Licensed
from rufous.data.stages import dover
from rufous.data.stages.dover import Dover, samples
from rufous.perception.dover import aesthetic_frames, technical_frames, whole_frame
from rufous.video import read_video, write_video
from tests.data.tiny_weights import write_dover
from tests.perception.tiny_dover import TINY_DOVER


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """72 frames whose grey level is 3 times their number, with a texture."""
    grey = 3 * torch.arange(72)[:, None, None, None].expand(-1, 3, 96, 128)
    texture = torch.arange(128) % 8 * 4
    return write_video(
        tmp_path_factory.mktemp("clips") / "a.mkv",
        (grey + texture).clamp(max=255).to(torch.uint8),
        fps=24,
        lossless=True,
    )


@pytest.fixture
def stage(tmp_path, monkeypatch):
    dover._network.cache_clear()
    monkeypatch.setattr(
        dover, "load_dover", functools.partial(published_models.load_dover, config=TINY_DOVER)
    )
    return functools.partial(Dover, weights=str(write_dover(tmp_path / "DOVER.pth")), device="cpu")


def clip(file, **place):
    return Clip(source=file.name, content_id="abc", media=ClipMedia(file, **place), **place)


def test_the_branches_see_the_frames_of_the_clip(file):
    place = {"start_s": 1.0, "end_s": 2.5}
    media, generator = ClipMedia(file, **place), torch.Generator().manual_seed(0)
    mosaics, frames = samples(media, generator)
    again = torch.Generator().manual_seed(0)
    technical, aesthetic = technical_frames(36, again), aesthetic_frames(36, again)
    video, _ = read_video(file)
    for place_in_branch, number in ((0, technical[0]), (50, technical[50])):
        grey = video[24 + number].float()
        assert abs(mosaics[place_in_branch].float().min() - grey.min()) <= 1
    assert torch.equal(frames[7], whole_frame(video[24 + aesthetic[7]]))


def test_scores_are_qualities_and_the_same_every_time(file, stage, caplog):
    with caplog.at_level(logging.WARNING):
        (first,) = stage().process(clip(file))
        (second,) = stage().process(clip(file))
    assert first.scores == second.scores
    assert set(first.scores) == {"dover", "dover_technical", "dover_aesthetic"}
    assert all(0.0 <= score <= 1.0 for score in first.scores.values())
    assert caplog.text.count("non-commercial") == 1
    assert isinstance(stage(), Licensed)
    assert "non-commercial" in Dover.licence
    assert stage().missing() is None
    assert "DOVER.pth is missing" in (Dover(weights="none.pth").missing() or "")


def test_a_clip_without_frames_says_so(file, stage):
    with pytest.raises(ValueError, match=r"no frame between 100\.0 s"):
        stage().process(clip(file, start_s=100.0))
