"""Counted operations agree with torch's own counter, and activations with what a pass keeps alive."""

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from rufous.checkpoints.kinds import empty_network
from rufous.core.types import Conditioning
from rufous.networks import cost
from rufous.networks.text_encoders import TextEncoder, TextEncoderConfig
from rufous.networks.unet3d import UNET_0_7B, UNet3D, UNet3DConfig
from rufous.networks.vae2d import AutoencoderKL, AutoencoderKLConfig

SMALL = UNet3DConfig(
    model_channels=16,
    channel_mult=(1, 2),
    num_res_blocks=1,
    attention_resolutions=(2, 1),
    num_head_channels=8,
    norm_groups=4,
    cross_attention_dim=8,
)


def counted(network: torch.nn.Module, *inputs: object) -> float:
    """By torch, which counts the products of attention only in its plain form."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        network(*inputs)
    return counter.get_total_flops()


def conditioning(config: UNet3DConfig, tokens: int) -> Conditioning:
    return Conditioning(prompt_embeds=torch.zeros(1, tokens, config.cross_attention_dim), fps=torch.ones(1))


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, removed_blocks=frozenset({"middle_block"}), init_attention=False),
        replace(SMALL, removed_blocks=frozenset({"init_attn", "middle_block.0", "output_blocks.1.1"})),
        replace(SMALL, clip_attention=True, use_scale_shift_norm=True),
    ],
)
def test_operations_of_a_unet_are_those_torch_counts(config: UNet3DConfig):
    unet = UNet3D(config)
    theirs = counted(unet, torch.zeros(1, 4, 3, 8, 12), torch.ones(1), conditioning(config, 5))
    assert cost.unet_flop(unet, 3, 8, 12, num_tokens=5) == pytest.approx(theirs, rel=0.02)


def test_the_published_0_7b_unet_takes_8_teraflop_a_pass():
    ours = cost.unet_flop(empty_network(UNET_0_7B), 16, 40, 64, num_tokens=77)
    assert ours == pytest.approx(7.93e12, rel=0.01)  # counted by torch on the same network


def test_operations_of_decoder_and_text_encoder_are_those_torch_counts():
    config = AutoencoderKLConfig(base_channels=8, channel_mult=(1, 2, 2), num_res_blocks=1, norm_groups=4)
    text_config = TextEncoderConfig(vocab_size=9, context_length=6, width=16, heads=2, layers=3, layer="last")
    autoencoder, text_encoder = AutoencoderKL(config), TextEncoder(text_config)
    decoded = counted(autoencoder.decoder, torch.zeros(5, 4, 4, 6))
    encoded = counted(text_encoder, torch.zeros(1, 6, dtype=torch.long))
    assert cost.decoder_flop(autoencoder, 5, 4, 6) == pytest.approx(decoded, rel=0.02)
    assert cost.text_flop(text_encoder) == pytest.approx(encoded, rel=0.1)  # leaves out the scores


def test_activations_grow_with_frames_and_with_area():
    unet = empty_network(SMALL)
    once = cost.unet_activation_bytes(unet, 4, 8, 8)
    assert cost.unet_activation_bytes(unet, 8, 8, 8) == pytest.approx(2 * once, rel=0.01)
    assert cost.unet_activation_bytes(unet, 4, 16, 8) == pytest.approx(2 * once, rel=0.01)


def test_the_decoder_needs_memory_for_one_slice_of_frames():
    config = AutoencoderKLConfig(base_channels=8, channel_mult=(1, 1), norm_groups=4, slice_frames=2)
    autoencoder = empty_network(config)
    few, many = (cost.decoder_activation_bytes(autoencoder, n, 8, 8) for n in (2, 100))
    assert few == many
