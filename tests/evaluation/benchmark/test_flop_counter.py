"""Operations are those of the formulas, and of the count that pipelines predict by."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rufous.checkpoints.kinds import empty_network
from rufous.compression.calls import ClipSize, unet3d_call
from rufous.evaluation.benchmark.flop_counter import count_flop
from rufous.networks.cost import decoder_flop, unet_flop
from tests.tiny_release import TINY_AUTOENCODER, TINY_UNET


def test_layers_count_a_multiply_and_an_add():
    assert count_flop(lambda: nn.Linear(3, 5)(torch.zeros(7, 3))) == 2 * 7 * 3 * 5
    convolution = nn.Conv2d(4, 6, 3, padding=1, groups=2)
    assert count_flop(lambda: convolution(torch.zeros(2, 4, 8, 8))) == 2 * 2 * 6 * 8 * 8 * 2 * 9
    q, k = torch.zeros(2, 3, 5, 4), torch.zeros(2, 3, 7, 4)
    assert count_flop(lambda: F.scaled_dot_product_attention(q, k, value=k)) == 2 * 2 * 2 * 3 * 5 * 7 * 4
    assert count_flop(lambda: torch.zeros(2, 3) @ torch.zeros(3, 4)) == 2 * 2 * 3 * 4
    assert count_flop(lambda: torch.ones(9).exp()) == 0


def test_the_count_agrees_with_the_formulas_of_our_networks():
    unet, size = empty_network(TINY_UNET).eval(), ClipSize(num_frames=4, height=8, width=8, num_tokens=6)
    call = unet3d_call(TINY_UNET, size).to("meta")
    predicted = unet_flop(unet, 4, 8, 8, num_tokens=6)  # type: ignore[arg-type]
    assert count_flop(lambda: call.of(unet)) == pytest.approx(predicted, rel=0.01)
    autoencoder = empty_network(TINY_AUTOENCODER).eval()
    latents = torch.empty(1, 4, 4, 8, 8, device="meta")
    predicted = decoder_flop(autoencoder, 4, 8, 8)  # type: ignore[arg-type]
    assert count_flop(lambda: autoencoder.decode_video(latents)) == pytest.approx(predicted, rel=0.01)
