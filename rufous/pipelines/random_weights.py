"""A whole pipeline with random weights, for measuring what an architecture costs before it is trained.

Weights are made in place, in their dtype and on their device, so no second copy is ever held.
"""

import tempfile
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.manifest import Manifest
from rufous.core.devices import default_dtype
from rufous.networks.layers import fill_zeros_, store_channels_last
from rufous.networks.text_encoders import (
    CLIPTokenizer,
    TextEncoder,
    TextEncoderConfig,
    write_byte_vocabulary,
)
from rufous.networks.unet3d import UNet3D, UNet3DConfig
from rufous.networks.vae2d import AutoencoderKL, AutoencoderKLConfig
from rufous.pipelines.text_to_video import TextToVideoPipeline

Network = TypeVar("Network", bound=nn.Module)


def random_pipeline(
    *,
    unet: UNet3DConfig,
    autoencoder: AutoencoderKLConfig,
    text_encoder: TextEncoderConfig,
    diffusion: DiffusionConfig,
    name: str,
    device: torch.device,
    dtype: torch.dtype,
) -> TextToVideoPipeline:
    """The pipeline of these configs with every class's own initial weights, and small ones instead of zeros.

    Its tokenizer knows bytes alone; a prompt is padded to the same length as with the published one. What it
    makes is noise.

    Args:
        unet: Architecture.
        autoencoder: Architecture.
        text_encoder: Architecture; its vocabulary holds at least 514 tokens.
        diffusion: How it is sampled.
        name: What its manifest calls it.
        device: Of all weights.
        dtype: Of all weights.

    Raises:
        ConfigError: Components that do not fit one another.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_byte_vocabulary(Path(folder))
        tokenizer = CLIPTokenizer(folder)
    with device, default_dtype(dtype):
        parts = {
            "unet": UNet3D(unet),
            "autoencoder": AutoencoderKL(autoencoder),
            "text_encoder": TextEncoder(text_encoder),
        }
    networks = {part: _ready(network) for part, network in parts.items()}
    if device.type == "cpu":
        store_channels_last(networks["unet"])
    return TextToVideoPipeline(
        **networks,  # type: ignore[arg-type]
        tokenizer=tokenizer,
        diffusion=diffusion,
        manifest=Manifest(name=name),
    )


def _ready(network: Network) -> Network:
    return fill_zeros_(network).eval().requires_grad_(False)
