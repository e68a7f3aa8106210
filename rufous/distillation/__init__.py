"""Training objectives: what each stage of making a model small and fast minimises.

* ``denoising`` - plain diffusion training, for pre-training and for recovery after pruning.
"""

from rufous.distillation.denoising import DenoisingConfig, DenoisingObjective, LatentBatch

__all__ = ["DenoisingConfig", "DenoisingObjective", "LatentBatch"]
