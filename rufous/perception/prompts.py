"""Prompts to embeddings by a text tower and its tokenizer, and whether the two belong together.

Shapes: b batch, e embedding features, s text tokens.
"""

from collections.abc import Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rufous.core.errors import ConfigError
from rufous.networks.text_encoders import CLIPTokenizer, TextEncoderConfig, WordTokenizer

Tokenizer: TypeAlias = WordTokenizer | CLIPTokenizer


@runtime_checkable
class TextNetwork(Protocol):
    """A network that embeds token ids; every model of this package and ``VideoTextModel`` are."""

    def encode_text(self, ids: Int[Tensor, "b s"], mask: Bool[Tensor, "b s"]) -> Float[Tensor, "b e"]:
        """Unit embeddings; ``mask`` is True up to the end token."""
        ...


def check_tokenizer(tokenizer: Tokenizer, config: TextEncoderConfig, *, name: str) -> None:
    """Refuse a tokenizer that a text tower was not trained with.

    Raises:
        ConfigError: It has another number of ids than the tower embeds.
    """
    if len(tokenizer) != config.vocab_size:
        raise ConfigError(
            f"{name}: the tokenizer has {len(tokenizer)} ids, but the text tower embeds {config.vocab_size}: "
            "use the tokenizer that came with these weights"
        )


@torch.no_grad()
def encode_prompts(
    network: TextNetwork,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    *,
    context_length: int,
    device: torch.device,
) -> Float[Tensor, "b e"]:
    """Unit embeddings of prompts, without gradients.

    Raises:
        ValueError: A prompt has more words than a word tokenizer fits; CLIP's cuts them, as published.
    """
    ids, mask = tokenizer.encode(prompts, context_length)
    return network.encode_text(ids.to(device), mask.to(device))


def unit(x: Float[Tensor, "*batch e"]) -> Float[Tensor, "*batch e"]:
    """Vectors of length 1, in at least float32: squares of half precision overflow."""
    return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1)
