import pytest
import torch

from rufous.core.errors import ConfigError
from rufous.core.randomness import generator_from
from rufous.distillation.decoding import DecodingObjective, EncodedFrames, compare_decoders, flicker
from rufous.networks.tiny_decoder import TinyDecoder, TinyDecoderConfig
from rufous.networks.vae2d import AutoencoderKL, AutoencoderKLConfig

FULL = AutoencoderKLConfig(
    base_channels=8, channel_mult=(1, 1), num_res_blocks=1, norm_groups=4, scaling_factor=0.7
)
TINY = TinyDecoderConfig.fitting(FULL, width=8, blocks_per_stage=1)


class Repeating(TinyDecoder):
    """Shows the first three channels of its latents, each as large as the factor makes it."""

    def forward(self, latents):
        return latents[:, :3].repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)


class RepeatingAutoencoder(AutoencoderKL):
    """The same, brighter by 0.1."""

    def decode_video(self, latents):
        return latents[:, :3].repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2) + 0.1


def networks():
    torch.manual_seed(0)
    return TinyDecoder(TINY), AutoencoderKL(FULL)


def batch(count=3):
    latents = 0.5 * torch.randn(count, 4, 6, 6, generator=generator_from(0))
    return EncodedFrames(latents, latents[:, :3].repeat_interleave(2, -1).repeat_interleave(2, -2))


def test_the_loss_adds_the_errors_to_both_targets():
    """0.1 from the full decoder everywhere, and equal to the real frames: no edge differs."""
    objective = DecodingObjective(Repeating(TINY), RepeatingAutoencoder(FULL), real_weight=0.25)
    loss, metrics = objective.loss(batch(), generator_from(0))
    assert loss.item() == pytest.approx(0.1, rel=1e-4)
    assert float(metrics["to_full"]) == pytest.approx(0.1, rel=1e-4)
    assert float(metrics["to_real"]) == 0
    darker = EncodedFrames(batch().latents, batch().pixels - 0.2)
    loss, metrics = objective.loss(darker, generator_from(0))
    assert loss.item() == pytest.approx(0.1 + 0.25 * 0.2, rel=1e-3)


def test_an_edge_that_is_missing_costs_more_than_a_shade():
    class Flat(TinyDecoder):
        def forward(self, latents):
            return super().forward(latents) * 0

    class Edge(AutoencoderKL):
        def decode_video(self, latents):
            frames = torch.zeros(len(latents), 3, 1, 12, 12)
            frames[..., 6:] = 0.2
            return frames

    class Shade(AutoencoderKL):
        def decode_video(self, latents):
            return torch.full((len(latents), 3, 1, 12, 12), 0.1)

    losses = []
    for full in (Shade, Edge):
        objective = DecodingObjective(Flat(TINY), full(FULL), real_weight=0.0, edge_weight=0.0)
        losses.append(objective.loss(batch(), generator_from(0))[0].item())
    assert losses[0] == pytest.approx(0.1, rel=1e-4)
    assert losses[1] == pytest.approx(0.1 + 0.2 / 11, rel=1e-4)  # one of eleven steps across


def test_a_few_steps_lower_the_loss_and_leave_the_full_decoder_alone():
    network, autoencoder = networks()
    objective = DecodingObjective(network, autoencoder)
    before = {name: tensor.clone() for name, tensor in autoencoder.state_dict().items()}
    optimizer = torch.optim.AdamW(objective.trainable.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        loss, _ = objective.loss(batch(), generator_from(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        objective.after_step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(parameter.grad is None for parameter in autoencoder.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in autoencoder.state_dict().items())


def test_it_carries_no_state_from_step_to_step():
    objective = DecodingObjective(*networks())
    assert objective.state_dict() == {}
    objective.load_state_dict({})


def test_decoders_of_other_latents_are_refused():
    _, autoencoder = networks()
    other = TinyDecoder(TinyDecoderConfig(widths=(8, 8), factors=(2, 2)))
    with pytest.raises(ConfigError, match=r"4 latent channels and 4 pixels per latent .* has 4 and 2"):
        DecodingObjective(other, autoencoder)


def clip(values):
    """A clip of flat frames."""
    return torch.tensor(values).reshape(1, 1, -1, 1, 1).expand(1, 3, -1, 4, 4)


def test_flicker_is_the_change_of_the_error_in_grey_levels():
    still = clip([0.2, 0.2, 0.2])
    assert float(flicker(clip([0.2, 0.22, 0.2]), still)) == pytest.approx(0.02 * 127.5, rel=1e-4)


def test_an_error_that_stands_still_does_not_flicker():
    moving = clip([-0.5, 0.1, 0.7])
    assert float(flicker(moving + 0.2, moving)) == pytest.approx(0, abs=1e-4)
    assert float(flicker(moving, moving)) == 0


def test_one_frame_cannot_flicker():
    with pytest.raises(ValueError, match="1 frame cannot flicker"):
        flicker(clip([0.1]), clip([0.1]))


def test_both_decoders_are_compared_with_each_other_and_with_real_clips():
    network, autoencoder = Repeating(TINY), RepeatingAutoencoder(FULL)
    latents = 0.4 * torch.randn(2, 4, 3, 6, 6, generator=generator_from(0)).clamp(-2, 2)
    pixels = network.decode_video(latents)
    figures = compare_decoders(network, autoencoder, latents, pixels)
    assert figures["psnr_to_full"] == pytest.approx(26.02, abs=0.01)  # 20 log10(2 / 0.1)
    assert figures["full_psnr_to_real"] == pytest.approx(26.02, abs=0.01)
    assert figures["psnr_to_real"] == pytest.approx(106.02, abs=0.01)  # equal, where psnr is capped
    assert figures["flicker_to_full"] == pytest.approx(0, abs=1e-3)
    assert figures["full_flicker_to_real"] == pytest.approx(0, abs=1e-3)
    assert min(figures["ms_per_clip"], figures["full_ms_per_clip"]) > 0
