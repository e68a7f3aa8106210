"""Networks with the published key names: weights load strictly, pruned variants are config values.

* ``unet3d`` - VideoCrafter2's 3D U-Net and its pruned variants.
* ``vae2d`` - frame-wise KL autoencoder of Stable Diffusion and VideoCrafter2.
* ``tiny_decoder`` - small decoder that rewards and previews see pixels through.
* ``text_encoders`` - text tower in open_clip's key names, word and CLIP tokenizers.
* ``video_text`` - small contrastive video-text model.
* ``cost`` - operations and activations of one pass of each network.
* ``attention`` - attention by the fastest way that a device has for it.
* ``layers`` - sinusoids, zero initialisation and what undoes it, checkpointed calls, layouts.
"""

from rufous.networks.text_encoders import TextEncoder, TextEncoderConfig, WordTokenizer
from rufous.networks.tiny_decoder import TinyDecoder, TinyDecoderConfig
from rufous.networks.unet3d import (
    UNET_0_7B,
    UNET_0_9B,
    VIDEOCRAFTER2,
    UNet3D,
    UNet3DConfig,
    prunable_blocks,
    prunable_parts,
)
from rufous.networks.vae2d import AutoencoderKL, AutoencoderKLConfig
from rufous.networks.video_text import VideoTextConfig, VideoTextModel

__all__ = [
    "UNET_0_7B",
    "UNET_0_9B",
    "VIDEOCRAFTER2",
    "AutoencoderKL",
    "AutoencoderKLConfig",
    "TextEncoder",
    "TextEncoderConfig",
    "TinyDecoder",
    "TinyDecoderConfig",
    "UNet3D",
    "UNet3DConfig",
    "VideoTextConfig",
    "VideoTextModel",
    "WordTokenizer",
    "prunable_blocks",
    "prunable_parts",
]
