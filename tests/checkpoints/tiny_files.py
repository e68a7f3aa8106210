"""Tiny real networks, and files laid out as the published ones around them."""

import sys
import types
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from rufous.checkpoints.from_videocrafter import SCHEDULE
from rufous.checkpoints.lora import lora_targets
from rufous.diffusion.schedules import VPSchedule
from rufous.networks.text_encoders import TextEncoderConfig
from rufous.networks.unet3d import UNet3DConfig
from rufous.networks.vae2d import AutoencoderKLConfig

TINY_UNET = UNet3DConfig(
    model_channels=32,
    channel_mult=(1, 2),
    num_res_blocks=1,
    attention_resolutions=(2, 1),
    num_head_channels=16,
    cross_attention_dim=32,
    guidance_embed_dim=24,
)
TINY_VAE = AutoencoderKLConfig(base_channels=32, channel_mult=(1, 2), num_res_blocks=1)
TINY_TEXT = TextEncoderConfig(vocab_size=600, context_length=16, width=32, heads=2, layers=2, embed_dim=24)
PREFIXES = {
    "unet": "model.diffusion_model.",
    "vae": "first_stage_model.",
    "text_encoder": "cond_stage_model.model.",
}


def randomize(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights everywhere, also where a fresh network has zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def whole_checkpoint(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """A state dict as VideoCrafter2's ``model.ckpt`` holds it, schedule buffers included."""
    timesteps = torch.arange(1000, dtype=torch.float32)
    tensors = {
        PREFIXES[name] + key: value
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    text = PREFIXES["text_encoder"]
    return {
        "betas": torch.zeros(1000),
        "alphas_cumprod": VPSchedule(SCHEDULE).alpha(timesteps).square(),
        "scale_arr": torch.ones(1400),
        **tensors,
        f"{text}logit_scale": torch.tensor(4.6),
        f"{text}attn_mask": torch.zeros(16, 16),
    }


def bare_list(network: nn.Module, rank: int = 2) -> list[Tensor]:
    """A LoRA in T2V-Turbo v1's layout: up and down of every target in order, without names."""
    generator = torch.Generator().manual_seed(5)
    entries: list[Tensor] = []
    for _, module in lora_targets(network):
        out_channels, *rest = module.weight.shape
        kernel = (1,) * (len(rest) - 1)
        entries.append(0.1 * torch.randn(out_channels, rank, *kernel, generator=generator))
        entries.append(0.1 * torch.randn(rank, *rest, generator=generator))
    return entries


def save_module_of_lost_class(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Pickle a whole network object, as ``torch.save(model)`` does, of a class that is gone afterwards."""
    package = types.ModuleType("lost_package")

    class LatentDiffusion(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.settings = {"scale": 0.18215}

        def __setstate__(self, state: object) -> None:
            raise AssertionError("code of the file ran")

    LatentDiffusion.__module__, LatentDiffusion.__qualname__ = "lost_package", "LatentDiffusion"
    package.LatentDiffusion = LatentDiffusion  # type: ignore[attr-defined]
    sys.modules["lost_package"] = package
    try:
        root = LatentDiffusion()
        for name, tensor in tensors.items():
            home: nn.Module = root
            *parts, last = name.split(".")
            for part in parts:
                if part not in home._modules:
                    home.add_module(part, LatentDiffusion())
                home = home._modules[part]  # type: ignore[assignment]
            if parts:
                home.register_parameter(last, nn.Parameter(tensor))
            else:
                home.register_buffer(last, tensor)
        torch.save(root, path)
    finally:
        del sys.modules["lost_package"]
