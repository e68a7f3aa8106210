"""T2V-Turbo-v2's motion weight: told to the network at each step, full while it is noisy and zero afterwards.

Source: Li et al. 2024 (arXiv:2410.05677), section 4.2, and the published pipeline for where it is zero.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.core.types import Conditioning
from rufous.diffusion.guidance import embed_guidance_scale
from rufous.networks.unet3d import UNet3D

Network = Callable[[Tensor, Tensor, Conditioning], Tensor]


def with_motion_weight(unet: UNet3D, diffusion: DiffusionConfig) -> Network:
    """The network as the sampler calls it; ``unet`` itself where the release has no motion weight."""
    if unet.config.motion_embed_dim is None or diffusion.embedded_motion_weight is None:
        return unet
    threshold = diffusion.schedule.num_train_timesteps * (1 - diffusion.motion_share)
    return _MotionWeighted(unet, diffusion.embedded_motion_weight, threshold)


@dataclass(frozen=True)
class _MotionWeighted:
    """A U-Net whose ``guidance_embeds`` gain the embedded motion weight of the timestep."""

    unet: UNet3D
    weight: float
    threshold: float

    def __call__(
        self, latents: Float[Tensor, "b c f h w"], timesteps: Float[Tensor, " b"], cond: Conditioning
    ) -> Float[Tensor, "b c f h w"]:
        dim, scale = self.unet.config.motion_embed_dim, cond.guidance_embeds
        if dim is None or scale is None:
            raise ValueError("this network needs cond.guidance_embeds beside its motion weight")
        weights = self.weight * (timesteps >= self.threshold).float()
        embeds = torch.cat([scale, embed_guidance_scale(weights, dim).to(scale)], dim=1)
        return self.unet(latents, timesteps, replace(cond, guidance_embeds=embeds))
