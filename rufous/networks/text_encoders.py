"""Text tower in open_clip's key names, and the tokenizers that feed it.

VideoCrafter2 reads OpenCLIP ViT-H/14's text tower: all blocks but the last, then the final norm, every token.
The same class with a small config is the text tower of the embedded world, pooled for a contrastive loss.

The tower is written here rather than wrapped: with open_clip's attribute names, the published weights (under
``cond_stage_model.model.`` in a VideoCrafter checkpoint) load strictly and need no mapping.

Source: Radford et al. 2021 (arXiv:2103.00020), section 2.4; weights of Cherti et al. 2022 (arXiv:2212.07143).

Shapes: b batch, s tokens, d features, p projected features.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rufous.core.errors import CheckpointError, ConfigError
from rufous.core.files import write_text
from rufous.networks.attention import attention
from rufous.networks.layers import call_checkpointed


@dataclass(frozen=True, kw_only=True)
class TextEncoderConfig:
    """Architecture of one text tower; the defaults are OpenCLIP ViT-H/14's."""

    vocab_size: int = 49408
    context_length: int = 77
    width: int = 1024
    heads: int = 16
    layers: int = 24
    embed_dim: int = 1024
    """Width of the pooled, projected embedding."""
    quick_gelu: bool = False
    """``x * sigmoid(1.702 x)``, which OpenAI's weights were trained with, instead of GELU."""
    layer: Literal["penultimate", "last"] = "penultimate"
    """Block after which the token embeddings are read."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass; the initial value of the attribute of that name."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"width={self.width} is no multiple of heads={self.heads}")
        if self.layers < 2 and self.layer == "penultimate":
            raise ConfigError(
                f"layers={self.layers} has no penultimate block: use at least 2, or layer='last'"
            )

    @staticmethod
    def from_reference(text_cfg: Mapping[str, Any]) -> "TextEncoderConfig":
        """The config that open_clip's ``text_cfg`` fields (and ``embed_dim``, ``quick_gelu``) describe.

        Raises:
            ConfigError: A field is unknown.
        """
        names = {"vocab_size", "context_length", "width", "heads", "layers", "embed_dim", "quick_gelu"}
        if unknown := sorted(set(text_cfg) - names):
            raise ConfigError(
                f"unknown text fields {', '.join(unknown)}: known are {', '.join(sorted(names))}"
            )
        return TextEncoderConfig(**text_cfg)


OPENCLIP_VIT_H_14 = TextEncoderConfig()


class SelfAttention(nn.Module):
    """Causal multi-head attention; parameters named as in torch's own ``MultiheadAttention``."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        """Each token sees itself and those before it."""
        joined = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = rearrange(joined, "b s (three k d) -> three b k s d", three=3, k=self.heads)
        mixed = attention(q, k, v, is_causal=True)
        return self.out_proj(rearrange(mixed, "b k s d -> b s (k d)"))


class MLP(nn.Module):
    """Two linear maps, four times as wide in between."""

    def __init__(self, width: int, *, quick_gelu: bool) -> None:
        super().__init__()
        self.quick_gelu = quick_gelu
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        """Map each token by itself."""
        hidden = self.c_fc(x)
        hidden = hidden * torch.sigmoid(1.702 * hidden) if self.quick_gelu else F.gelu(hidden)
        return self.c_proj(hidden)


class ResidualAttentionBlock(nn.Module):
    """Pre-norm attention and MLP; initial weights are normal, scaled down with width and depth, as CLIP's."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width)
        self.attn = SelfAttention(config.width, config.heads)
        self.ln_2 = nn.LayerNorm(config.width)
        self.mlp = MLP(config.width, quick_gelu=config.quick_gelu)
        residual_std = (2 * config.layers * config.width) ** -0.5
        nn.init.normal_(self.attn.in_proj_weight, std=config.width**-0.5)
        nn.init.normal_(self.attn.out_proj.weight, std=residual_std)
        nn.init.normal_(self.mlp.c_fc.weight, std=(2 * config.width) ** -0.5)
        nn.init.normal_(self.mlp.c_proj.weight, std=residual_std)

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        """Two residual updates."""
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """The stack of blocks, under its published name ``transformer.resblocks``."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(ResidualAttentionBlock(config) for _ in range(config.layers))


