import pytest
import torch

from rufous.checkpoints import Manifest, save_release
from rufous.core.errors import CheckpointError, ConfigError
from rufous.networks.text_encoders import WordTokenizer
from rufous.perception.clip import CLIP
from rufous.rewards.image_text import ImageTextReward, world_image_text
from tests.perception.tiny_towers import TINY_CLIP, TOKENIZER, randomize
from tests.rewards.clips import PROMPTS, noise


def test_the_score_is_the_mean_cosine_of_the_frames(pair):
    reward = ImageTextReward("looks", pair, TOKENIZER)
    video = noise()
    with torch.no_grad():
        text = pair.encode_text(*TOKENIZER.encode(PROMPTS, 8))
        cosines = [torch.cosine_similarity(pair.encode_image(video[:, :, f]), text) for f in range(6)]
    torch.testing.assert_close(reward.score(video, PROMPTS), torch.stack(cosines).mean(dim=0))


@pytest.mark.parametrize("make", [lambda pair: pair, lambda pair: randomize(CLIP(TINY_CLIP))])
def test_gradients_reach_every_pixel_and_no_weight(pair, make):
    network = make(pair).train()
    reward = ImageTextReward("looks", network, TOKENIZER)
    video = (0.9 * noise(size=32)).requires_grad_()
    reward.score(video, PROMPTS).sum().backward()
    assert video.grad.isfinite().all()
    assert (video.grad != 0).float().mean() > 0.99
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())
    assert not network.training


def test_slices_change_neither_score_nor_gradient(pair):
    results = []
    for slice_frames in (None, 1, 5):
        video = noise().requires_grad_()
        score = ImageTextReward("looks", pair, TOKENIZER, slice_frames=slice_frames).score(video, PROMPTS)
        score.sum().backward()
        results.append((score.detach(), video.grad))
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(results[0], results[2])


def test_clips_of_a_batch_do_not_see_each_other(pair):
    reward, video = ImageTextReward("looks", pair, TOKENIZER), noise()
    both, swapped = reward.score(video, PROMPTS), reward.score(video.flip(0), PROMPTS[::-1])
    torch.testing.assert_close(both, swapped.flip(0))


def test_following_the_gradient_raises_the_score(pair):
    reward = ImageTextReward("looks", pair, TOKENIZER)
    video = (0.5 * noise()).requires_grad_()
    before = reward.score(video, PROMPTS).sum()
    (gradient,) = torch.autograd.grad(before, video)
    after = reward.score((video + 0.01 * gradient / gradient.abs().max()).detach(), PROMPTS).sum()
    assert after > before


def test_the_worlds_pair_comes_from_a_release(pair, tmp_path):
    folder = tmp_path / "pair"
    save_release(folder, {"video_text": pair, "tokenizer": TOKENIZER}, Manifest(name="pair"))
    expected = ImageTextReward("looks", pair, TOKENIZER).score(noise(), PROMPTS)
    torch.testing.assert_close(world_image_text(folder).score(noise(), PROMPTS), expected)
    with pytest.raises(CheckpointError, match="no model 'nowhere'"):
        world_image_text("nowhere")


def test_what_does_not_fit_is_refused(pair):
    with pytest.raises(ConfigError, match="looks: the tokenizer has 5 ids"):
        ImageTextReward("looks", pair, WordTokenizer(["a"]))
    with pytest.raises(ValueError, match="slice_frames=0"):
        ImageTextReward("looks", pair, TOKENIZER, slice_frames=0)
    with pytest.raises(ValueError, match="looks: 2 clips need as many prompts"):
        ImageTextReward("looks", pair, TOKENIZER).score(noise(), ["a red circle"])
    with pytest.raises(ValueError, match="7 words do not fit"):
        ImageTextReward("looks", pair, TOKENIZER).score(noise(count=1), ["a " * 7])
