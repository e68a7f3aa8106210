import pytest
import torch

from rufous.networks.tiny_decoder import TinyDecoder, TinyDecoderConfig
from rufous.networks.vae2d import AutoencoderKL, AutoencoderKLConfig
from rufous.rewards.decoding import SlicedDecoder, sliced_decoder

TINY = AutoencoderKLConfig(
    base_channels=8, channel_mult=(1, 1), num_res_blocks=1, norm_groups=4, scaling_factor=0.5
)


@pytest.fixture
def autoencoder():
    torch.manual_seed(0)
    return AutoencoderKL(TINY)


def latents(num_frames=5):
    return torch.randn(2, 4, num_frames, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("slice_frames", [1, 2, 5, 9])
def test_slices_and_checkpoints_change_neither_pixels_nor_gradients(autoencoder, slice_frames):
    decode = sliced_decoder(autoencoder, slice_frames=slice_frames)
    ours, whole = latents().requires_grad_(), latents().requires_grad_()
    decoded, expected = decode(ours), autoencoder.decode_video(whole).clamp(-1, 1)
    torch.testing.assert_close(decoded, expected)
    direction = torch.randn(decoded.shape, generator=torch.Generator().manual_seed(1))
    (decoded * direction).sum().backward()
    (expected * direction).sum().backward()
    torch.testing.assert_close(ours.grad, whole.grad)
    assert ours.grad.abs().amax(dim=(0, 1, 3, 4)).gt(0).all()


def test_gradients_never_reach_the_decoders_weights(autoencoder):
    decode = sliced_decoder(autoencoder.train())
    decode(latents().requires_grad_()).sum().backward()
    assert all(parameter.grad is None for parameter in autoencoder.parameters())
    assert not autoencoder.training


def stored_bytes(decode):
    """What autograd keeps of a decoding until the backward pass."""
    kept = 0

    def keep(tensor):
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    given = latents().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        decode(given)
    return kept


def test_checkpointing_keeps_a_fraction_of_the_activations(autoencoder):
    kept = stored_bytes(sliced_decoder(autoencoder))
    without = stored_bytes(sliced_decoder(autoencoder, is_checkpointed=False))
    assert kept < 0.05 * without


def test_pixels_stay_in_their_range():
    decode = SlicedDecoder(lambda part: 3 * part)
    pixels = decode(torch.tensor([-1.0, 0.1, 2.0]).reshape(1, 1, 3, 1, 1).expand(1, 3, 3, 2, 2))
    torch.testing.assert_close(pixels[0, 0, :, 0, 0], torch.tensor([-1.0, 0.3, 1.0]))


def test_a_tiny_decoder_fits_in():
    torch.manual_seed(0)
    network = TinyDecoder(TinyDecoderConfig(widths=(8, 8), factors=(2, 2), blocks_per_stage=1))
    pixels = sliced_decoder(network, slice_frames=2)(latents().requires_grad_())
    assert pixels.shape == (2, 3, 5, 16, 16)
    pixels.sum().backward()
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_slice_has_frames():
    with pytest.raises(ValueError, match="slice_frames=0"):
        SlicedDecoder(lambda part: part, 0)
