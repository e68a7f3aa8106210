"""Memory and time of a generation, predicted before it starts.

Both follow from shapes alone: each weight is used once per position it is applied to, and a stage's
activations are a few times its widest tensor. Works on networks without weights (meta device) too, so that a
model can be judged before it is loaded.

Shapes: b clips, f frames, h w latent height and width; positions = b * f * h * w at some resolution.
"""

import math
import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from rufous.core.devices import free_memory_bytes
from rufous.networks import unet3d, vae2d
from rufous.networks.text_encoders import TextEncoder
from rufous.networks.unet3d import UNet3D
from rufous.networks.vae2d import AutoencoderKL
from rufous.pipelines.request import GenerationRequest

LIVE_TENSORS = (
    4.0  # a stage holds its input, its norm, its activation and its output; measured, see the tests
)
VIDEO_COPIES = 3  # float32 clip, its joined copy and its bytes, while it is handed over
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
    """Floating-point operations of each stage, a multiply and an add counted as two."""

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
    """Predict memory and operations of ``batch_size`` clips as ``request`` wants them."""
    guided = request.sampling.guidance_scale != 1.0
    passes = 2 if guided else 1
    at_once = batch_size * (passes if request.sampling.guidance_in_one_call else 1)
    factor = autoencoder.config.vae_scale_factor_spatial
    height, width = request.height // factor, request.width // factor
    num_tokens = text_encoder.config.context_length
    size = (request.num_frames, height, width)
    per_pass = unet_flop(unet, *size, num_tokens=num_tokens)
    return Estimate(
        parameter_bytes=sum(parameter_bytes(part) for part in (unet, autoencoder, text_encoder)),
        activation_bytes=max(
            at_once * unet_activation_bytes(unet, *size),
            decoder_activation_bytes(autoencoder, *size) + _video_bytes(request, batch_size),
        ),
        flop={
            "text": 2.0 * _num_parameters(text_encoder.transformer) * num_tokens * (batch_size + guided),
            "denoise": per_pass * passes * batch_size * request.sampling.num_inference_steps,
            "decode": decoder_flop(autoencoder, *size) * batch_size,
        },
    )


def check_memory(estimate: Estimate, request: GenerationRequest, device: torch.device) -> None:
    """Refuse a generation whose predicted activations exceed the free memory; the weights are there already.

    Raises:
        ValueError: Names size and length, what is predicted and what is free.
    """
    free = free_memory_bytes(device)
    if estimate.activation_bytes > free:
        raise ValueError(
            f"{request.num_frames} frames of {request.width}x{request.height} are predicted to need "
            f"{gigabytes(estimate.activation_bytes)} beside the weights, but {gigabytes(free)} are free on "
            f"{device}: use fewer frames or a smaller size"
        )


def matmul_flop_per_s(device: torch.device, dtype: torch.dtype, *, seconds: float = 0.1) -> float:
    """Rate of a 1024 x 1024 matrix product, measured for about ``seconds`` after one warm-up."""
    side = 1024
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    _matmul(a, b)
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or not count:
        _matmul(a, b)
        count += 1
    return count * 2.0 * side**3 / elapsed


def _matmul(a: Tensor, b: Tensor) -> None:
    torch.matmul(a, b)
    if a.is_cuda:
        torch.cuda.synchronize(a.device)


def parameter_bytes(network: nn.Module) -> int:
    """Bytes of all parameters and buffers as they are."""
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def unet_flop(unet: UNet3D, num_frames: int, height: int, width: int, *, num_tokens: int) -> float:
    """Operations of one forward pass for one clip of latents [c f h w]."""
    total = 0.0
    for stage, h, w in _unet_stages(unet, height, width):
        total += _stage_flop(stage, num_frames, h, w, num_tokens)
    total += 2.0 * _num_parameters(unet.out) * num_frames * height * width
    return total


def unet_activation_bytes(unet: UNet3D, num_frames: int, height: int, width: int) -> int:
    """Bytes of activations at the worst stage of one forward pass for one clip, skips included."""
    itemsize = next(unet.parameters()).element_size()
    skips, worst = 0, 0
    skip_stack: list[int] = []
    num_inputs = len(unet.input_blocks) + unet.config.init_attention
    for i, (stage, h, w) in enumerate(_unet_stages(unet, height, width)):
        before, after = _widths(stage)
        positions = num_frames * h * w
        worst = max(worst, skips + int(LIVE_TENSORS * positions * max(before, after)))
        is_initial_attention = unet.config.init_attention and i == 1
        if i < num_inputs and not is_initial_attention:
            skip_stack.append(positions * after)
            skips += skip_stack[-1]
        elif i > num_inputs and skip_stack:
            skips -= skip_stack.pop()
    return worst * itemsize


def decoder_flop(autoencoder: AutoencoderKL, num_frames: int, height: int, width: int) -> float:
    """Operations of decoding latents [c f h w] to frames."""
    decoder = autoencoder.decoder
    total = 2.0 * num_frames * height * width * _num_parameters(decoder.conv_in, decoder.mid)
    total += _attention_flop(num_frames, height * width, height * width, _attention_width(decoder.mid))
    for level, h, w in _decoder_levels(autoencoder, height, width):
        total += 2.0 * num_frames * h * w * _num_parameters(level.block)
        if _grows(level):
            total += 2.0 * num_frames * 4 * h * w * _num_parameters(level.upsample)
    factor = autoencoder.config.vae_scale_factor_spatial
    return total + 2.0 * num_frames * height * width * factor**2 * _num_parameters(decoder.conv_out)


