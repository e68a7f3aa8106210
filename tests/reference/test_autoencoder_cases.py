"""The KL autoencoder of the latent-diffusion releases."""

import torch

from rufous.networks.vae2d import AutoencoderKL, AutoencoderKLConfig


@torch.inference_mode()
def test_an_autoencoder_computes_what_the_published_one_does(autoencoder_case, assert_close):
    vae = AutoencoderKL(AutoencoderKLConfig.from_reference(autoencoder_case.info["config"]))
    vae.load_state_dict(autoencoder_case.weights())
    inputs = autoencoder_case.inputs()
    posterior = vae.encode(inputs["image"].clamp(-1, 1))
    moments = torch.cat([posterior.mean, posterior.logvar], dim=1)
    assert_close(moments, autoencoder_case.stored["moments"])
    assert_close(vae.decode(inputs["latent"]), autoencoder_case.stored["decoded"])
