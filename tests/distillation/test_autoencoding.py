import pytest
import torch

from rufous.core.randomness import generator_from
from rufous.distillation import AutoencodingObjective
from rufous.distillation.autoencoding import edge_error, psnr, saliency
from rufous.networks.vae2d import AutoencoderKL, AutoencoderKLConfig, Posterior

TINY = AutoencoderKLConfig(
    base_channels=8, channel_mult=(1, 1), num_res_blocks=1, latent_channels=3, norm_groups=4
)


class PerfectAutoencoder(AutoencoderKL):
    """Hands pixels through: a posterior so narrow that sampling changes nothing."""

    def encode(self, pixels):
        return Posterior(mean=pixels, logvar=torch.full_like(pixels, -30.0))

    def decode(self, latents):
        return latents


def square_on_black(size=32):
    """A bright square in the middle of a dark frame: edges at 12 and 20."""
    frames = torch.full((2, 3, size, size), -1.0)
    frames[:, :, 12:20, 12:20] = 1.0
    return frames


def tiny_network():
    torch.manual_seed(0)
    return AutoencoderKL(TINY)


def test_saliency_has_mean_one_in_every_frame():
    frames = torch.rand(3, 3, 24, 40, generator=generator_from(0)) * 2 - 1
    weight = saliency(frames, 6.0)
    assert weight.shape == (3, 1, 24, 40)
    torch.testing.assert_close(weight.mean(dim=(1, 2, 3)), torch.ones(3))


def test_saliency_is_higher_near_edges_than_far_from_them():
    weight = saliency(square_on_black(), 6.0)
    near, far = weight[0, 0, 12, 16], weight[0, 0, 2, 2]
    assert near > 3 * far


def test_without_edge_weight_all_pixels_count_alike():
    torch.testing.assert_close(saliency(square_on_black(), 0.0), torch.ones(2, 1, 32, 32))


def test_a_flat_frame_has_no_salient_pixel():
    weight = saliency(torch.full((1, 3, 16, 16), 0.3), 6.0)
    torch.testing.assert_close(weight, torch.ones(1, 1, 16, 16))


def test_psnr_is_the_mean_over_frames_in_decibels():
    target = torch.zeros(2, 3, 4, 4)
    output = torch.stack([torch.full((3, 4, 4), 0.2), torch.full((3, 4, 4), 0.02)])
    assert psnr(output, target).item() == pytest.approx((20.0 + 40.0) / 2, abs=1e-3)


def test_psnr_of_equal_frames_is_capped():
    frames = square_on_black()
    assert psnr(frames, frames).item() == pytest.approx(106.02, abs=0.01)  # 10 log10(4 / 1e-10)


def test_psnr_ignores_what_lies_beyond_white():
    white = torch.ones(1, 3, 4, 4)
    assert psnr(white + 0.5, white).item() == psnr(white, white).item()


def test_a_perfect_reconstruction_has_hardly_any_loss():
    objective = AutoencodingObjective(PerfectAutoencoder(TINY), kl_weight=0.0)
    loss, metrics = objective.loss(square_on_black(), generator_from(0))
    assert loss.item() < 1e-5
    assert metrics["psnr"] > 100


def test_the_kl_term_is_zero_at_the_standard_normal_and_weighted():
    class Prior(PerfectAutoencoder):
        def encode(self, pixels):
            return Posterior(mean=torch.zeros_like(pixels), logvar=torch.zeros_like(pixels))

    objective = AutoencodingObjective(Prior(TINY))
    _, metrics = objective.loss(square_on_black(), generator_from(0))
    assert metrics["kl"] == 0

    plain, _ = AutoencodingObjective(PerfectAutoencoder(TINY), kl_weight=0.0).loss(
        square_on_black(), generator_from(0)
    )
    loss, metrics = AutoencodingObjective(PerfectAutoencoder(TINY), kl_weight=0.5).loss(
        square_on_black(), generator_from(0)
    )
    assert (loss - plain).item() == pytest.approx(0.5 * float(metrics["kl"]), rel=1e-4)


def test_an_error_at_an_edge_costs_more_than_the_same_error_elsewhere():
    class Spoilt(PerfectAutoencoder):
        at = (2, 2)

        def decode(self, latents):
            spoilt = latents.clone()
            spoilt[:, :, self.at[0], self.at[1]] += 0.5
            return spoilt

    network = Spoilt(TINY)
    objective = AutoencodingObjective(network, kl_weight=0.0)
    _, far = objective.loss(square_on_black(), generator_from(0))
    network.at = (12, 16)
    _, near = objective.loss(square_on_black(), generator_from(0))
    assert near["pixels"] > 3 * far["pixels"]


def test_equal_generators_give_equal_losses_and_others_do_not():
    objective = AutoencodingObjective(tiny_network())
    losses = [objective.loss(square_on_black(), generator_from(seed))[0].item() for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


def test_a_few_steps_lower_the_loss_and_reach_every_weight():
    network = tiny_network()
    objective = AutoencodingObjective(network)
    optimizer = torch.optim.AdamW(objective.trainable.parameters(), lr=5e-3)
    losses = []
    frames = square_on_black()[:, :, 8:20, 8:20]
    for step in range(10):
        loss, _ = objective.loss(frames, generator_from(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        objective.after_step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_it_carries_no_state_from_step_to_step():
    objective = AutoencodingObjective(tiny_network())
    assert objective.state_dict() == {}
    objective.load_state_dict({})


def test_edge_error_counts_every_difference_of_neighbours():
    step = torch.zeros(1, 3, 4, 4)
    step[..., 2:] = 0.3  # one of three differences across, none down
    assert float(edge_error(step, torch.zeros(1, 3, 4, 4))) == pytest.approx(0.1)
    assert float(edge_error(step + 0.5, step)) == pytest.approx(0, abs=1e-6)
