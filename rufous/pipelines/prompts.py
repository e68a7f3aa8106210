"""Prompts: which texts a model can read, and their embeddings as a network's conditioning."""

from collections.abc import Sequence
from typing import TypeAlias

import torch

from rufous.core.console import logger
from rufous.core.types import Conditioning
from rufous.networks.text_encoders import CLIPTokenizer, TextEncoder, WordTokenizer

Tokenizer: TypeAlias = WordTokenizer | CLIPTokenizer

MAX_PROMPT_CHARACTERS = 10_000  # far above what any text tower reads; longer is a wrong file, not a prompt
_SHOWN_CHARACTERS = 60

_log = logger(__name__)


def check_prompt(
    prompt: str, tokenizer: Tokenizer, context_length: int, *, may_be_empty: bool = False
) -> None:
    """Refuse a prompt that the model cannot read; warn if CLIP's tokenizer is going to cut it.

    Args:
        prompt: One text.
        tokenizer: The model's.
        context_length: Tokens that its text encoder reads, the two that mark start and end included.
        may_be_empty: True for a negative prompt, whose empty text means no condition.

    Raises:
        ValueError: Empty, longer than ``MAX_PROMPT_CHARACTERS``, or more words than a word tokenizer fits.
    """
    if not prompt.strip() and not may_be_empty:
        raise ValueError(f"prompt={prompt!r} is empty: say what the clip shows, for example 'a red circle'")
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise ValueError(
            f"prompt={shortened(prompt)} has {len(prompt):,} characters: "
            f"use at most {MAX_PROMPT_CHARACTERS:,}; {context_length} tokens are read"
        )
    count = _count_tokens(prompt, tokenizer)
    if count <= context_length:
        return
    if isinstance(tokenizer, CLIPTokenizer):
        _log.warning(
            "prompt %s has %d tokens: the last %d are cut, as this model reads %d",
            shortened(prompt),
            count,
            count - context_length,
            context_length,
        )
        return
    raise ValueError(
        f"prompt={shortened(prompt)} has {count - 2} words: use at most {context_length - 2}"  # start and end
    )


def encode_prompts(prompts: Sequence[str], tokenizer: Tokenizer, text_encoder: TextEncoder) -> Conditioning:
    """Embeddings of every token of every prompt, on the text encoder's device.

    ``prompt_mask`` is set for a word tokenizer; networks that read CLIP were trained on the padding too, so
    they get none. Training recipes call this as well, so that training and sampling agree.

    Args:
        prompts: At least one; ``""`` is the empty condition of classifier-free guidance.
        tokenizer: The model's.
        text_encoder: The model's.

    Returns:
        ``prompt_embeds`` [b s d] and ``prompt_mask`` [b s] (True where a token counts) or None.
    """
    device = text_encoder.token_embedding.weight.device
    ids, mask = tokenizer.encode(prompts, text_encoder.config.context_length)
    with torch.no_grad():
        embeds = text_encoder(ids.to(device))
    reads_padding = isinstance(tokenizer, CLIPTokenizer)
    return Conditioning(prompt_embeds=embeds, prompt_mask=None if reads_padding else mask.to(device))


def shortened(prompt: str) -> str:
    """The start of a prompt in quotes, on one line, for messages."""
    text = prompt if len(prompt) <= _SHOWN_CHARACTERS else prompt[:_SHOWN_CHARACTERS] + "..."
    return repr(text)


def _count_tokens(prompt: str, tokenizer: Tokenizer) -> int:
    longest = 4 * len(prompt) + 2  # a character has at most four bytes, each at most one token
    _, mask = tokenizer.encode([prompt], longest)
    return int(mask.sum())
