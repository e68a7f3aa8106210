"""Features of 16-frame clips by two self-supervised video transformers: VideoMAE v2 and V-JEPA 2.

Both networks are transformers' own. VideoMAE's feature is the norm of the mean token, as in the
content-debiased FVD; that norm's epsilon, 1e-6, is the one thing in which transformers' classifier differs
from the published network. V-JEPA 2's feature is what its attentive pooler gives. JEDi was defined on
V-JEPA 1, which transformers has not: the same maths on other features gives other numbers.

Source: VideoMAE v2, Wang et al. 2023 (arXiv:2303.16727); content-debiased FVD, Ge et al. 2024
(arXiv:2404.12391); V-JEPA 2, Assran et al. 2025 (arXiv:2506.09985).

Shapes: b batch, f frames, h w pixels, d features.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

NORM_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class VideoMAEConfig:
    """Architecture; the defaults are those of VideoMAE v2 giant."""

    image_size: int = 224
    patch_size: int = 14
    num_frames: int = 16
    width: int = 1408
    layers: int = 40
    heads: int = 16
    mlp_width: int = 6144


class VideoMAE(nn.Module):
    """Clips to the normalised mean token."""

    def __init__(self, config: VideoMAEConfig) -> None:
        super().__init__()
        from transformers import VideoMAEConfig as PublishedConfig
        from transformers import VideoMAEModel

        self.config = config
        self.model = VideoMAEModel(
            PublishedConfig(
                image_size=config.image_size,
                patch_size=config.patch_size,
                num_frames=config.num_frames,
                hidden_size=config.width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=config.mlp_width,
                layer_norm_eps=NORM_EPS,
            )
        )
        self.fc_norm = nn.LayerNorm(config.width, eps=NORM_EPS)

    def forward(self, pixels: Float[Tensor, "b f 3 h w"]) -> Float[Tensor, "b d"]:
        """Features of clips in [0, 1], which is what the published metric gives this network.

        Raises:
            ValueError: Another number of frames, or another size.
        """
        _check_shape(pixels, self.config.num_frames, self.config.image_size)
        return self.fc_norm(self.model(pixel_values=pixels).last_hidden_state.mean(dim=1))


_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)\.(\w+)")
_IN_BLOCKS = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def from_videomae_v2_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a published VideoMAE v2 classifier for a ``VideoMAE``.

    Joined query, key and value weights are cut; the classifier's ``head`` is dropped. Names that are not the
    file's stay, so that a strict load names them.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        found = _BLOCK.fullmatch(name)
        if name in ("head.weight", "head.bias"):
            continue
        if name.startswith("patch_embed.proj."):
            last = name.rpartition(".")[2]
            renamed[f"model.embeddings.patch_embeddings.projection.{last}"] = tensor
        elif found:
            renamed |= _block_tensors(f"model.encoder.layer.{found[1]}", found[2], found[3], tensor)
        else:
            renamed[name] = tensor
    return renamed


def _block_tensors(block: str, module: str, last: str, tensor: Tensor) -> dict[str, Tensor]:
    attention = f"{block}.attention.attention"
    if (module, last) == ("attn.qkv", "weight"):
        names = [f"{attention}.{part}.weight" for part in ("query", "key", "value")]
        return dict(zip(names, tensor.chunk(3), strict=True))
    if module == "attn" and last in ("q_bias", "v_bias"):
        return {f"{attention}.{'query' if last[0] == 'q' else 'value'}.bias": tensor}
    return {f"{block}.{_IN_BLOCKS.get(module, module)}.{last}": tensor}


@dataclass(frozen=True, kw_only=True)
class VJEPA2Config:
    """Architecture; the defaults are those of ``vjepa2-vitl-fpc16-256-ssv2``."""

    image_size: int = 256
    patch_size: int = 16
    num_frames: int = 16
    width: int = 1024
    layers: int = 24
    heads: int = 16
    num_classes: int = 174
    predictor_width: int = 384
    predictor_layers: int = 12
    predictor_heads: int = 12


class VJEPA2(nn.Module):
    """Clips to what the attentive pooler gives; ``model`` has the published key names."""

    def __init__(self, config: VJEPA2Config) -> None:
        super().__init__()
        from transformers import VJEPA2Config as PublishedConfig
        from transformers import VJEPA2ForVideoClassification

        self.config = config
        self.model = VJEPA2ForVideoClassification(
            PublishedConfig(
                crop_size=config.image_size,
                patch_size=config.patch_size,
                frames_per_clip=config.num_frames,
                hidden_size=config.width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                pred_hidden_size=config.predictor_width,
                pred_num_hidden_layers=config.predictor_layers,
                pred_num_attention_heads=config.predictor_heads,
                num_labels=config.num_classes,  # type: ignore[call-arg]  # a field of every config
            )
        )

    def forward(self, pixels: Float[Tensor, "b f 3 h w"]) -> Float[Tensor, "b d"]:
        """Features of clips with ImageNet's mean and deviation.

        Raises:
            ValueError: Another number of frames, or another size.
        """
        _check_shape(pixels, self.config.num_frames, self.config.image_size)
        outputs: Any = self.model.vjepa2(pixel_values_videos=pixels, skip_predictor=True)
        return self.model.pooler(outputs.last_hidden_state)


def _check_shape(pixels: Tensor, num_frames: int, size: int) -> None:
    frames, _, height, width = pixels.shape[1:]
    if (frames, height, width) != (num_frames, size, size):
        raise ValueError(
            f"{frames} frames of {width}x{height} do not fit: "
            f"this network reads {num_frames} of {size}x{size}"
        )
