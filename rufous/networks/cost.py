"""Operations and activations of one pass of each network, counted from its shapes.

A weight is used once per position it is applied to, and a stage's activations are a few times its widest
tensor. No weight is read, so a network on the meta device will do.

Shapes: f frames, h w latent height and width; positions = f * h * w at the resolution of a stage. A multiply
and an add are two operations.
"""

from collections.abc import Iterator

from torch import nn

from rufous.networks import unet3d, vae2d
from rufous.networks.text_encoders import TextEncoder
from rufous.networks.unet3d import UNet3D
from rufous.networks.vae2d import AutoencoderKL

# Tensors as large as a stage's widest one that are alive at once, workspaces of the convolutions included.
# Measured by resident memory on a CPU: a 128-channel U-Net took 499 MB in fp32 and 194 MB in bf16 where 481
# and 241 are predicted, a 64-channel decoder 294 and 216 MB where 419 and 210 are.
UNET_LIVE_TENSORS = 9.0
DECODER_LIVE_TENSORS = 5.0

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def parameter_bytes(network: nn.Module) -> int:
    """Bytes of all parameters and buffers, as they are stored."""
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def text_flop(text_encoder: TextEncoder) -> float:
    """Operations of encoding one prompt."""
    num_tokens = text_encoder.config.context_length
    return 2.0 * num_tokens * _num_weights(text_encoder.transformer)


def unet_flop(unet: UNet3D, num_frames: int, height: int, width: int, *, num_tokens: int) -> float:
    """Operations of one pass for one clip of latents [c f h w]."""
    stages = _unet_stages(unet, height, width)
    total = sum(_stage_flop(stage, num_frames, h, w, num_tokens) for stage, h, w in stages)
    return total + 2.0 * num_frames * height * width * _num_weights(unet.out)


def unet_activation_bytes(unet: UNet3D, num_frames: int, height: int, width: int) -> int:
    """Bytes of activations at the worst stage of one pass for one clip, skips included."""
    skips: list[int] = []
    worst = 0
    num_inputs = len(unet.input_blocks) + unet.config.init_attention
    for i, (stage, h, w) in enumerate(_unet_stages(unet, height, width)):
        positions = num_frames * h * w
        worst = max(worst, sum(skips) + int(UNET_LIVE_TENSORS * positions * _widest(stage)))
        if i < num_inputs and not (unet.config.init_attention and i == 1):
            skips.append(positions * _output_width(stage, before=skips[-1] // positions if skips else 0))
        elif i > num_inputs:
            skips.pop()
    return worst * next(unet.parameters()).element_size()


def decoder_flop(autoencoder: AutoencoderKL, num_frames: int, height: int, width: int) -> float:
    """Operations of decoding latents [c f h w] to frames."""
    decoder, pixels = autoencoder.decoder, height * width
    total = 2.0 * pixels * (_num_weights(decoder.conv_in) + _num_weights(decoder.mid))
    for block in decoder.mid.children():
        if isinstance(block, vae2d.AttnBlock):
            total += attention_flop(1, pixels, pixels, block.q.out_channels)
    for level, h, w in _decoder_levels(autoencoder, height, width):
        total += 2.0 * h * w * (_num_weights(level.block) + 4 * _num_weights(level.upsample))
    factor = autoencoder.config.vae_scale_factor_spatial
    return num_frames * (total + 2.0 * pixels * factor**2 * _num_weights(decoder.conv_out))


def decoder_activation_bytes(autoencoder: AutoencoderKL, num_frames: int, height: int, width: int) -> int:
    """Bytes of activations at the decoder's worst level; it works on ``slice_frames`` frames at once."""
    largest = 0
    for level, h, w in _decoder_levels(autoencoder, height, width):
        grown = 4 * _widest(level.upsample)  # zero where nothing grows
        largest = max(largest, h * w * max(_widest(level.block), grown))
    frames = min(autoencoder.config.slice_frames, num_frames)
    return int(DECODER_LIVE_TENSORS * frames * largest) * autoencoder.dtype.itemsize


def attention_flop(sequences: int, queries: int, keys: int, width: int) -> float:
    """Two matrix products: queries with keys, and weights with values."""
    return 4.0 * sequences * queries * keys * width


def _unet_stages(unet: UNet3D, height: int, width: int) -> Iterator[tuple[nn.Module, int, int]]:
    """Stages in the order of a forward pass, each with the resolution at which its residual blocks run."""
    for i, stage in enumerate(unet.input_blocks):
        if _has(stage, unet3d.Downsample):
            height, width = height // 2, width // 2
        yield stage, height, width
        if i == 0 and unet.config.init_attention:
            yield unet.init_attn, height, width
    yield unet.middle_block, height, width
    for stage in unet.output_blocks:
        yield stage, height, width
        if _has(stage, unet3d.Upsample):
            height, width = height * 2, width * 2


def _stage_flop(stage: nn.Module, num_frames: int, height: int, width: int, num_tokens: int) -> float:
    positions = num_frames * height * width
    total = 0.0
    for block in stage.modules():
        if isinstance(block, unet3d.Attention):
            total += _attention_layer_flop(block, num_frames, height * width, num_tokens)
        elif isinstance(block, unet3d.ResBlock):  # once per frame, not per position
            total -= 2.0 * (positions - num_frames) * _num_weights(block.emb_layers)
        elif isinstance(block, unet3d.Upsample):
            total += 2.0 * 3 * positions * _num_weights(block)  # runs at four times the positions
    return total + 2.0 * positions * _num_weights(stage)


def _attention_layer_flop(layer: unet3d.Attention, num_frames: int, pixels: int, num_tokens: int) -> float:
    """The products of attention, and the correction for keys and values that come from the text."""
    width = layer.to_q.out_features
    if layer.over == "space":
        return attention_flop(num_frames, pixels, pixels, width)
    if layer.over == "time":
        return attention_flop(pixels, num_frames, num_frames, width)
    if layer.over == "clip":
        return attention_flop(1, num_frames * pixels, num_frames * pixels, width)
    saved = num_frames * pixels - num_tokens
    from_text = _num_weights(layer.to_k) + _num_weights(layer.to_v)
    return attention_flop(1, num_frames * pixels, num_tokens, width) - 2.0 * saved * from_text


def _widest(module: nn.Module) -> int:
    """Most channels that a convolution of the module reads or writes; an upsampled one counts four times."""
    widest = 0
    for part in module.modules():
        if isinstance(part, _CONVOLUTIONS):
            widest = max(widest, part.in_channels, part.out_channels)
        elif isinstance(part, unet3d.Upsample):
            widest = max(widest, 4 * _widest(part.conv))
    return widest


def _output_width(stage: nn.Module, *, before: int) -> int:
    """Channels that an input stage hands on; a removed one hands on its input."""
    widths = [part.out_channels for part in stage.modules() if isinstance(part, _CONVOLUTIONS)]
    return widths[-1] if widths else before


def _decoder_levels(
    autoencoder: AutoencoderKL, height: int, width: int
) -> Iterator[tuple[vae2d.UpLevel, int, int]]:
    """The decoder's levels, deepest first, each with its resolution."""
    for level in reversed(autoencoder.decoder.up):
        assert isinstance(level, vae2d.UpLevel)
        yield level, height, width
        if isinstance(level.upsample, vae2d.Upsample):
            height, width = height * 2, width * 2


def _has(stage: nn.Module, kind: type[nn.Module]) -> bool:
    return any(isinstance(block, kind) for block in stage.children())


def _num_weights(module: nn.Module) -> int:
    """Elements of the parameters that multiply: matrices and kernels."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.ndim > 1)