class TextEncoder(nn.Module):
    """Token ids to token embeddings (``forward``) or to one embedding per prompt (``pooled``).

    A fresh tower has CLIP's initial weights: normal with deviation 0.02 for tokens, 0.01 for positions.
    """

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = config.gradient_checkpointing
        self.positional_embedding = nn.Parameter(torch.empty(config.context_length, config.width))
        self.text_projection = nn.Parameter(torch.empty(config.width, config.embed_dim))
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.transformer = Transformer(config)
        self.ln_final = nn.LayerNorm(config.width)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        nn.init.normal_(self.text_projection, std=config.width**-0.5)

    def forward(self, ids: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        """Token embeddings after the block that ``config.layer`` names, then the final norm.

        Raises:
            ValueError: More tokens than ``context_length``.
        """
        num_blocks = self.config.layers - (self.config.layer == "penultimate")
        return self.ln_final(self._run(ids, num_blocks))

    def pooled(
        self, ids: Int[Tensor, "b s"], end_positions: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b p"]:
        """Projected embedding of each prompt's end token after the last block; not normalised.

        Args:
            ids: Token ids.
            end_positions: Index of the end token; by default that of the highest id, as in CLIP's vocabulary.

        Raises:
            ValueError: More tokens than ``context_length``.
        """
        tokens = self.ln_final(self._run(ids, self.config.layers))
        ends = ids.argmax(dim=-1) if end_positions is None else end_positions
        return tokens[torch.arange(len(ids), device=ids.device), ends] @ self.text_projection

    def _run(self, ids: Tensor, num_blocks: int) -> Tensor:
        length = ids.shape[1]
        if length > self.config.context_length:
            raise ValueError(
                f"{length} tokens do not fit: use at most context_length={self.config.context_length}"
            )
        x = self.token_embedding(ids) + self.positional_embedding[:length]
        for block in self.transformer.resblocks[:num_blocks]:
            x = call_checkpointed(block, x, enabled=self.gradient_checkpointing)
        return x


def from_openclip_keys(tensors: Mapping[str, Tensor], *, prefix: str = "") -> dict[str, Tensor]:
    """The text tower's tensors out of a whole checkpoint, by their own names.

    Args:
        tensors: Any state dict that holds an open_clip model, its vision tower or more beside it.
        prefix: What precedes the open_clip names, e.g. ``"cond_stage_model.model."`` in VideoCrafter's files.

    Raises:
        CheckpointError: No text tower under that prefix.
    """
    tower = re.compile(
        r"(positional_embedding|text_projection|token_embedding\.weight|ln_final\.\w+|transformer\.resblocks\..+)$"
    )
    inside = {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    found = {name: tensor for name, tensor in inside.items() if tower.match(name)}
    if "token_embedding.weight" not in found:
        raise CheckpointError(f"no open_clip text tower under {prefix!r}: token_embedding.weight is missing")
    return found


class WordTokenizer:
    """Whole lower-case words by a fixed vocabulary; for the embedded world, whose grammar is small."""

    PAD, START, END, UNKNOWN = "<pad>", "<start>", "<end>", "<unk>"

    def __init__(self, words: Sequence[str]) -> None:
        """Ids are 0 to 3 for pad, start, end and unknown, then the words in the given order.

        Raises:
            ValueError: A word occurs twice or is not one lower-case word.
        """
        if len(set(words)) != len(words):
            raise ValueError("the vocabulary holds a word twice")
        if bad := [word for word in words if self._split(word) != [word]]:
            raise ValueError(f"not single lower-case words: {', '.join(map(repr, bad))}")
        self.vocabulary = (self.PAD, self.START, self.END, self.UNKNOWN, *words)
        self._ids = {word: i for i, word in enumerate(self.vocabulary)}

    @staticmethod
    def _split(text: str) -> list[str]:
        return re.findall(r"[a-z0-9]+(?:['-][a-z0-9]+)*", text.lower())

    def __len__(self) -> int:
        """Number of ids."""
        return len(self.vocabulary)

    def encode(
        self, prompts: Sequence[str], context_length: int
    ) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
        """Ids ``<start> words <end> <pad>...`` and the mask of those that count (all but the padding).

        Raises:
            ValueError: A prompt has more words than fit.
        """
        rows: list[list[int]] = []
        for prompt in prompts:
            words = self._split(prompt)
            if len(words) + 2 > context_length:
                raise ValueError(
                    f"{len(words)} words do not fit: use at most {context_length - 2} ({prompt!r})"
                )
            body = [self._ids.get(word, self._ids[self.UNKNOWN]) for word in words]
            ids = [self._ids[self.START], *body, self._ids[self.END]]
            rows.append(ids + [self._ids[self.PAD]] * (context_length - len(ids)))
        ids = torch.tensor(rows, dtype=torch.long).reshape(len(prompts), context_length)
        return ids, ids != self._ids[self.PAD]

    def end_positions(self, ids: Int[Tensor, "b s"]) -> Int[Tensor, " b"]:
        """Index of each row's ``<end>``, for ``TextEncoder.pooled``."""
        return (ids == self._ids[self.END]).int().argmax(dim=-1)

    def save(self, path: Path | str) -> None:
        """Write the words as JSON."""
        write_text(path, json.dumps({"words": self.vocabulary[4:]}, indent=1))

    @classmethod
    def load(cls, path: Path | str) -> "WordTokenizer":
        """Read what ``save`` wrote.

        Raises:
            CheckpointError: The file is not a vocabulary.
        """
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not isinstance(content.get("words"), list):
            raise CheckpointError(f"{path} is not a word vocabulary: it has no list 'words'")
        return cls(content["words"])


class CLIPTokenizer:
    """CLIP's byte-pair tokenizer from ``vocab.json`` and ``merges.txt``, padded as open_clip does."""

    PAD_ID = 0  # open_clip pads with 0, not with the end token

    def __init__(self, folder: Path | str) -> None:
        """Open the files in ``folder``; nothing is downloaded.

        Raises:
            CheckpointError: A file is missing.
        """
        from transformers import CLIPTokenizer as PublishedTokenizer  # imports slowly

        missing = [name for name in ("vocab.json", "merges.txt") if not (Path(folder) / name).is_file()]
        if missing:
            raise CheckpointError(f"{folder} has no {' and no '.join(missing)}, which CLIP's tokenizer needs")
        self._tokenizer = PublishedTokenizer.from_pretrained(str(folder), local_files_only=True)

    def __len__(self) -> int:
        """Number of ids."""
        return len(self._tokenizer)

    def encode(
        self, prompts: Sequence[str], context_length: int = 77
    ) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
        """Ids and the mask of those that count; too long prompts lose their last words, as in open_clip."""
        rows: list[list[int]] = []
        lengths: list[int] = []
        for prompt in prompts:
            ids = self._tokenizer(prompt, truncation=True, max_length=context_length)["input_ids"]
            lengths.append(len(ids))
            rows.append(list(ids) + [self.PAD_ID] * (context_length - len(ids)))
        ids = torch.tensor(rows, dtype=torch.long).reshape(len(prompts), context_length)
        return ids, torch.arange(context_length) < torch.tensor(lengths).reshape(-1, 1)


def write_byte_vocabulary(folder: Path) -> None:
    """Write ``vocab.json`` and ``merges.txt`` of a CLIP tokenizer that knows bytes and no words.

    For networks with random weights, where the published vocabulary is not at hand: ids are far below its
    size, and every prompt is as many tokens long after padding. Symbols are those of byte-level pair encoding
    (Radford et al. 2019): printable bytes stand for themselves, the others for 256 and up.
    """
    codes = [*range(33, 127), *range(161, 173), *range(174, 324)]
    symbols = [chr(code) for code in codes]
    words = [*symbols, *(f"{symbol}</w>" for symbol in symbols), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "vocab.json", json.dumps({word: i for i, word in enumerate(words)}))
    write_text(folder / "merges.txt", "#version: 0.2\n")
