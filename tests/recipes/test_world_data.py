import contextlib

import numpy as np
import pytest
import torch

from rufous.recipes.processes import Processes
from rufous.recipes.world_data import LONE_IMAGES, CaptionedLatents, WorldData, open_world_data


@pytest.fixture
def data(road) -> WorldData:
    alone = Processes(torch.device("cpu"), None)
    return open_world_data(road.latents, road.root / "latents", road.teacher.text, alone)


def test_a_batch_has_clips_their_captions_and_their_rate(data):
    with contextlib.closing(data.batches(batch_size=4, seed=0)) as source:
        batch = source.take(1)[0]
    assert batch.latents.shape == (4, 4, 4, 8, 8)
    assert batch.cond.fps.tolist() == [data.clips.fps] * 4
    read, length = data.text(list(batch.prompts), data.clips.fps), data.captions.mask.shape[1]
    assert torch.equal(batch.cond.prompt_mask, read.prompt_mask[:, :length])
    assert not read.prompt_mask[:, length:].any()
    torch.testing.assert_close(batch.cond.prompt_embeds, read.prompt_embeds[:, :length], rtol=1e-3, atol=2e-3)


def test_single_frames_are_all_frames_of_the_clips_and_know_their_place(data):
    clips, frames = (CaptionedLatents(data.clips, data.captions, number) for number in (None, 1))
    assert (len(clips), len(frames)) == (16, 16 * 4)
    clip, frame = clips[5], frames[5 * 4 + 2]
    assert torch.equal(clip.prompt_embeds, frame.prompt_embeds)
    assert clip.prompt == frame.prompt
    assert torch.equal(frame.latents, clip.latents[:, 2:3])
    assert (frame.frame_indices.tolist(), frame.clip_frames, frame.fps) == ([2.0], 4, data.clips.fps)
    assert (clip.frame_indices.tolist(), clip.clip_frames) == ([0.0, 1.0, 2.0, 3.0], 4)


def test_sparse_frames_are_evenly_spaced_from_every_start_at_a_lower_rate(data):
    clips, sparse = (CaptionedLatents(data.clips, data.captions, number) for number in (None, 2))
    assert len(sparse) == 16 * 2
    first, second = sparse[5 * 2], sparse[5 * 2 + 1]
    assert (first.frame_indices.tolist(), second.frame_indices.tolist()) == ([0.0, 2.0], [1.0, 3.0])
    assert torch.equal(second.latents, clips[5].latents[:, [1, 3]])
    assert (first.clip_frames, first.fps) == (4, data.clips.fps / 2)
    odd = CaptionedLatents(data.clips, data.captions, 3)
    assert [odd[i].frame_indices.tolist() for i in range(len(odd))] == [[0.0, 1.0, 2.0]] * 16


@pytest.mark.parametrize("number", [0, 5])
def test_more_frames_than_a_clip_has_are_refused(data, number):
    with pytest.raises(ValueError, match="1 to 4 frames"):
        CaptionedLatents(data.clips, data.captions, number)


def test_some_single_frames_are_shown_as_images_by_themselves(data):
    frames = CaptionedLatents(data.clips, data.captions, 1)
    alone = [frames[i] for i in range(len(frames)) if frames[i].clip_frames == 1]
    assert len(alone) == len(frames) / LONE_IMAGES
    assert all(example.frame_indices.tolist() == [0.0] for example in alone)


def test_clips_of_a_repeated_motion_count_more_often_with_each_of_their_captions(data):
    motions, counts = data.clips.motions, {"rotating": 3, data.clips.motions[2]: 2}
    shown = CaptionedLatents(data.clips, data.captions, None, counts)
    times = [counts.get(motion, 1) for motion in motions]
    assert len(shown) == 2 * sum(times)
    assert np.bincount(shown._shown).tolist() == times
    for index, example in enumerate(shown[i] for i in range(len(shown))):
        assert example.prompt in data.clips.captions[int(shown._shown[index // 2])]


def test_motions_are_those_of_the_scenes_and_others_are_refused(data):
    world = data.clips.config.clips
    assert data.clips.motions == [world.scene(index)[0].things[0].motion for index in range(8)]
    with pytest.raises(ValueError, match="are no motions"):
        CaptionedLatents(data.clips, data.captions, None, {"flying": 2})
