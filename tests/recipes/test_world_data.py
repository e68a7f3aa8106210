import pytest
import torch

from rufous.recipes.processes import Processes
from rufous.recipes.world_data import CaptionedLatents, WorldData, open_world_data


@pytest.fixture
def data(road) -> WorldData:
    alone = Processes(torch.device("cpu"), None)
    return open_world_data(road.latents, road.root / "latents", road.teacher.text, alone)


def test_a_batch_has_clips_their_captions_and_their_rate(data):
    batch = data.batches(batch_size=4, seed=0).take(1)[0]
    assert batch.latents.shape == (4, 4, 4, 8, 8)
    assert batch.cond.fps.tolist() == [data.clips.fps] * 4
    read = data.captions.fitted(data.text(list(batch.prompts), data.clips.fps))
    assert torch.equal(batch.cond.prompt_mask, read.prompt_mask)
    torch.testing.assert_close(batch.cond.prompt_embeds, read.prompt_embeds, rtol=1e-3, atol=2e-3)


def test_features_are_those_of_the_frames_and_are_made_once(road, data):
    alone = data.processes
    with_features = open_world_data(
        road.latents, road.root / "latents", road.teacher.text, alone, with_features=True
    )
    clips = with_features.batches(batch_size=4, seed=0).take(1)[0]
    images = with_features.batches(batch_size=4, seed=0, single_frames=True).take(1)[0]
    assert clips.features.shape == (4, 4, 16)
    assert images.features.shape == (4, 1, 16)
    matches = (clips.features == images.features).all(dim=-1).any(dim=1)
    assert bool(matches.all())  # the same order of clips, and one frame of each
    assert float(with_features.features.astype("float32").std()) == pytest.approx(1.0, abs=0.05)
    assert data.batches(batch_size=4, seed=0).take(1)[0].features is None


def test_the_empty_caption_is_as_long_as_the_others(data):
    assert data.empty.prompt_mask.shape == (1, data.captions.mask.shape[1])
    assert data.empty.prompt_mask.sum() == 2


def test_single_frames_are_frames_of_the_clip(data):
    encoded, captions = data.clips, data.captions
    clips, frames = (
        CaptionedLatents(encoded, captions, single_frames=False),
        CaptionedLatents(encoded, captions, single_frames=True),
    )
    assert len(clips) == len(frames) == 16
    clip, caption, *_ = clips[5]
    frame, same_caption, *_ = frames[5]
    assert torch.equal(caption, same_caption)
    assert frame.shape == (4, 1, 8, 8)
    assert any(torch.equal(frame[:, 0], clip[:, i]) for i in range(4))
