"""Tiny networks of both kinds that share their weights, and open_clip's names for them."""

import torch
from torch import Tensor

from rufous.networks.text_encoders import TextEncoderConfig, WordTokenizer
from rufous.perception.clip import CLIPConfig
from rufous.perception.preprocessing import Preprocessing
from rufous.perception.viclip import ViCLIP, ViCLIPConfig

WORDS = ("a", "blue", "circle", "left", "moving", "red", "square")
TOKENIZER = WordTokenizer(WORDS)
TEXT = TextEncoderConfig(
    vocab_size=len(TOKENIZER),
    context_length=8,
    width=32,
    heads=4,
    layers=2,
    embed_dim=12,
    quick_gelu=True,
    layer="last",
)
TINY_CLIP = CLIPConfig(
    text=TEXT, patch_size=8, width=48, heads=4, layers=2, preprocessing=Preprocessing(size=32)
)
TINY_VICLIP = ViCLIPConfig(
    text=TEXT,
    num_frames=4,
    patch_size=8,
    width=48,
    heads=4,
    layers=2,
    preprocessing=Preprocessing(size=32),
)


def randomize(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Random weights everywhere, large enough that every part shows in the output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def openclip_tensors(network: ViCLIP) -> dict[str, Tensor]:
    """A one-frame ViCLIP's weights as an open_clip file holds them."""
    tensors = {
        f"visual.{name}": tensor
        for name, tensor in network.vision_encoder.state_dict().items()
        if name != "temporal_positional_embedding"
    }
    tensors["visual.conv1.weight"] = tensors["visual.conv1.weight"].squeeze(2)
    text = network.text_encoder.state_dict()
    return {**tensors, **text, "logit_scale": torch.tensor(4.6), "attn_mask": torch.zeros(8, 8)}


def frames(count: int = 3, height: int = 32, width: int = 32, seed: int = 0) -> Tensor:
    """Noise in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, height, width, generator=generator) * 2 - 1