def decoder_activation_bytes(autoencoder: AutoencoderKL, num_frames: int, height: int, width: int) -> int:
    """Bytes of activations at the decoder's worst level; it works on ``slice_frames`` frames at once."""
    config = autoencoder.config
    frames = min(config.slice_frames, num_frames)
    largest = 0
    for level, h, w in _decoder_levels(autoencoder, height, width):
        widest = max(max(conv.in_channels, conv.out_channels) for conv in _convolutions(level.block))
        grown = 4 * level.upsample.conv.out_channels if _grows(level) else 0
        largest = max(largest, h * w * max(widest, grown))
    return int(LIVE_TENSORS * frames * largest) * next(autoencoder.parameters()).element_size()


def gigabytes(count: float) -> str:
    """Bytes as text in units of 10^9 bytes."""
    return f"{count / 1e9:.1f} GB"


def _unet_stages(unet: UNet3D, height: int, width: int) -> list[tuple[nn.Module, int, int]]:
    """Stages in the order of the forward pass, each with the resolution at which its residual blocks run."""
    first, *others = unet.input_blocks
    stages: list[tuple[nn.Module, int, int]] = [(first, height, width)]
    if unet.config.init_attention:
        stages.append((unet.init_attn, height, width))
    for stage in others:
        if any(isinstance(block, unet3d.Downsample) for block in stage):
            height, width = height // 2, width // 2
        stages.append((stage, height, width))
    stages.append((unet.middle_block, height, width))
    for stage in unet.output_blocks:
        stages.append((stage, height, width))
        if any(isinstance(block, unet3d.Upsample) for block in stage):
            height, width = height * 2, width * 2
    return stages


def _stage_flop(stage: nn.Module, num_frames: int, height: int, width: int, num_tokens: int) -> float:
    """Operations of one stage: weights times positions, and the products of attention."""
    positions = num_frames * height * width
    total = 0.0
    for name, module in stage.named_modules():
        if isinstance(module, unet3d.Attention):
            total += _unet_attention_flop(module, num_frames, height * width, num_tokens)
        if not isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            continue
        reads_text = name.endswith(("attn2.to_k", "attn2.to_v")) and _is_text(stage, name)
        if ".emb_layers." in f".{name}":
            count = 1
        elif reads_text:
            count = num_tokens
        else:
            count = positions * (4 if _is_upsampling(stage, name) else 1)
        total += 2.0 * module.weight.numel() * count
    return total


def _unet_attention_flop(attention: nn.Module, num_frames: int, pixels: int, num_tokens: int) -> float:
    width = attention.to_q.out_features  # type: ignore[union-attr]
    if attention.over == "space":
        return _attention_flop(num_frames, pixels, pixels, width)
    if attention.over == "time":
        return _attention_flop(pixels, num_frames, num_frames, width)
    return _attention_flop(1, num_frames * pixels, num_tokens, width)


def _attention_flop(sequences: int, queries: int, keys: int, width: int) -> float:
    """Two matrix products: queries with keys, weights with values."""
    return 4.0 * sequences * queries * keys * width


def _is_text(stage: nn.Module, name: str) -> bool:
    return getattr(stage.get_submodule(name.rsplit(".", 1)[0]), "over", None) == "text"


def _is_upsampling(stage: nn.Module, name: str) -> bool:
    return isinstance(stage.get_submodule(name.split(".")[0]), unet3d.Upsample)


def _widths(stage: nn.Module) -> tuple[int, int]:
    """Widest input and output of a stage's convolutions, in channels; an upsampled one counts four times."""
    before = after = 0
    for name, conv in stage.named_modules():
        if isinstance(conv, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear) and "emb_layers" not in name:
            if ".ff." in name or "attn" in name:
                continue  # sliced, or no wider than the stage
            wide = conv.weight.shape[0] * (4 if _is_upsampling(stage, name) else 1)
            before, after = max(before, conv.weight.shape[1]), max(after, wide)
    return before, after


def _decoder_levels(autoencoder: AutoencoderKL, height: int, width: int) -> list[tuple[nn.Module, int, int]]:
    """The decoder's levels, deepest first, each with its resolution."""
    levels: list[tuple[nn.Module, int, int]] = []
    for level in reversed(autoencoder.decoder.up):
        levels.append((level, height, width))
        if _grows(level):
            height, width = height * 2, width * 2
    return levels


def _grows(level: nn.Module) -> bool:
    return isinstance(getattr(level, "upsample", None), vae2d.Upsample)


def _attention_width(middle: nn.Module) -> int:
    return sum(part.q.out_channels for part in middle.children() if isinstance(part, vae2d.AttnBlock))


def _convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


def _num_parameters(*modules: nn.Module) -> int:
    """Elements of the weights that multiply: matrices and kernels."""
    return sum(p.numel() for module in modules for p in module.parameters() if p.ndim > 1)


def _video_bytes(request: GenerationRequest, batch_size: int) -> int:
    elements = math.prod((batch_size, 3, request.num_frames, request.height, request.width))
    return VIDEO_COPIES * 4 * elements
