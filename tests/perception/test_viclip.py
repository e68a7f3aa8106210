from dataclasses import replace

import pytest
import torch

from rufous.core.errors import ConfigError
from rufous.perception.preprocessing import Preprocessing
from rufous.perception.viclip import ViCLIP, ViCLIPConfig, from_published_names
from tests.perception.tiny_towers import TINY_VICLIP, TOKENIZER, frames, randomize

# that a one-frame tower equals transformers' CLIP is shown in test_clip.py


@pytest.fixture(scope="module")
def viclip():
    return randomize(ViCLIP(TINY_VICLIP))


def clip(size=32, count=2, seed=0):
    return frames(4 * count, size, size, seed).unflatten(0, (count, 4)).transpose(1, 2)


def test_sizes_are_the_published_ones():
    with torch.device("meta"):
        network = ViCLIP(ViCLIPConfig())
    counts = [
        (sum(tensor.numel() for tensor in tower.state_dict().values()), len(tower.state_dict()))
        for tower in (network.vision_encoder, network.text_encoder)
    ]
    assert counts == [(303_974_400, 297), (123_615_744, 149)]


@torch.no_grad()
def test_frames_tell_their_time_by_their_position_alone(viclip):
    video = clip()
    assert not torch.allclose(viclip.encode_video(video), viclip.encode_video(video.flip(2)), atol=1e-4)
    timeless = randomize(ViCLIP(TINY_VICLIP))
    timeless.vision_encoder.temporal_positional_embedding.zero_()
    torch.testing.assert_close(timeless.encode_video(video), timeless.encode_video(video.flip(2)))


@torch.no_grad()
def test_every_frame_counts_and_clips_do_not_see_each_other(viclip):
    video = clip()
    embeddings = viclip.encode_video(video)
    for frame in range(4):
        changed = video.clone()
        changed[0, :, frame] = 0
        after = viclip.encode_video(changed)
        assert not torch.allclose(after[0], embeddings[0], atol=1e-4)
        torch.testing.assert_close(after[1], embeddings[1])


@torch.no_grad()
def test_prompts_are_unit_vectors_of_the_same_space(viclip):
    text = viclip.encode_text(*TOKENIZER.encode(["a red circle", "a blue square"], 8))
    assert text.shape == viclip.encode_video(clip()).shape
    torch.testing.assert_close(text.norm(dim=1), torch.ones(2))


def test_checkpointing_changes_no_gradient(viclip):
    video = clip(48).requires_grad_()
    gradients = []
    for checkpointed in (False, True):
        viclip.vision_encoder.gradient_checkpointing = checkpointed
        (gradient,) = torch.autograd.grad(viclip.encode_video(video)[:, 0].sum(), video)
        gradients.append(gradient)
    viclip.vision_encoder.gradient_checkpointing = False
    torch.testing.assert_close(gradients[0], gradients[1])
    assert gradients[0].abs().amax(dim=(0, 1, 3, 4)).gt(0).all()


def test_another_number_of_frames_is_refused(viclip):
    with pytest.raises(ValueError, match="3 frames do not fit: this ViCLIP reads exactly 4"):
        viclip.encode_video(clip()[:, :, :3])


def test_the_published_temperature_is_no_weight(viclip):
    tensors = {**viclip.state_dict(), "temp": torch.tensor(0.01)}
    viclip.load_state_dict(from_published_names(tensors), strict=True)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="multiple of heads"):
        replace(TINY_VICLIP, heads=5)
    with pytest.raises(ConfigError, match="use a multiple of patch_size=8"):
        replace(TINY_VICLIP, preprocessing=Preprocessing(size=30))
