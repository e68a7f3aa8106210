"""A DINO with its weights in transformers' ``ViTModel``, an implementation of its own."""

from torch import Tensor
from transformers import ViTConfig, ViTModel

from rufous.perception.dino import DINO, DINOConfig


def as_transformers(network: DINO, config: DINOConfig) -> ViTModel:
    """Filled by order and by the words in its names: transformers renames its modules between versions."""
    theirs = ViTModel(
        ViTConfig(
            hidden_size=config.embed_dim,
            num_hidden_layers=config.depth,
            num_attention_heads=config.num_heads,
            intermediate_size=4 * config.embed_dim,
            image_size=config.img_size,
            patch_size=config.patch_size,
            layer_norm_eps=1e-6,
            hidden_act="gelu",
        ),
        add_pooling_layer=False,
    ).eval()
    ours = network.state_dict()
    values = [
        ours["cls_token"],
        ours["pos_embed"],
        *(ours[f"patch_embed.proj.{k}"] for k in ("weight", "bias")),
    ]
    names = [name for name in theirs.state_dict() if name.startswith("embeddings.")]
    filled = dict(zip(names, values, strict=True))
    filled |= {name: _of_block(name, ours) for name in theirs.state_dict() if name not in filled}
    theirs.load_state_dict(filled, strict=True)
    return theirs


def _of_block(name: str, ours: dict[str, Tensor]) -> Tensor:
    """The value for one of transformers' names, told by the words in it."""
    last = name.rsplit(".", 1)[-1]
    if name.startswith("layernorm."):
        return ours[f"norm.{last}"]
    block = f"blocks.{next(part for part in name.split('.') if part.isdigit())}"
    for index, words in enumerate((("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"))):
        if any(f".{word}." in name for word in words):
            return ours[f"{block}.attn.qkv.{last}"].chunk(3)[index]
    places = {
        "attn.proj": ("o_proj", "attention.output.dense"),
        "norm1": ("layernorm_before",),
        "norm2": ("layernorm_after",),
        "mlp.fc1": ("fc1", "intermediate.dense"),
        "mlp.fc2": ("fc2", "output.dense"),
    }
    return next(ours[f"{block}.{k}.{last}"] for k, words in places.items() if any(w in name for w in words))
