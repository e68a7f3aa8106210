"""Networks with the published key names: weights load strictly, pruned variants are config values.

* ``unet3d`` - VideoCrafter2's 3D U-Net and its pruned variants.
* ``vae2d`` - frame-wise KL autoencoder of Stable Diffusion and VideoCrafter2.
* ``text_encoders`` - text tower in open_clip's key names, word and CLIP tokenizers.
* ``video_text`` - small contrastive video-text model.
* ``layers`` - sinusoids, zero initialisation, checkpointed calls, layouts.
"""

from rufous.networks.text_encoders import TextEncoder, TextEncoderConfig, WordTokenizer
from rufous.networks.unet3d import (
    UNET_0_7B,
    UNET_0_9B,
    VIDEOCRAFTER2,
    UNet3D,
    UNet3DConfig,
    prunable_blocks,
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
    "UNet3D",
    "UNet3DConfig",
    "VideoTextConfig",
    "VideoTextModel",
    "WordTokenizer",
    "prunable_blocks",
]
