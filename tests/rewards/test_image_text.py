from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from rufous.core.errors import CheckpointError, ConfigError
from rufous.networks.text_encoders import WordTokenizer
from rufous.perception.clip import CLIP
from rufous.rewards import load_reward
from rufous.rewards.image_text import PUBLISHED_CLIPS, ImageTextReward, published_clip
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


BYTES = replace(TINY_CLIP, text=replace(TINY_CLIP.text, vocab_size=514))  # of the fixture's tokenizer
WORDS = ["red", "a fox"]


@pytest.mark.parametrize(
    ("name", "sees_margins"), [("clip_l_14", False), ("hpsv2.1", True), ("pickscore", False)]
)
def test_a_published_clip_sees_the_whole_frame_or_its_middle(
    name, sees_margins, tokenizer_folder, tmp_path, monkeypatch
):
    published = PUBLISHED_CLIPS[name]
    fit = published.config.preprocessing.fit
    tiny = replace(BYTES, preprocessing=replace(BYTES.preprocessing, fit=fit))
    monkeypatch.setitem(PUBLISHED_CLIPS, name, replace(published, config=tiny))
    path = tmp_path / "model.safetensors"
    save_file(randomize(CLIP(BYTES)).model.state_dict(), path)
    video = torch.nn.functional.pad(noise(size=32), (16, 16))  # 32 x 64: the margins are gray
    other = torch.nn.functional.pad(noise(size=32), (16, 16), value=0.9)
    reward = published_clip(name, path, tokenizer=tokenizer_folder)
    assert reward.name == name
    is_same = torch.allclose(reward.score(video, WORDS), reward.score(other, WORDS), atol=1e-4)
    assert is_same is not sees_margins


def test_a_published_clip_with_another_tokenizer_is_refused(tokenizer_folder, tmp_path, monkeypatch):
    tiny = replace(PUBLISHED_CLIPS["pickscore"], config=TINY_CLIP)
    monkeypatch.setitem(PUBLISHED_CLIPS, "pickscore", tiny)
    path = tmp_path / "other.safetensors"
    save_file(CLIP(TINY_CLIP).model.state_dict(), path)
    with pytest.raises(ValueError, match=r"pickscore: the tokenizer has 514 ids, .* embeds 11"):
        published_clip("pickscore", path, tokenizer=tokenizer_folder)


@pytest.mark.parametrize(
    ("name", "file", "url"),
    [
        ("clip_l_14", "model.safetensors", "openai/clip-vit-large-patch14"),
        ("hpsv2.1", "HPS_v2.1_compressed.pt", "xswu/HPSv2"),
        ("pickscore", "model.safetensors", "yuvalkirstain/PickScore_v1"),
    ],
)
def test_missing_weights_name_file_places_and_address(name, file, url, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args, **kwargs: None)
    with pytest.raises(CheckpointError) as error:
        load_reward(name)
    message = str(error.value)
    assert f"{file} is missing: looked for {tmp_path}/.cache/rufous/weights/" in message
    assert f"https://huggingface.co/{url}" in message


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


def test_what_does_not_fit_is_refused(pair):
    with pytest.raises(ConfigError, match="looks: the tokenizer has 5 ids"):
        ImageTextReward("looks", pair, WordTokenizer(["a"]))
    with pytest.raises(ValueError, match="slice_frames=0"):
        ImageTextReward("looks", pair, TOKENIZER, slice_frames=0)
    with pytest.raises(ValueError, match="looks: 2 clips need as many prompts"):
        ImageTextReward("looks", pair, TOKENIZER).score(noise(), ["a red circle"])
    with pytest.raises(ValueError, match="7 words do not fit"):
        ImageTextReward("looks", pair, TOKENIZER).score(noise(count=1), ["a " * 7])
