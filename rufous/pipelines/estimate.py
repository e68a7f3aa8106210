"""Memory and time of a generation, predicted before it starts; ``networks.cost`` counts, this adds up."""

import math
from dataclasses import dataclass
from typing import Literal

import torch

from rufous.core.devices import free_memory_bytes
from rufous.networks.cost import (
    decoder_activation_bytes,
    decoder_flop,
    parameter_bytes,
    text_flop,
    unet_activation_bytes,
    unet_flop,
)
from rufous.networks.text_encoders import TextEncoder
from rufous.networks.unet3d import UNet3D
from rufous.networks.vae2d import AutoencoderKL
from rufous.pipelines.request import GenerationRequest

VIDEO_COPIES = 3  # the clip in float32, joined from its slices, and on its way to bytes
NETWORK_EFFICIENCY = (
    0.5  # share of the matmul rate that whole networks reach; measured on CPUs, rough elsewhere
)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one batch of a generation is predicted to take."""

    parameter_bytes: int
    activation_bytes: int
    """Highest, over all stages, beside the parameters."""
    flop: dict[Literal["text", "denoise", "decode"], float]
    """Operations of each stage, a multiply and an add counted as two."""

    @property
    def peak_bytes(self) -> int:
        """Parameters and activations."""
        return self.parameter_bytes + self.activation_bytes

    def seconds(self, flop_per_s: float) -> float:
        """Time on a device whose matrix products run at ``flop_per_s``; within a factor of two or so."""
        return sum(self.flop.values()) / (flop_per_s * NETWORK_EFFICIENCY)


def estimate_generation(
    request: GenerationRequest,
    *,
    unet: UNet3D,
    autoencoder: AutoencoderKL,
    text_encoder: TextEncoder,
    batch_size: int = 1,
) -> Estimate:
    """Predict memory and operations of ``batch_size`` clips of a request; the networks may be on meta."""
    sampling = request.sampling
    passes = 1 if sampling.guidance_scale == 1.0 else 2
    clips_at_once = batch_size * (passes if sampling.guidance_in_one_call else 1)
    factor = autoencoder.config.vae_scale_factor_spatial
    size = (request.num_frames, request.height // factor, request.width // factor)
    per_pass = unet_flop(unet, *size, num_tokens=text_encoder.config.context_length)
    return Estimate(
        parameter_bytes=sum(parameter_bytes(part) for part in (unet, autoencoder, text_encoder)),
        activation_bytes=max(
            clips_at_once * unet_activation_bytes(unet, *size),
            decoder_activation_bytes(autoencoder, *size) + _video_bytes(request, batch_size),
        ),
        flop={
            "text": text_flop(text_encoder) * (batch_size + passes - 1),
            "denoise": per_pass * passes * batch_size * sampling.num_inference_steps,
            "decode": decoder_flop(autoencoder, *size) * batch_size,
        },
    )


def check_memory(estimate: Estimate, request: GenerationRequest, device: torch.device) -> None:
    """Refuse a generation whose predicted activations exceed the free memory; the weights are loaded already.

    Raises:
        ValueError: Names length and size, what is predicted and what is free.
    """
    free = free_memory_bytes(device)
    if estimate.activation_bytes > free:
        needed = memory_text(estimate.activation_bytes)
        raise ValueError(
            f"{request.num_frames} frames of {request.width}x{request.height} are predicted to need {needed} "
            f"beside the weights, but {memory_text(free)} are free on {device}: use fewer frames or a "
            "smaller size"
        )


def memory_text(count: int) -> str:
    """Bytes as text: MB below 10^9 bytes, else GB."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


def _video_bytes(request: GenerationRequest, batch_size: int) -> int:
    elements = math.prod((batch_size, 3, request.num_frames, request.height, request.width))
    return VIDEO_COPIES * 4 * elements
