from dataclasses import replace

import pytest
import torch

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, save_release
from rufous.core.errors import ConfigError
from rufous.networks.tiny_decoder import TinyDecoder, TinyDecoderConfig
from rufous.networks.vae2d import SD_KL_F8, AutoencoderKLConfig

TINY = TinyDecoderConfig(widths=(8, 6), factors=(2, 2), blocks_per_stage=1)


def network(config=TINY):
    torch.manual_seed(0)
    decoder = TinyDecoder(config)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))  # blocks start as the identity
    return decoder.eval()


def latents(num_frames=3, channels=4):
    return torch.randn(2, channels, num_frames, 5, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("factors", [(1,), (3,), (2, 2), (2, 3), (2, 2, 2), (4, 2)])
def test_pixels_are_as_many_as_the_factors_say(factors):
    config = TinyDecoderConfig(latent_channels=5, widths=(8,) * len(factors), factors=factors)
    scale = config.vae_scale_factor_spatial
    assert network(config).decode_video(latents(channels=5)).shape == (2, 3, 3, 5 * scale, 4 * scale)


@torch.no_grad()
def test_frames_and_clips_do_not_see_each_other():
    decoder, clips = network(), latents()
    whole = decoder.decode_video(clips)
    torch.testing.assert_close(whole[1:, :, 2:], decoder.decode_video(clips[1:, :, 2:]))


@torch.no_grad()
def test_a_latent_is_seen_around_its_own_place():
    decoder, clips = network(), latents()
    changed = clips.clone()
    changed[0, :, 1, 0, 0] += 1
    moved = (decoder.decode_video(changed) - decoder.decode_video(clips)).abs().amax(dim=1)[0]
    assert moved[0].eq(0).all()
    assert moved[2].eq(0).all()
    assert moved[1, :4, :4].gt(0).all()


def test_fresh_blocks_are_the_identity():
    torch.manual_seed(0)
    deep = TinyDecoder(replace(TINY, blocks_per_stage=3))
    shallow = TinyDecoder(replace(TINY, blocks_per_stage=0))
    shallow.load_state_dict({key: value for key, value in deep.state_dict().items() if "blocks" not in key})
    torch.testing.assert_close(deep.decode_video(latents()), shallow.decode_video(latents()))


def test_gradients_reach_every_latent_and_every_weight():
    decoder, clips = network(), latents().requires_grad_()
    decoder.decode_video(clips).square().sum().backward()
    assert clips.grad.ne(0).all()
    assert all(parameter.grad.abs().sum() > 0 for parameter in decoder.parameters())


@pytest.mark.parametrize("mult", [(1,), (1, 2), (1, 1, 2), (1, 2, 4, 4)])
def test_it_fits_any_autoencoder(mult):
    autoencoder = AutoencoderKLConfig(channel_mult=mult, latent_channels=6)
    config = TinyDecoderConfig.fitting(autoencoder, width=24)
    assert config.vae_scale_factor_spatial == autoencoder.vae_scale_factor_spatial
    assert config.latent_channels == 6
    assert config.widths[0] == 24


def test_the_defaults_fit_stable_diffusion():
    assert TinyDecoderConfig().vae_scale_factor_spatial == SD_KL_F8.vae_scale_factor_spatial


def test_it_is_a_component_of_releases(tmp_path):
    decoder = network()
    save_release(tmp_path / "release", {"tiny_decoder": decoder}, Manifest(name="tiny"))
    loaded = load_component(tmp_path / "release", "tiny_decoder")
    assert loaded.config == TINY
    assert torch.equal(loaded.decode_video(latents()), decoder.decode_video(latents()))


def test_half_weights_take_any_latents():
    assert network().bfloat16().decode_video(latents()).dtype == torch.bfloat16


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="2 widths need as many factors, at least 1, not 1"):
        TinyDecoderConfig(widths=(8, 8), factors=(2,))
    with pytest.raises(ConfigError, match="must be positive"):
        TinyDecoderConfig(widths=(0,), factors=(2,))
    with pytest.raises(ConfigError, match="blocks_per_stage=-1"):
        TinyDecoderConfig(blocks_per_stage=-1)
    with pytest.raises(ValueError, match="3 latent channels do not fit this tiny decoder, which reads 4"):
        network().decode_video(latents(channels=3))
