import math

import pytest
import torch

from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.guidance import (
    GuidanceConfig,
    classifier_free_guidance,
    embed_guidance_scale,
    guidance_scale_from_lcm_weight,
    guided_prediction,
    rescale_guidance,
)
from rufous.diffusion.schedules import ScheduleConfig, make_schedule

COND = Conditioning(fps=torch.tensor([2.0, 2.0]))
UNCOND = Conditioning(fps=torch.tensor([-1.0, -1.0]))


class CountingNetwork:
    """Adds the condition's number to the latents and counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, latents, timesteps, cond):
        self.calls += 1
        return (
            latents * (1 + timesteps[:, None, None, None, None] / 1000) + cond.fps[:, None, None, None, None]
        )


def denoiser_and_network():
    network = CountingNetwork()
    return Denoiser(network, make_schedule(ScheduleConfig()), "v_prediction"), network


def test_scale_one_is_the_conditional_output_and_zero_the_unconditional(noise):
    cond, uncond = noise(2, 1, 1, 2, 2), noise(2, 1, 1, 2, 2, seed=1)
    torch.testing.assert_close(classifier_free_guidance(cond, uncond, 1.0), cond)
    torch.testing.assert_close(classifier_free_guidance(cond, uncond, 0.0), uncond)


def test_the_lcm_form_with_weight_w_is_scale_one_plus_w(noise):
    cond, uncond, w = noise(2, 1, 1, 2, 2), noise(2, 1, 1, 2, 2, seed=1), 7.5
    lcm_form = cond + w * (cond - uncond)
    torch.testing.assert_close(
        classifier_free_guidance(cond, uncond, guidance_scale_from_lcm_weight(w)), lcm_form
    )


def test_each_sample_can_have_its_own_scale(noise):
    cond, uncond = noise(2, 1, 1, 2, 2), noise(2, 1, 1, 2, 2, seed=1)
    both = classifier_free_guidance(cond, uncond, torch.tensor([6.0, 16.0]))
    for i, scale in enumerate((6.0, 16.0)):
        torch.testing.assert_close(both[i], classifier_free_guidance(cond, uncond, scale)[i])


def test_one_call_and_two_calls_agree(noise):
    latents, predictions = noise(2, 3, 2, 2, 2), []
    for one_call, calls in ((True, 1), (False, 2)):
        denoiser, network = denoiser_and_network()
        config = GuidanceConfig(scale=7.5, rescale=0.7, one_call=one_call)
        predictions.append(guided_prediction(denoiser, latents, 500.0, COND, UNCOND, config))
        assert network.calls == calls
    torch.testing.assert_close(predictions[0].x0, predictions[1].x0)
    torch.testing.assert_close(predictions[0].epsilon, predictions[1].epsilon)


def test_guiding_the_output_is_guiding_x0_and_epsilon(noise):
    denoiser, _ = denoiser_and_network()
    latents, t = noise(2, 3, 2, 2, 2), torch.tensor([500.0, 500.0])
    guided = guided_prediction(denoiser, latents, 500.0, COND, UNCOND, GuidanceConfig(scale=3.0))
    cond, uncond = denoiser(latents, t, COND), denoiser(latents, t, UNCOND)
    torch.testing.assert_close(guided.x0, classifier_free_guidance(cond.x0, uncond.x0, 3.0))
    torch.testing.assert_close(guided.epsilon, classifier_free_guidance(cond.epsilon, uncond.epsilon, 3.0))


@pytest.mark.parametrize(
    ("config", "timestep"),
    [
        (GuidanceConfig(scale=1.0), 500.0),
        (GuidanceConfig(scale=7.0, interval=(100.0, 500.0)), 500.0),
        (GuidanceConfig(scale=7.0, interval=(100.0, 500.0)), 99.0),
    ],
)
def test_no_unconditional_pass_where_guidance_does_not_apply(config, timestep, noise):
    denoiser, network = denoiser_and_network()
    guided_prediction(denoiser, noise(2, 1, 1, 2, 2), timestep, COND, None, config)
    assert network.calls == 1


def test_guidance_without_an_unconditional_prompt_is_refused(noise):
    denoiser, _ = denoiser_and_network()
    with pytest.raises(ValueError, match="needs an unconditional pass"):
        guided_prediction(denoiser, noise(2, 1, 1, 2, 2), 500.0, COND, None, GuidanceConfig(scale=7.0))


def test_full_rescale_restores_the_spread_of_the_conditional_output(noise):
    cond, guided = noise(2, 3, 2, 4, 4), 5.0 * noise(2, 3, 2, 4, 4, seed=1)
    rescaled = rescale_guidance(guided, cond, 1.0)
    torch.testing.assert_close(rescaled.flatten(1).std(dim=1), cond.flatten(1).std(dim=1))
    torch.testing.assert_close(rescale_guidance(guided, cond, 0.0), guided)


def test_the_guidance_embedding_has_sines_first():
    embeds = embed_guidance_scale(torch.tensor([0.0, 7.5]), dim=8)
    assert embeds.shape == (2, 8)
    torch.testing.assert_close(embeds[0], torch.tensor([0.0] * 4 + [1.0] * 4))
    frequencies = torch.tensor([1.0, 10000 ** (-1 / 3), 10000 ** (-2 / 3), 1e-4])
    torch.testing.assert_close(embeds[1, :4], (7500 * frequencies).sin(), atol=2e-3, rtol=0.0)


@pytest.mark.parametrize("dim", [2, 7])
def test_an_embedding_width_without_two_halves_is_refused(dim):
    with pytest.raises(ValueError, match=f"dim={dim}"):
        embed_guidance_scale(torch.tensor([7.5]), dim=dim)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": math.nan}, "guidance_scale=nan is out of range: use a number from 0 to 100"),
        ({"scale": math.inf}, "guidance_scale=inf"),
        ({"scale": -1.0}, "guidance_scale=-1.0"),
        ({"scale": 101.0}, "guidance_scale=101.0"),
        ({"rescale": 1.5}, "guidance_rescale=1.5"),
        ({"rescale": math.nan}, "guidance_rescale=nan"),
        ({"interval": (500.0, 100.0)}, "guidance_interval="),
    ],
)
def test_senseless_guidance_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        GuidanceConfig(**fields)
