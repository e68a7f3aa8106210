"""A tiny decoder for a release's autoencoder, from video files: feedback at full size decodes through it.

    rufous train distil_decoder release=videocrafter2 data.clips=webvid.csv
    rufous train feedback_unet_0_7b ... tiny_decoder=runs/distil_decoder/release

It works for the latents of that autoencoder alone. Unverified at full scale: only a reduced run on random
weights is tested.
"""

import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from rufous.checkpoints.lookup import find_release
from rufous.core.devices import autocast, has_native_bf16
from rufous.core.errors import ConfigError
from rufous.core.randomness import generator_from
from rufous.data.video_clips import ClipSampling, TrainingClip, VideoClips
from rufous.distillation.decoding import EncodedFrames
from rufous.networks.vae2d import AutoencoderKL
from rufous.recipes.decoder_distillation import DecoderDistillationConfig, distil_decoder, full_autoencoder
from rufous.recipes.distil_unet import UNVERIFIED
from rufous.recipes.processes import Processes, joined
from rufous.recipes.recipe import Recipe
from rufous.recipes.releases import ancestry, check_run_dir
from rufous.recipes.video_batches import VideoDataConfig, VideoSet
from rufous.video.frames import from_uint8


@dataclass(frozen=True, kw_only=True)
class DistilDecoderConfig(DecoderDistillationConfig):
    """Settings of the run."""

    release: str = "videocrafter2"
    """Whose autoencoder."""
    data: VideoDataConfig = field(
        default_factory=lambda: VideoDataConfig(
            sets=(VideoSet(sampling=ClipSampling(num_frames=4), batch_size=8),)
        )
    )
    """One set, whose clips' frames are looked at by themselves."""
    width: int = 64
    num_validation_clips: int = 8
    """Clips of the list that are not trained on."""

    def __post_init__(self) -> None:
        if len(self.data.sets) != 1:
            raise ConfigError(f"data.sets has {len(self.data.sets)} sets: a decoder needs exactly one")
        if self.data.sets[0].sampling.num_frames < 2:
            raise ConfigError("data.sets: flicker is measured between frames: use num_frames=2 or more")
        if self.num_validation_clips < 1:
            raise ConfigError(f"num_validation_clips={self.num_validation_clips}: use 1 or more")


def run(config: DistilDecoderConfig, run_dir: Path, device: torch.device) -> Path:
    """Train and write ``run_dir/release`` with the component ``tiny_decoder``.

    Raises:
        ConfigError: The list has no more clips than are held out.
        ValueError: The list of clips cannot be read.
    """
    records, part = config.data.records(), config.data.sets[0]  # before a release is downloaded
    if len(records) <= config.num_validation_clips:
        raise ConfigError(
            f"data.clips={config.data.clips!r} has {len(records)} clips, of which num_validation_clips="
            f"{config.num_validation_clips} are held out: use a longer list, or hold out fewer"
        )
    order = torch.randperm(len(records), generator=generator_from(config.seed, "held out")).tolist()
    chosen = [records[index] for index in order]
    own, others = chosen[config.num_validation_clips :], chosen[: config.num_validation_clips]
    places = {"autoencoder": find_release(config.release)}
    check_run_dir(run_dir, places)
    with joined(device) as processes:
        autoencoder = full_autoencoder(places["autoencoder"], processes.device)
        batches = processes.batches(
            VideoClips(own, part.sampling, seed=config.seed),
            lambda clips: _encoded(clips, autoencoder, processes),
            batch_size=part.batch_size,
            seed=config.seed,
            prefetch=2,
        )
        unseen = VideoClips(others, replace(part.sampling, views=1), seed=config.seed)
        with contextlib.closing(batches):
            return distil_decoder(
                config,
                name=f"{places['autoencoder'].name}-tiny-decoder",
                autoencoder=autoencoder,
                batches=batches,
                held_out=_pixels([unseen[index] for index in range(len(unseen))], processes),
                ancestors=ancestry(places),
                run_dir=run_dir,
                processes=processes,
                notes=(UNVERIFIED,),
            )


def _pixels(clips: list[TrainingClip], processes: Processes) -> Tensor:
    """Clips [b 3 f h w] in [-1, 1]."""
    frames = torch.stack([clip.frames for clip in clips]).to(processes.device)
    return from_uint8(frames).transpose(1, 2)


@torch.no_grad()
def _encoded(clips: list[TrainingClip], autoencoder: AutoencoderKL, processes: Processes) -> EncodedFrames:
    pixels = _pixels(clips, processes)
    dtype = torch.bfloat16 if has_native_bf16(processes.device) else torch.float32
    with autocast(processes.device, dtype):
        latents = autoencoder.encode_video(pixels).float()
    return EncodedFrames(
        *(rearrange(part, "b c f h w -> (b f) c h w").contiguous() for part in (latents, pixels))
    )


RECIPE = Recipe(
    name="distil_decoder",
    summary="A tiny decoder for a release's autoencoder, from video files; unverified at full scale.",
    config=DistilDecoderConfig(),
    run=run,
)
