from dataclasses import replace

import pytest
import torch

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.core.types import Conditioning
from rufous.diffusion.guidance import embed_guidance_scale
from rufous.networks.unet3d import UNet3D, UNet3DConfig
from rufous.pipelines.motion_guidance import with_motion_weight

CONFIG = UNet3DConfig(
    model_channels=32,
    channel_mult=(1,),
    num_res_blocks=1,
    attention_resolutions=(1,),
    num_head_channels=16,
    cross_attention_dim=8,
    init_attention=False,
    guidance_embed_dim=16,
    motion_embed_dim=16,
)
DIFFUSION = DiffusionConfig(embedded_motion_weight=0.05)


@pytest.fixture
def unet() -> UNet3D:
    unet = UNet3D(CONFIG)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in unet.parameters():  # zero initial layers would hide every input
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return unet.eval()


def conditioning(batch: int) -> Conditioning:
    generator = torch.Generator().manual_seed(1)
    return Conditioning(
        prompt_embeds=torch.randn(batch, 3, 8, generator=generator),
        fps=torch.full((batch,), 8.0),
        guidance_embeds=embed_guidance_scale(torch.full((batch,), 7.5), 16),
    )


def test_the_weight_is_told_while_it_is_noisy_and_zero_afterwards(unet):
    network = with_motion_weight(unet, DIFFUSION)
    latents, cond = torch.randn(3, 4, 2, 8, 8), conditioning(3)
    timesteps = torch.tensor([999.0, 700.0, 699.0])
    told = embed_guidance_scale(torch.tensor([0.05, 0.05, 0.0]), 16)
    expected = replace(cond, guidance_embeds=torch.cat([cond.guidance_embeds, told], dim=1))
    with torch.no_grad():
        output = network(latents, timesteps, cond)
        assert torch.equal(output, unet(latents, timesteps, expected))
        without = unet(latents, timesteps, cond)  # as published with motion guidance off: nothing is merged
    assert not torch.allclose(output, without)


def test_other_releases_get_their_network_itself(unet):
    assert with_motion_weight(unet, DiffusionConfig()) is unet
    plain = UNet3D(replace(CONFIG, motion_embed_dim=None))
    assert with_motion_weight(plain, DIFFUSION) is plain


def test_embeds_of_a_wrong_width_are_refused(unet):
    cond = replace(conditioning(1), guidance_embeds=torch.zeros(1, 20))
    with pytest.raises(ValueError, match=r"is 20 wide: use 16, or 32 with the motion weight"):
        unet(torch.zeros(1, 4, 2, 8, 8), torch.zeros(1), cond)
