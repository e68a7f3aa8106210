import pytest
import torch

from rufous.core.errors import ConfigError
from rufous.networks.text_encoders import WordTokenizer
from rufous.perception.prompts import check_tokenizer, encode_prompts, unit
from rufous.perception.viclip import ViCLIP
from tests.perception.tiny_towers import TEXT, TINY_VICLIP, TOKENIZER, randomize


def test_a_tokenizer_of_another_vocabulary_is_refused():
    check_tokenizer(TOKENIZER, TEXT, name="mine")
    with pytest.raises(ConfigError, match="mine: the tokenizer has 5 ids, but the text tower embeds 11"):
        check_tokenizer(WordTokenizer(["a"]), TEXT, name="mine")


def test_prompts_become_unit_vectors_without_a_graph():
    network = randomize(ViCLIP(TINY_VICLIP))
    embeddings = encode_prompts(
        network, TOKENIZER, ["a red circle", "a blue square"], context_length=8, device=torch.device("cpu")
    )
    assert embeddings.shape == (2, 12)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))
    assert not embeddings.requires_grad
    assert not torch.allclose(embeddings[0], embeddings[1], atol=1e-3)


def test_half_precision_does_not_overflow_in_the_norm():
    large = torch.full((1, 4), 30_000.0, dtype=torch.float16)
    torch.testing.assert_close(unit(large), torch.full((1, 4), 0.5))
