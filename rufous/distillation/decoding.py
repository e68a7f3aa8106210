"""Training of a tiny decoder: look like the full decoder, and like the frames that were encoded.

Also what is measured of it: how near it comes to both, how much its errors flicker, and its time.

Shapes: n images, b clips of f frames, z latent channels, h w height and width of latents, h2 w2 of pixels.
"""

from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from rufous.core.devices import median_times_s
from rufous.distillation.autoencoding import edge_error, psnr, saliency
from rufous.networks.tiny_decoder import TinyDecoder
from rufous.networks.vae2d import AutoencoderKL

TIMED_RUNS = 3


@dataclass(frozen=True)
class EncodedFrames:
    """Frames in [-1, 1] and their scaled latents."""

    latents: Float[Tensor, "n z h w"]
    pixels: Float[Tensor, "n 3 h2 w2"]

    def __len__(self) -> int:
        return len(self.latents)


class DecodingObjective:
    """L1 to the full decoder's output and to the real frame, and L1 of edges.

        loss = mean(w |y - d|) + mean|dx y - dx d| + mean|dy y - dy d| + real_weight * mean(w |y - x|)

    y is the tiny decoder's output, d the full one's, x the real frame, ``w`` its ``saliency``. The full
    decoder shows what the latents can tell, so it leads; the real frame keeps out what it got wrong.
    """

    def __init__(
        self,
        network: TinyDecoder,
        autoencoder: AutoencoderKL,
        *,
        real_weight: float = 0.25,
        edge_weight: float = 6.0,
    ) -> None:
        """Train ``network``; ``autoencoder`` is frozen in place.

        Raises:
            ConfigError: The two differ in latent channels or in pixels per latent.
        """
        network.config.check_fits(autoencoder.config)
        self.trainable = network
        self._autoencoder = autoencoder.eval().requires_grad_(False)
        self._real_weight = real_weight
        self._edge_weight = edge_weight

    def loss(
        self, batch: EncodedFrames, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Loss of one batch; logs the PSNR to the full decoder in decibels. ``generator`` is not used."""
        with torch.no_grad():
            clips = self._autoencoder.decode_video(rearrange(batch.latents, "n z h w -> n z 1 h w"))
            target = rearrange(clips, "n c 1 h w -> n c h w").float()
        output = self.trainable(batch.latents).float()
        weight = saliency(batch.pixels, self._edge_weight)
        to_full = (weight * (output - target).abs()).mean()
        to_real = (weight * (output - batch.pixels).abs()).mean()
        edges = edge_error(output, target)
        metrics: dict[str, Tensor | float] = {
            "to_full": to_full.detach(),
            "to_real": to_real.detach(),
            "psnr_to_full": psnr(output.detach(), target),
        }
        return to_full + edges + self._real_weight * to_real, metrics

    def after_step(self) -> None:
        """Nothing follows a step."""

    def state_dict(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""


def flicker(video: Float[Tensor, "b c f h w"], reference: Float[Tensor, "b c f h w"]) -> Float[Tensor, ""]:
    """How much the error of a clip changes from frame to frame, in grey levels of 0 to 255; lower is better.

        flicker = 127.5 * mean |(y - r)_(t+1) - (y - r)_t|

    An error that stands still is no flicker. Where the reference stands still, this is the mean change
    between neighbouring frames, which VBench's "temporal flickering" takes from static clips.

    Args:
        video: In [-1, 1].
        reference: What it should be.

    Raises:
        ValueError: Fewer than 2 frames.

    Source:
        Own definition; compare VBench (Huang et al. 2024, arXiv:2311.17982), dimension "temporal flickering".
    """
    if video.shape[2] < 2:
        raise ValueError(f"{video.shape[2]} frame cannot flicker: use at least 2")
    error = video.float() - reference.float()
    return 127.5 * error.diff(dim=2).abs().mean()


@torch.no_grad()
def compare_decoders(
    network: TinyDecoder,
    autoencoder: AutoencoderKL,
    latents: Float[Tensor, "b z f h w"],
    pixels: Float[Tensor, "b 3 f h2 w2"],
) -> dict[str, float]:
    """Figures of a tiny decoder beside those of the full one, on real clips in [-1, 1] and their latents.

    PSNR in decibels, flicker in grey levels, milliseconds for decoding one clip (median of a few).
    """
    tiny = network.decode_video(latents).float().clamp(-1, 1)
    full = autoencoder.decode_video(latents).float().clamp(-1, 1)
    one = latents[:1]
    seconds = median_times_s(
        [lambda: network.decode_video(one), lambda: autoencoder.decode_video(one)],
        one.device,
        num_calls=TIMED_RUNS,
    )
    return {
        "psnr_to_full": _psnr(tiny, full),
        "psnr_to_real": _psnr(tiny, pixels),
        "full_psnr_to_real": _psnr(full, pixels),
        "flicker_to_full": float(flicker(tiny, full)),
        "flicker_to_real": float(flicker(tiny, pixels)),
        "full_flicker_to_real": float(flicker(full, pixels)),
        "ms_per_clip": 1000 * seconds[0],
        "full_ms_per_clip": 1000 * seconds[1],
    }


def _psnr(video: Tensor, reference: Tensor) -> float:
    return float(psnr(*(rearrange(clips, "b c f h w -> (b f) c h w") for clips in (video, reference))))
