"""Training objectives: what each stage of making a model small and fast minimises.

* ``denoising`` - plain diffusion training, for pre-training and for recovery after pruning.
* ``autoencoding`` - frame autoencoders.
* ``contrastive`` - video-text models.
"""

from rufous.distillation.autoencoding import AutoencodingObjective
from rufous.distillation.contrastive import CaptionedVideos, ContrastiveObjective
from rufous.distillation.denoising import DenoisingConfig, DenoisingObjective, LatentBatch

__all__ = [
    "AutoencodingObjective",
    "CaptionedVideos",
    "ContrastiveObjective",
    "DenoisingConfig",
    "DenoisingObjective",
    "LatentBatch",
]
