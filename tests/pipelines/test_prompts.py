"""Prompts: what is refused, what is cut with a warning, and what the network is told."""

import json
import logging

import pytest
import torch

from rufous.networks.text_encoders import CLIPTokenizer
from rufous.pipelines import TextToVideoPipeline
from rufous.pipelines.prompts import check_prompt, encode_prompts, shortened


@pytest.fixture(scope="session")
def clip_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    """CLIP's tokenizer with a vocabulary of single letters."""
    folder = tmp_path_factory.mktemp("clip")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = ["ab", *letters, *(f"{each}</w>" for each in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\na b\n")
    return CLIPTokenizer(folder)


def test_an_empty_prompt_is_refused_but_an_empty_negative_prompt_is_not(tiny_pipeline: TextToVideoPipeline):
    tokenizer = tiny_pipeline.tokenizer
    with pytest.raises(ValueError, match="prompt='  ' is empty"):
        check_prompt("  ", tokenizer, 24)
    check_prompt("", tokenizer, 24, may_be_empty=True)


def test_a_megabyte_is_refused_by_its_length_without_repeating_it(tiny_pipeline: TextToVideoPipeline):
    with pytest.raises(ValueError, match=r"has 1,000,000 characters: use at most 10,000") as caught:
        check_prompt("x" * 1_000_000, tiny_pipeline.tokenizer, 24)
    assert len(str(caught.value)) < 200


def test_too_many_words_are_counted(tiny_pipeline: TextToVideoPipeline):
    check_prompt("red " * 22, tiny_pipeline.tokenizer, 24)
    with pytest.raises(ValueError, match=r"has 23 words: use at most 22"):
        check_prompt("red " * 23, tiny_pipeline.tokenizer, 24)


def test_clip_cuts_long_prompts_with_a_warning(
    clip_tokenizer: CLIPTokenizer, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        check_prompt("c d e", clip_tokenizer, 8)
        assert not caplog.records
        check_prompt("c d e f g h i j", clip_tokenizer, 8)
    assert "has 10 tokens: the last 2 are cut" in caplog.text


def test_the_mask_marks_words_for_a_word_tokenizer(tiny_pipeline: TextToVideoPipeline):
    cond = encode_prompts(["a red circle", ""], tiny_pipeline.tokenizer, tiny_pipeline.text_encoder)
    assert cond.prompt_embeds is not None
    assert cond.prompt_mask is not None
    assert cond.prompt_embeds.shape == (2, 24, 8)
    assert cond.prompt_mask.sum(dim=1).tolist() == [5, 2]  # start and end count


def test_networks_on_clip_read_the_padding_too(
    tiny_pipeline: TextToVideoPipeline, clip_tokenizer: CLIPTokenizer
):
    cond = encode_prompts(["c d"], clip_tokenizer, tiny_pipeline.text_encoder)
    assert cond.prompt_mask is None
    assert isinstance(cond.prompt_embeds, torch.Tensor)


def test_messages_show_the_start_of_a_prompt_on_one_line():
    assert shortened("a\nb") == "'a\\nb'"
    assert len(shortened("x" * 500)) < 70
