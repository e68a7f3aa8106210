"""What a network is called with: recorded while a pipeline samples, made from latents, or made up for timing.

Shapes: b batch, c channels, f latent frames, h w latent height and width.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser, Network
from rufous.networks.unet3d import UNet3DConfig


@dataclass(frozen=True, kw_only=True)
class NetworkCall:
    """The three arguments of one call of a denoising network."""

    latents: Float[Tensor, "b c f h w"]
    timesteps: Float[Tensor, " b"]
    cond: Conditioning

    def of(self, network: Network) -> Float[Tensor, "b o f h w"]:
        """What ``network`` answers, in float32."""
        return network(self.latents, self.timesteps, self.cond).float()

    def to(self, device: torch.device | str) -> "NetworkCall":
        """Move everything to ``device``."""
        return NetworkCall(
            latents=self.latents.to(device), timesteps=self.timesteps.to(device), cond=self.cond.to(device)
        )


@dataclass(frozen=True, kw_only=True)
class ClipSize:
    """Size of one clip as a network sees it; costs depend on nothing else."""

    num_frames: int = 16
    height: int = 40
    """Of the latents."""
    width: int = 64
    """Of the latents."""
    num_tokens: int = 77
    """Of the prompt."""


@contextlib.contextmanager
def recorded_calls(network: nn.Module) -> Iterator[list[NetworkCall]]:
    """Every call that ``network`` gets inside the block, for example from a pipeline that samples.

    The calls are those that count: noisy latents of the model's own making, at the timesteps of its sampler,
    with and without the prompt if it is guided. No training data is needed.
    """
    calls: list[NetworkCall] = []

    def record(_: nn.Module, inputs: tuple[Tensor, Tensor, Conditioning]) -> None:
        latents, timesteps, cond = inputs
        calls.append(NetworkCall(latents=latents.clone(), timesteps=timesteps.clone(), cond=cond))

    hook = network.register_forward_pre_hook(record)
    try:
        yield calls
    finally:
        hook.remove()


def noised_calls(
    denoiser: Denoiser,
    latents: Float[Tensor, "b c f h w"],
    cond: Conditioning,
    *,
    num_timesteps: int,
    generator: torch.Generator,
) -> list[NetworkCall]:
    """Encoded clips as the network gets them in training: one call for each of several noise levels.

    Args:
        denoiser: Its schedule gives the noise.
        latents: Clean, scaled as the network expects them.
        cond: Their conditioning.
        num_timesteps: Levels, in the middles of as many equal parts of the schedule.
        generator: Of the noise; on the device of ``latents``.

    Raises:
        ValueError: ``num_timesteps`` is less than 1.
    """
    if num_timesteps < 1:
        raise ValueError(f"num_timesteps={num_timesteps}: use 1 or more")
    calls: list[NetworkCall] = []
    for i in range(num_timesteps):
        timestep = (i + 0.5) / num_timesteps * denoiser.schedule.num_train_timesteps
        timesteps = torch.full((len(latents),), timestep, device=latents.device).floor()
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        noisy = denoiser.add_noise(latents, noise, timesteps)
        calls.append(NetworkCall(latents=noisy, timesteps=timesteps, cond=cond))
    return calls


def unet3d_call(config: UNet3DConfig, size: ClipSize) -> NetworkCall:
    """A call of one clip of noise with random conditioning, always the same; for timing a 3D U-Net."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    guidance = (config.guidance_embed_dim or 0) + (config.motion_embed_dim or 0)
    return NetworkCall(
        latents=noise(1, config.in_channels, size.num_frames, size.height, size.width),
        timesteps=torch.tensor([500.0]),
        cond=Conditioning(
            prompt_embeds=noise(1, size.num_tokens, config.cross_attention_dim),
            fps=torch.tensor([8.0]),
            guidance_embeds=noise(1, guidance) if guidance else None,
        ),
    )
