"""Training of a frame autoencoder: reconstruct pixels and edges, with a weak pull to a Gaussian.

A small thing covers three per cent of a frame and would hardly count in a plain mean. So errors count more
where the frame has edges nearby, and the error of the spatial differences is added to that of the pixels.

Shapes: n frames, h w pixels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from rufous.networks.vae2d import AutoencoderKL


class AutoencodingObjective:
    """L1 of pixels and of their differences, plus the KL divergence to a standard normal.

        loss = mean(w |y - x|) + mean|dx y - dx x| + mean|dy y - dy x| + kl_weight * KL

    with ``w`` from ``saliency``. Source of the KL term: Kingma & Welling 2014 (arXiv:1312.6114), appendix B;
    of a KL weight far below 1: Rombach et al. 2022 (arXiv:2112.10752), section 3.1.
    """

    def __init__(self, network: AutoencoderKL, *, kl_weight: float = 1e-5, edge_weight: float = 6.0) -> None:
        """Train ``network``; ``edge_weight`` 0 weighs all pixels alike."""
        self.trainable = network
        self._kl_weight = kl_weight
        self._edge_weight = edge_weight

    def loss(
        self, batch: Float[Tensor, "n 3 h w"], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Loss of one batch of frames in [-1, 1]; logs the PSNR in decibels."""
        posterior = self.trainable.encode(batch)
        output = self.trainable.decode(posterior.sample(generator)).float()
        pixels = ((output - batch).abs() * saliency(batch, self._edge_weight)).mean()
        edges = edge_error(output, batch)
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        metrics: dict[str, Tensor | float] = {
            "pixels": pixels.detach(),
            "kl": kl.detach(),
            "psnr": psnr(output.detach(), batch),
        }
        return pixels + edges + self._kl_weight * kl, metrics

    def after_step(self) -> None:
        """Nothing follows a step."""

    def state_dict(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""


def saliency(frames: Float[Tensor, "n 3 h w"], edge_weight: float) -> Float[Tensor, "n 1 h w"]:
    """Weight of each pixel, with mean 1 in each frame: 1 + edge_weight times the share of nearby edges.

    edges = box_9(|dx x| + |dy x|),   w ~ 1 + edge_weight * edges / mean(edges)
    """
    steps = F.pad(_difference(frames, -1), (0, 1)).abs() + F.pad(_difference(frames, -2), (0, 0, 0, 1)).abs()
    edges = F.avg_pool2d(steps.mean(dim=1, keepdim=True), 9, stride=1, padding=4)
    weight = 1 + edge_weight * edges / (edges.mean(dim=(1, 2, 3), keepdim=True) + 0.01)  # 0.01: flat frames
    return weight / weight.mean(dim=(1, 2, 3), keepdim=True)


def edge_error(output: Float[Tensor, "n 3 h w"], target: Float[Tensor, "n 3 h w"]) -> Float[Tensor, ""]:
    """Mean absolute error of the differences between neighbouring pixels, summed over both axes."""
    across, down = ((_difference(output, axis) - _difference(target, axis)).abs().mean() for axis in (-1, -2))
    return across + down


def psnr(output: Float[Tensor, "n 3 h w"], target: Float[Tensor, "n 3 h w"]) -> Float[Tensor, ""]:
    """Mean peak signal-to-noise ratio over frames in [-1, 1], in decibels; the output is clamped first."""
    error = (output.float().clamp(-1, 1) - target.float()).square().mean(dim=(1, 2, 3))
    return (10 * torch.log10(4 / error.clamp(min=1e-10))).mean()


def _difference(x: Tensor, axis: int) -> Tensor:
    size = x.shape[axis]
    return x.narrow(axis, 1, size - 1) - x.narrow(axis, 0, size - 1)
