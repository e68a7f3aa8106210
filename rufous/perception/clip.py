"""CLIP's two towers: single frames and prompts in one space.

The network is transformers' ``CLIPModel``, whose key names most published weights have. Weights of open_clip,
HPSv2.1 among them, are renamed by ``from_openclip_names``.

Source: Radford et al. 2021 (arXiv:2103.00020); OpenCLIP ViT-H/14: Cherti et al. 2022 (arXiv:2212.07143).

Shapes: n frames, h w pixels, b batch, s text tokens, e embedding features.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rufous.core.errors import ConfigError
from rufous.networks.text_encoders import OPENCLIP_VIT_H_14, TextEncoderConfig
from rufous.perception.preprocessing import Preprocessing, preprocess
from rufous.perception.prompts import unit


@dataclass(frozen=True, kw_only=True)
class CLIPConfig:
    """Architecture of one CLIP, and what its pixels go through; the defaults are OpenCLIP ViT-H/14's."""

    text: TextEncoderConfig = OPENCLIP_VIT_H_14
    """The text tower. ``embed_dim`` and ``quick_gelu`` hold for both towers."""
    patch_size: int = 14
    width: int = 1280
    """Of the vision tower, as are ``heads`` and ``layers``."""
    heads: int = 16
    layers: int = 32
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"width={self.width} is no multiple of heads={self.heads}")
        if self.preprocessing.size % self.patch_size:
            raise ConfigError(
                f"size={self.preprocessing.size} does not fit this CLIP: "
                f"use a multiple of patch_size={self.patch_size}"
            )


VIT_H_14 = CLIPConfig()
VIT_L_14 = CLIPConfig(
    text=TextEncoderConfig(width=768, heads=12, layers=12, embed_dim=768, quick_gelu=True, layer="last"),
    width=1024,
    layers=24,
)
VIT_B_32 = CLIPConfig(
    text=TextEncoderConfig(width=512, heads=8, layers=12, embed_dim=512, quick_gelu=True, layer="last"),
    patch_size=32,
    width=768,
    heads=12,
    layers=12,
)


class CLIP(nn.Module):
    """Unit embeddings of frames and of prompts; ``model`` has the published key names."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        from transformers import CLIPModel  # imports slowly

        self.config = config
        self.model = CLIPModel(_published_config(config))
        for embeddings in (self.model.text_model.embeddings, self.model.vision_model.embeddings):
            # no file holds these, so they are real also where the network is built on the meta device
            positions = torch.arange(embeddings.position_ids.shape[-1], device="cpu")[None]
            embeddings.register_buffer("position_ids", positions, persistent=False)

    def drop_text(self) -> None:
        """Free the text tower's memory; ``encode_text`` raises ``AttributeError`` from here on."""
        del self.model.text_model, self.model.text_projection

    def encode_image(self, frames: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n e"]:
        """Unit embeddings of frames in [-1, 1], of any size."""
        return self.encode_pixels(preprocess(frames, self.config.preprocessing))

    def encode_pixels(self, pixels: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n e"]:
        """Unit embeddings of pixels that are scaled, cropped and normalised as the model reads them."""
        pixels = pixels.to(self.model.logit_scale.dtype)
        features = self.model.vision_model(pixel_values=pixels).pooler_output
        return unit(self.model.visual_projection(features))

    def encode_text(self, ids: Int[Tensor, "b s"], mask: Bool[Tensor, "b s"]) -> Float[Tensor, "b e"]:
        """Unit embeddings of prompts; ``mask`` is True up to the end token."""
        tokens = self.model.text_model(input_ids=ids).last_hidden_state
        ends = tokens[torch.arange(len(ids), device=ids.device), mask.sum(dim=1) - 1]
        return unit(self.model.text_projection(ends))


def _published_config(config: CLIPConfig) -> Any:
    """The same architecture in transformers' terms."""
    from transformers import CLIPConfig as PublishedConfig

    text, activation = config.text, "quick_gelu" if config.text.quick_gelu else "gelu"
    return PublishedConfig(
        text_config={
            "vocab_size": text.vocab_size,
            "max_position_embeddings": text.context_length,
            "bos_token_id": text.vocab_size - 2,
            "eos_token_id": text.vocab_size - 1,
            **_tower(text.width, text.heads, text.layers, activation),
        },
        vision_config={
            "image_size": config.preprocessing.size,
            "patch_size": config.patch_size,
            **_tower(config.width, config.heads, config.layers, activation),
        },
        projection_dim=text.embed_dim,
    )


def _tower(width: int, heads: int, layers: int, activation: str) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "hidden_act": activation,
    }


_TRANSPOSED = {"visual.proj": "visual_projection.weight", "text_projection": "text_projection.weight"}
_RENAMED = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
}
_NORMS = {
    "visual.ln_pre": "vision_model.pre_layrnorm",  # spelled so in transformers
    "visual.ln_post": "vision_model.post_layernorm",
    "ln_final": "text_model.final_layer_norm",
}
_IN_BLOCKS = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_BLOCK = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+)\.(\w+)")


_NO_WEIGHTS = ("attn_mask", "input_resolution", "context_length", "vocab_size")


def from_openclip_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of an open_clip model under transformers' names, for ``CLIP.model``.

    Joined query, key and value weights are cut, projections transposed. Names that are not open_clip's stay,
    so that a strict load names them; ``attn_mask`` and the numbers in OpenAI's files are no weights
    and are dropped.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.rsplit(".", 1)[-1] in _NO_WEIGHTS:
            continue
        if name in _TRANSPOSED:
            renamed[_TRANSPOSED[name]] = tensor.T.contiguous()
        elif found := _BLOCK.fullmatch(name):
            tower = "vision_model" if found[1] else "text_model"
            renamed |= _block_tensors(f"{tower}.encoder.layers.{found[2]}", found[3], found[4], tensor)
        else:
            module, _, last = name.rpartition(".")
            renamed[_RENAMED.get(name, f"{_NORMS[module]}.{last}" if module in _NORMS else name)] = tensor
    return renamed


def _block_tensors(block: str, module: str, last: str, tensor: Tensor) -> dict[str, Tensor]:
    """One tensor of an open_clip block by its transformers names: ``attn.in_proj_weight`` becomes three."""
    if module == "attn" and last.startswith("in_proj_"):
        names = [f"{block}.self_attn.{part}_proj.{last.removeprefix('in_proj_')}" for part in "qkv"]
        return dict(zip(names, tensor.chunk(3), strict=True))
    return {f"{block}.{_IN_BLOCKS.get(module, module)}.{last}": tensor}


def from_transformers_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file of transformers, without the ``position_ids`` that its older versions wrote."""
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(".position_ids")}


def from_published_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file with open_clip's or transformers' names, for a ``CLIP``."""
    is_openclip = "token_embedding.weight" in tensors
    renamed = from_openclip_names(tensors) if is_openclip else from_transformers_names(tensors)
    return {f"model.{name}": tensor for name, tensor in renamed.items()}
