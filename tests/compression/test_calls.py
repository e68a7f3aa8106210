from dataclasses import replace

import pytest
import torch

from rufous.compression.calls import ClipSize, noised_calls, recorded_calls, unet3d_call
from rufous.core.types import Conditioning
from rufous.diffusion import Denoiser, ScheduleConfig, make_schedule
from rufous.networks.unet3d import UNet3D
from tests.compression.conftest import TINY


def test_the_calls_of_a_sampling_are_recorded_and_repeat_its_outputs(tiny_pipeline):
    answers = []
    hook = tiny_pipeline.unet.register_forward_hook(lambda *each: answers.append(each[2].clone()))
    with recorded_calls(tiny_pipeline.unet) as calls:
        tiny_pipeline("a star", num_inference_steps=2, output_type="latent")
    hook.remove()
    assert len(calls) == len(answers) >= 2
    assert len({call.timesteps[0].item() for call in calls}) == 2
    with torch.no_grad():
        for call, answer in zip(calls, answers, strict=True):
            assert torch.equal(call.of(tiny_pipeline.unet), answer)
    assert not tiny_pipeline.unet._forward_pre_hooks


def test_noise_levels_are_spread_evenly_and_noise_is_the_schedules():
    denoiser = Denoiser(lambda x, t, cond: x, make_schedule(ScheduleConfig()))
    latents = torch.zeros(2, 4, 3, 8, 8)
    calls = noised_calls(
        denoiser, latents, Conditioning(), num_timesteps=4, generator=torch.Generator().manual_seed(0)
    )
    assert [call.timesteps.tolist() for call in calls] == [[t, t] for t in (125.0, 375.0, 625.0, 875.0)]
    sigma = denoiser.schedule.sigma(torch.tensor([125.0, 875.0]))
    assert calls[0].latents.std().item() == pytest.approx(sigma[0].item(), rel=0.1)
    assert calls[3].latents.std().item() == pytest.approx(sigma[1].item(), rel=0.1)
    with pytest.raises(ValueError, match="num_timesteps=0"):
        noised_calls(denoiser, latents, Conditioning(), num_timesteps=0, generator=torch.Generator())


def test_an_example_call_suits_a_network_with_every_condition():
    config = replace(TINY, guidance_embed_dim=6, motion_embed_dim=4)
    call = unet3d_call(config, ClipSize(num_frames=2, height=4, width=4, num_tokens=3))
    assert call.of(UNet3D(config).eval()).shape == (1, 4, 2, 4, 4)
    assert call.to("meta").latents.is_meta
