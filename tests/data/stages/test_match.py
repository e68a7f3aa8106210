"""The match stage on tiny random weights."""

import functools

import pytest
import torch

from rufous.data import published_models
from rufous.data.stages import match
from rufous.data.stages.match import Match
from rufous.perception.prompts import encode_prompts
from rufous.video.frames import from_uint8
from tests.data.tiny_clips import clip_of, noise
from tests.data.tiny_weights import write_clip
from tests.perception.tiny_towers import TEXT, TINY_CLIP, TOKENIZER

FRAMES = noise(9)


@pytest.fixture
def stage(tmp_path, monkeypatch):
    match._networks.cache_clear()
    monkeypatch.setattr(match, "load_clip", functools.partial(published_models.load_clip, config=TINY_CLIP))
    monkeypatch.setattr(match, "load_clip_tokenizer", lambda config, folder: TOKENIZER)
    return functools.partial(Match, clip_file=str(write_clip(tmp_path)), device="cpu")


def cosines(stage, numbers, caption):
    tower = published_models.load_clip(stage.clip_file, config=TINY_CLIP)
    text = encode_prompts(
        tower, TOKENIZER, [caption], context_length=TEXT.context_length, device=torch.device("cpu")
    )
    images = tower.encode_image(from_uint8(torch.from_numpy(FRAMES[numbers]).permute(0, 3, 1, 2)))
    return (images @ text.T)[:, 0].detach()


def test_the_score_is_a_hundred_times_the_cosine_of_the_middle_frame(stage):
    clip = clip_of(FRAMES, num_full=9, captions={"original": "a red circle"})
    (scored,) = stage().process(clip)
    assert scored.scores["match"] == pytest.approx(
        100 * cosines(stage(), [4], "a red circle").item(), rel=1e-3
    )


def test_all_frames_may_count_and_the_caption_is_chosen(stage):
    clip = clip_of(FRAMES, num_full=9, captions={"original": "a red circle", "rewritten": "a blue square"})
    mean = cosines(stage(), list(range(9)), "a blue square").mean().item()
    assert stage(frames="mean").process(clip)[0].scores["match"] == pytest.approx(100 * mean, rel=1e-3)
    first, best = (stage(caption=kind).process(clip)[0].scores["match"] for kind in ("original", "best"))
    assert first == pytest.approx(100 * cosines(stage(), [4], "a red circle").item(), rel=1e-3)
    assert first != best


def test_a_clip_without_a_caption_says_so(stage):
    with pytest.raises(ValueError, match="has no caption of the kind rewritten or described or original"):
        stage().process(clip_of(FRAMES))


def test_what_is_missing_is_told_before_a_run(stage, tmp_path):
    assert "vocab.json is missing" in (stage(tokenizer=str(tmp_path)).missing() or "")
    assert "is missing: looked for" in (
        stage(clip_file=str(tmp_path / "model.safetensors" / "x")).missing() or ""
    )
