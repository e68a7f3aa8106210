"""A whole release of a few thousand random weights, built once per test session."""

from pathlib import Path

import pytest
import torch

from rufous.checkpoints import DiffusionConfig, Manifest, save_release
from rufous.diffusion import SamplingConfig
from rufous.networks.text_encoders import TextEncoder, TextEncoderConfig, WordTokenizer
from rufous.networks.unet3d import UNet3D, UNet3DConfig
from rufous.networks.vae2d import AutoencoderKL, AutoencoderKLConfig
from rufous.pipelines import TextToVideoPipeline, load
from rufous.world import vocabulary

TINY_UNET = UNet3DConfig(
    model_channels=8,
    channel_mult=(1, 2),
    num_res_blocks=1,
    attention_resolutions=(2,),
    num_head_channels=4,
    norm_groups=4,
    cross_attention_dim=8,
    init_attention=False,
)
TINY_AUTOENCODER = AutoencoderKLConfig(
    base_channels=8, channel_mult=(1, 1, 1), num_res_blocks=1, norm_groups=4, slice_frames=8
)


def tiny_components(unet: UNet3DConfig = TINY_UNET) -> dict[str, object]:
    """Random networks that fit one another, of a few steps, named as ``rufous convert`` does."""
    torch.manual_seed(0)
    tokenizer = WordTokenizer(vocabulary())
    text = TextEncoderConfig(
        vocab_size=len(tokenizer), context_length=24, width=8, heads=2, layers=2, embed_dim=8, layer="last"
    )
    network = UNet3D(unet)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))  # zero-initialised layers would hide the rest
    return {
        "unet": network,
        "vae": AutoencoderKL(TINY_AUTOENCODER),
        "text_encoder": TextEncoder(text),
        "tokenizer": tokenizer,
        "scheduler": DiffusionConfig(
            sampling=SamplingConfig(num_inference_steps=3, guidance_scale=4.0),
            num_frames=4,
            height=16,
            width=16,
            fps=8.0,
        ),
    }


@pytest.fixture(scope="session")
def tiny_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a release that generates 4 frames of 16 x 16 in milliseconds."""
    folder = tmp_path_factory.mktemp("releases") / "tiny"
    save_release(folder, tiny_components(), Manifest(name="tiny", licences={"weights": "Apache-2.0"}))
    return folder


@pytest.fixture(scope="session")
def tiny_pipeline(tiny_release: Path) -> TextToVideoPipeline:
    """The pipeline of ``tiny_release`` in float32 on the CPU."""
    return load(tiny_release, device="cpu", dtype="fp32")
