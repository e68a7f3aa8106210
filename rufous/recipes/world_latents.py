"""Latents of rendered clips, encoded once: the autoencoder is frozen, so nothing is gained by encoding again.

    rufous train world_latents

The float16 file is 128 kB a clip of 16 frames at 64x64 pixels; encoding takes about 25 ms a clip on two
cores.
"""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap

from rufous.checkpoints.release import load_component
from rufous.core.config import to_json_dict
from rufous.core.console import logger
from rufous.core.devices import autocast, has_native_bf16
from rufous.core.files import sha256_of, write_text
from rufous.networks.vae2d import AutoencoderKL
from rufous.recipes.recipe import Recipe
from rufous.recipes.world_clips import WorldClipsConfig, render_clips
from rufous.video.frames import from_uint8

_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class WorldLatentsConfig:
    """Which clips are encoded, and by what."""

    clips: WorldClipsConfig = field(default_factory=WorldClipsConfig)
    clips_dir: str = "runs/world_clips"
    autoencoder: str = "runs/world_autoencoder/release"
    """Release folder with the component ``autoencoder``."""
    batch_size: int = 8


@dataclass(frozen=True)
class EncodedClips:
    """Scaled latents ``float16 [n c f h w]`` by memory mapping, and for each clip its captions."""

    latents: np.ndarray
    captions: list[list[str]]
    config: WorldClipsConfig

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.config.fps

    @cached_property
    def motions(self) -> list[str]:
        """How the first thing of each clip moves, whether or not its captions tell."""
        return [self.config.clips.scene(index)[0].things[0].motion for index in range(len(self))]


def encode_clips(config: WorldLatentsConfig, folder: Path, device: torch.device) -> EncodedClips:
    """The latents of a config, encoded into ``folder`` unless they are there already.

    Whether they are is told by the config and the hash of the autoencoder's weights.
    """
    done = folder / "latents.json"
    weights = sha256_of(Path(config.autoencoder) / "autoencoder" / "model.safetensors")
    made_of = {"clips": to_json_dict(config.clips), "autoencoder_sha256": weights}
    clips = render_clips(config.clips, Path(config.clips_dir))
    if not done.is_file() or json.loads(done.read_text()) != made_of:
        folder.mkdir(parents=True, exist_ok=True)
        done.unlink(missing_ok=True)
        _log.info("encoding %d clips into %s", len(clips), folder)
        autoencoder = load_component(config.autoencoder, "autoencoder", device=device)
        _encode(autoencoder, clips.frames, folder / "latents.npy", config.batch_size, device)
        write_text(done, json.dumps(made_of))
    latents = np.load(folder / "latents.npy", mmap_mode="r")
    return EncodedClips(latents, clips.captions, config.clips)


@torch.inference_mode()
def _encode(
    autoencoder: AutoencoderKL, frames: np.ndarray, path: Path, batch_size: int, device: torch.device
) -> None:
    count, num_frames, _, height, width = frames.shape
    factor, channels = autoencoder.config.vae_scale_factor_spatial, autoencoder.config.latent_channels
    shape = (count, channels, num_frames, height // factor, width // factor)
    latents = open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    dtype = torch.bfloat16 if has_native_bf16(device) else torch.float32
    for start in range(0, count, batch_size):
        pixels = from_uint8(torch.from_numpy(frames[start : start + batch_size].copy()).to(device))
        with autocast(device, dtype):
            part = autoencoder.encode_video(pixels.transpose(1, 2))
        latents[start : start + batch_size] = part.half().cpu().numpy()
    latents.flush()


def run(config: WorldLatentsConfig, run_dir: Path, device: torch.device) -> Path:
    """Encode into ``run_dir``."""
    encode_clips(config, run_dir, device)
    return run_dir


RECIPE = Recipe(
    name="world_latents",
    summary="Latents of the world's clips on disk.",
    config=WorldLatentsConfig(),
    run=run,
)
