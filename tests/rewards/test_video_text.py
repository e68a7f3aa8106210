import pytest
import torch

from rufous.core.errors import ConfigError
from rufous.core.randomness import generator_from
from rufous.networks.text_encoders import WordTokenizer
from rufous.perception.viclip import ViCLIP
from rufous.rewards import Mixture, Weighted
from rufous.rewards.video_text import VICLIP_L_14, VideoTextReward
from tests.perception.tiny_towers import TINY_VICLIP, TOKENIZER, randomize
from tests.rewards.clips import PROMPTS, noise


def test_the_score_is_the_cosine_of_clip_and_prompt(pair):
    video = noise()
    with torch.no_grad():
        text = pair.encode_text(*TOKENIZER.encode(PROMPTS, 8))
        expected = torch.cosine_similarity(pair.encode_video(video), text)
    torch.testing.assert_close(VideoTextReward("clip", pair, TOKENIZER).score(video, PROMPTS), expected)


@pytest.mark.parametrize("make", [lambda pair: pair, lambda pair: randomize(ViCLIP(TINY_VICLIP))])
def test_gradients_reach_every_frame_and_no_weight(pair, make):
    network = make(pair).train()
    reward = VideoTextReward("clip", network, TOKENIZER)
    video = (0.9 * noise(num_frames=4, size=32)).requires_grad_()
    reward.score(video, PROMPTS).sum().backward()
    assert video.grad.isfinite().all()
    assert video.grad.abs().amax(dim=(1, 3, 4)).gt(0).all()
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())
    assert not network.training


def test_a_mixture_gives_a_model_the_frames_it_reads():
    reward = VideoTextReward("viclip", randomize(ViCLIP(TINY_VICLIP)), TOKENIZER)
    video = noise(num_frames=9, size=32)
    mixture = Mixture([Weighted(reward=reward, num_frames=4, frames="stride")])
    assert mixture.score(video, PROMPTS, generator_from(0)).total.shape == (2,)
    with pytest.raises(ValueError, match="9 frames do not fit: this ViCLIP reads exactly 4"):
        reward.score(video, PROMPTS)


def test_frames_between_those_it_reads_do_not_count(pair):
    reward = VideoTextReward("clip", pair, TOKENIZER, frame_stride=2)
    video = noise(num_frames=5)
    expected = VideoTextReward("clip", pair, TOKENIZER).score(video[:, :, [0, 2, 4]], PROMPTS)
    torch.testing.assert_close(reward.score(video, PROMPTS), expected)
    with pytest.raises(ValueError, match="frame_stride=0"):
        VideoTextReward("clip", pair, TOKENIZER, frame_stride=0)


def test_a_tokenizer_that_does_not_fit_is_refused(pair):
    with pytest.raises(ConfigError, match="clip: the tokenizer has 5 ids"):
        VideoTextReward("clip", pair, WordTokenizer(["a"]))


def test_the_large_model_recomputes_its_activations():
    assert VICLIP_L_14.gradient_checkpointing
    assert VICLIP_L_14.num_frames == 8
