"""A tiny U-Net whose every block matters, and calls of it."""

from dataclasses import replace

import pytest
import torch

from rufous.compression import ClipSize, NetworkCall
from rufous.compression.calls import unet3d_call
from rufous.networks.unet3d import UNet3D, UNet3DConfig
from tests.tiny_release import tiny_pipeline, tiny_release

__all__ = ["tiny_pipeline", "tiny_release"]

TINY = UNet3DConfig(
    model_channels=8,
    channel_mult=(1, 2),
    num_res_blocks=2,
    attention_resolutions=(2,),
    num_head_channels=8,
    cross_attention_dim=12,
    norm_groups=4,
)


@pytest.fixture
def size() -> ClipSize:
    return ClipSize(num_frames=3, height=4, width=6, num_tokens=5)


@pytest.fixture
def teacher() -> UNet3D:
    """Every weight away from its initial zero, so that every block counts."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    unet = UNet3D(TINY)
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return unet.eval().requires_grad_(False)


@pytest.fixture
def calls(size: ClipSize) -> list[NetworkCall]:
    call = unet3d_call(TINY, size)
    return [replace(call, timesteps=torch.tensor([t])) for t in (100.0, 900.0)]
