"""Training objectives: what each stage of making a model small and fast minimises.

* ``denoising`` - plain diffusion training, for pre-training and for recovery after pruning.
* ``teaching`` - what every distillation asks of a teacher: frozen weights, guidance, blocks to compare.
* ``structural`` - recovery after pruning, towards the teacher's output after guidance.
* ``consistency`` - few steps by agreement along the teacher's path.
* ``distribution_matching`` - few steps by landing where the teacher's distribution is.
* ``adversarial`` - real clips against a student's, beside distribution matching.
* ``lora`` - a few-step student, or any network, trained by thin matrices beside its layers (extra ``lora``).
* ``autoencoding`` - frame autoencoders.
* ``decoding`` - tiny decoders, and what is measured of them.
* ``contrastive`` - video-text models.
"""

from rufous.distillation.adversarial import AdversarialConfig
from rufous.distillation.autoencoding import AutoencodingObjective
from rufous.distillation.consistency import ConsistencyConfig, ConsistencyObjective, Feedback
from rufous.distillation.contrastive import CaptionedVideos, ContrastiveObjective
from rufous.distillation.decoding import DecodingObjective, EncodedFrames
from rufous.distillation.denoising import DenoisingConfig, DenoisingObjective, LatentBatch
from rufous.distillation.distribution_matching import (
    DistributionMatchingConfig,
    DistributionMatchingObjective,
)
from rufous.distillation.structural import StructuralConfig, StructuralObjective
from rufous.distillation.teaching import GuidanceRange

__all__ = [
    "AdversarialConfig",
    "AutoencodingObjective",
    "CaptionedVideos",
    "ConsistencyConfig",
    "ConsistencyObjective",
    "ContrastiveObjective",
    "DecodingObjective",
    "DenoisingConfig",
    "DenoisingObjective",
    "DistributionMatchingConfig",
    "DistributionMatchingObjective",
    "EncodedFrames",
    "Feedback",
    "GuidanceRange",
    "LatentBatch",
    "StructuralConfig",
    "StructuralObjective",
]
