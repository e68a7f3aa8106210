from dataclasses import replace

import torch

from rufous.recipes.processes import Processes
from rufous.recipes.video_batches import alternating_videos, open_videos
from rufous.video.frames import from_uint8

CPU = torch.device("cpu")


def test_a_batch_has_encoded_clips_with_their_own_fps_and_captions(miniature):
    data = open_videos(miniature.data.records(), miniature.teacher, Processes(CPU, None))
    with alternating_videos(miniature.data, data, seed=1) as batches:
        first, second = batches.take(2)
    assert (first.latents.shape, second.latents.shape) == ((2, 4, 4, 4, 4), (2, 4, 6, 4, 4))
    assert first.latents.dtype == torch.float32
    assert not first.latents.requires_grad
    assert set(first.cond.fps.tolist() + second.cond.fps.tolist()) <= {8.0, 4.0}
    assert all(prompt.startswith("a red circle number") for prompt in first.prompts)
    embeds = data.text(list(first.prompts), 1.0).prompt_embeds
    torch.testing.assert_close(first.cond.prompt_embeds, embeds)


def test_latents_are_those_of_the_frames_that_were_drawn(miniature):
    data = open_videos(miniature.data.records(), miniature.teacher, Processes(CPU, None))
    source = data.batches(miniature.data.sets[0], seed=1)
    batch = source.take(1)[0]
    clips = {clip.caption: clip for clip in (source._dataset[index] for index in range(4))}
    for prompt, latents in zip(batch.prompts, batch.latents, strict=True):
        frames = from_uint8(clips[prompt].frames)[None].transpose(1, 2)
        expected = data.autoencoder.encode_video(frames)[0]
        assert torch.nn.functional.cosine_similarity(latents.flatten(), expected.flatten(), dim=0) > 0.99
    source.close()


def test_the_empty_caption_is_read_by_the_same_tower(miniature):
    data = open_videos(miniature.data.records(), miniature.teacher, Processes(CPU, None))
    assert data.empty.fps is None
    assert data.empty.prompt_embeds.shape[0] == 1


def test_a_set_may_vary_the_lengths_of_its_batches(miniature):
    data = open_videos(miniature.data.records(), miniature.teacher, Processes(CPU, None))
    first, second = miniature.data.sets
    config = replace(miniature.data, sets=(first, replace(second, shortest=3)))
    with alternating_videos(config, data, seed=1) as batches:
        lengths = [batch.latents.shape[2] for batch in batches.take(16)]
    assert set(lengths[::2]) == {4}
    assert set(lengths[1::2]) <= {3, 4, 5, 6}
    assert len(set(lengths[1::2])) > 1
