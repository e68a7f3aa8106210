from dataclasses import replace

import pytest
import torch

from rufous.core.errors import ConfigError
from rufous.networks.vae2d import SD_KL_F8, AutoencoderKL, AutoencoderKLConfig, Posterior

TINY = AutoencoderKLConfig(
    base_channels=8, channel_mult=(1, 2), num_res_blocks=1, norm_groups=4, slice_frames=2
)


def tiny_vae(config: AutoencoderKLConfig = TINY) -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(config).eval()


def clip(frames: int = 3, height: int = 8, width: int = 12) -> torch.Tensor:
    return torch.rand(2, 3, frames, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_the_preset_has_the_published_number_of_parameters():
    with torch.device("meta"):
        vae = AutoencoderKL(SD_KL_F8)
    assert sum(parameter.numel() for parameter in vae.parameters()) == 83_653_863
    assert SD_KL_F8.vae_scale_factor_spatial == 8


@torch.no_grad()
def test_a_clip_becomes_latents_and_a_clip_again():
    latents = tiny_vae().encode_video(clip())
    assert latents.shape == (2, 4, 3, 4, 6)
    assert tiny_vae().decode_video(latents).shape == (2, 3, 3, 8, 12)


@torch.no_grad()
def test_the_scale_and_the_shift_act_at_the_video_boundary_only():
    vae, scaled = tiny_vae(), tiny_vae(replace(TINY, scaling_factor=2.0, shift_factor=0.5))
    plain = vae.encode_video(clip()) / TINY.scaling_factor
    assert torch.allclose(scaled.encode_video(clip()), (plain - 0.5) * 2.0, atol=1e-5)
    decoded = vae.decode_video(plain * TINY.scaling_factor)
    assert torch.allclose(scaled.decode_video((plain - 0.5) * 2.0), decoded, atol=1e-4)


@pytest.mark.parametrize("slice_frames", [1, 4, 100])
@torch.no_grad()
def test_slices_of_frames_change_nothing_not_even_the_draw(slice_frames):
    def latents(config):
        return tiny_vae(config).encode_video(clip(), generator=torch.Generator().manual_seed(3))

    assert torch.allclose(latents(TINY), latents(replace(TINY, slice_frames=slice_frames)), atol=1e-5)


@torch.no_grad()
def test_a_generator_draws_and_none_takes_the_mode():
    vae = tiny_vae()
    modes = [vae.encode_video(clip()) for _ in range(2)]
    draws = [vae.encode_video(clip(), generator=torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
    assert torch.equal(*modes)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@torch.no_grad()
def test_tiles_agree_with_the_whole_away_from_borders_and_in_shape():
    latents = torch.randn(1, 4, 2, 24, 32, generator=torch.Generator().manual_seed(2))
    tiled = tiny_vae(replace(TINY, tile_size=32)).decode_video(latents)
    assert tiled.shape == (1, 3, 2, 48, 64)
    video = clip(height=48, width=64)
    assert tiny_vae(replace(TINY, tile_size=32)).encode_video(video).shape == (2, 4, 3, 24, 32)


@torch.no_grad()
def test_tiles_of_a_pointwise_network_give_exactly_the_whole():
    vae = tiny_vae(replace(TINY, tile_size=16))
    pixels = torch.randn(1, 3, 2, 20, 46, generator=torch.Generator().manual_seed(2))
    tiled = vae._map_frames(
        pixels, lambda x: 2 * x.repeat_interleave(2, -1).repeat_interleave(2, -2), unit_in=1, unit_out=2
    )
    whole = 2 * pixels.transpose(1, 2)[0].repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert torch.allclose(tiled, whole, atol=1e-5)


@torch.no_grad()
def test_small_frames_are_never_tiled():
    config = replace(TINY, tile_size=16)
    assert torch.equal(tiny_vae(config).encode_video(clip()), tiny_vae().encode_video(clip()))


@pytest.mark.parametrize("tile_size", [None, 8])
def test_gradients_reach_the_latents_through_slices_and_tiles(tile_size):
    latents = torch.randn(1, 4, 3, 8, 8, requires_grad=True)
    tiny_vae(replace(TINY, tile_size=tile_size)).decode_video(latents).square().mean().backward()
    assert latents.grad.abs().amin() > 0


def test_activation_checkpointing_changes_no_gradient():
    gradients = []
    for is_checkpointed in (False, True):
        vae = tiny_vae(replace(TINY, gradient_checkpointing=is_checkpointed))
        video = clip().requires_grad_()
        vae.decode_video(vae.encode_video(video)).square().mean().backward()
        gradients.append(video.grad)
    assert torch.allclose(*gradients, atol=1e-6)


def test_sizes_that_do_not_fit_are_refused_with_the_multiple():
    with pytest.raises(ValueError, match="9x12 pixels do not fit this VAE: use multiples of 2"):
        tiny_vae().encode_video(torch.zeros(1, 3, 1, 9, 12))
    with pytest.raises(ValueError, match="use multiples of 2"):
        tiny_vae().encode(torch.zeros(1, 3, 8, 13))


def test_the_divergence_of_a_standard_normal_is_zero():
    zero = torch.zeros(2, 4, 3, 3)
    assert not Posterior(mean=zero, logvar=zero).kl().any()
    assert torch.allclose(Posterior(mean=zero + 1, logvar=zero).kl(), torch.tensor(18.0))


def test_reference_fields_become_house_fields():
    published = {
        "double_z": True,
        "z_channels": 4,
        "resolution": 512,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 128,
    }
    published |= {"ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0}
    assert AutoencoderKLConfig.from_reference(published) == SD_KL_F8
    with pytest.raises(ConfigError, match="tanh_out"):
        AutoencoderKLConfig.from_reference({**published, "tanh_out": True})
    with pytest.raises(ConfigError, match="attn_resolutions"):
        AutoencoderKLConfig.from_reference({**published, "attn_resolutions": [16]})


@pytest.mark.parametrize(
    "change",
    [
        {"base_channels": 9},
        {"slice_frames": 0},
        {"tile_size": 10},
        {"tile_overlap": 1.0},
        {"scaling_factor": 0.0},
    ],
)
def test_contradictions_are_refused(change):
    with pytest.raises(ConfigError):
        replace(TINY, **change)
