"""Latents to pixels inside a loss: frame by frame, with activations computed again for the backward pass.

Otherwise the decoder's activations of every scored frame are kept until then. A tiny decoder
(``networks.tiny_decoder``) has fewer of them, and fits in here as well.

Source of recomputation: Chen et al. 2016 (arXiv:1604.06174).

Shapes: b batch, z latent channels, f frames, h w height and width of latents, h2 w2 of pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rufous.networks.layers import call_checkpointed
from rufous.networks.tiny_decoder import TinyDecoder
from rufous.networks.vae2d import AutoencoderKL


@dataclass(frozen=True)
class SlicedDecoder:
    """Decodes scaled latents a few frames at a time; differentiable, and no number depends on the slices."""

    decode: Callable[[Tensor], Tensor]
    """[b z f h w] to [b 3 f h2 w2], each frame by itself."""
    slice_frames: int = 1
    """Frames of every clip of the batch that are decoded at once."""
    is_checkpointed: bool = True
    """Keep the pixels of a slice alone, and compute its activations again for the backward pass."""

    def __post_init__(self) -> None:
        if self.slice_frames < 1:
            raise ValueError(f"slice_frames={self.slice_frames}: use 1 or more")

    def __call__(self, latents: Float[Tensor, "b z f h w"]) -> Float[Tensor, "b 3 f h2 w2"]:
        """Pixels in [-1, 1]; the decoder's overshoot saturates, as in the published trainers."""
        slices = latents.split(self.slice_frames, dim=2)
        frames = [call_checkpointed(self.decode, part, enabled=self.is_checkpointed) for part in slices]
        return torch.cat(frames, dim=2).clamp(-1.0, 1.0)


def sliced_decoder(
    network: AutoencoderKL | TinyDecoder, *, slice_frames: int = 1, is_checkpointed: bool = True
) -> SlicedDecoder:
    """The decoder of a network, which is frozen in place: gradients reach latents and never its weights."""
    network.eval().requires_grad_(False)
    return SlicedDecoder(network.decode_video, slice_frames, is_checkpointed)
