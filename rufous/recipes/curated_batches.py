"""Batches of a curated manifest for the training loop: bucketed, encoded as they are read or once for all.

Without ``cache_dir`` threads read files ahead, and the frozen autoencoder and the text tower encode a batch
when it is taken: on a CPU the loop chooses the attention kernels of the whole process, so that encoding
beside a training step would give other bits from time to time. With it, the first ``views`` epochs are
encoded into shards before training, and trained on in turn: epoch e shows what epoch e modulo ``views`` would
show without the cache.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from rufous.checkpoints.release import load_component
from rufous.core.config import to_json_dict
from rufous.core.console import logger
from rufous.core.devices import autocast, has_native_bf16
from rufous.core.files import sha256_of
from rufous.core.types import Conditioning
from rufous.data.bucket_batches import BucketBatches
from rufous.data.bucket_sampler import BucketSampler, SamplerConfig
from rufous.data.buckets import Bucket, BucketConfig, BucketRule, place
from rufous.data.curated_clips import CuratedClips, CuratedSampling
from rufous.data.manifest import read_manifest, recorded_root
from rufous.data.shards import Failures, Sample, Shards, write_shards
from rufous.data.video_clips import TrainingClip
from rufous.distillation.denoising import LatentBatch
from rufous.networks.vae2d import AutoencoderKL
from rufous.pipelines.loading import component_names
from rufous.recipes.processes import Processes
from rufous.recipes.text_tower import Text
from rufous.training.parallel import barrier, rank, world_size
from rufous.video.frames import from_uint8

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class CacheConfig:
    """How encoded clips are kept."""

    views: int = 1
    """Epochs that are encoded; each has its own crops, strides and captions."""
    samples_per_shard: int = 256
    dtype: Literal["fp16", "bf16", "fp32"] = "fp16"
    """Of latents and text embeddings on disk."""
    check: Literal["hashes", "sizes"] = "hashes"
    """What is checked when the cache is opened; the first process does it."""
    reading: Literal["mapped", "streamed"] = "mapped"

    def __post_init__(self) -> None:
        if min(self.views, self.samples_per_shard) < 1:
            raise ValueError(f"views={self.views}, samples_per_shard={self.samples_per_shard}: use 1 or more")


@dataclass(frozen=True, kw_only=True)
class CuratedDataConfig:
    """Which clips are trained on, at which sizes."""

    manifest: str = "curated/manifest.parquet"
    """What curation wrote."""
    root: str | None = None
    """Folder that the manifest's sources start from; None for the one that ``run.json`` beside it names, or
    its own."""
    sampling: CuratedSampling = field(default_factory=CuratedSampling)
    buckets: BucketConfig = field(
        default_factory=lambda: BucketConfig(
            rules=(BucketRule(resolution="320x512", num_frames=16, batch_size=4),), multiple=64
        )
    )
    """``multiple`` is 8 of the autoencoder times 8 of the U-Net's stages."""
    order: SamplerConfig = field(default_factory=SamplerConfig)
    cache_dir: str | None = None
    """Folder of the shards; None encodes clips as they are read. ``{set}`` in it stands for a hash of the
    clips and of all that encodes them, so that each set has a folder of its own."""
    cache: CacheConfig = field(default_factory=CacheConfig)
    prefetch: int = 2
    """Batches that are read ahead."""
    num_threads: int = 1
    """Threads that read them."""

    @property
    def settled(self) -> "CuratedDataConfig":
        """Without what a resumed run may change: how fast clips are read, not which."""
        cache = replace(self.cache, check="hashes", reading="mapped")
        return replace(self, prefetch=0, num_threads=1, cache=cache)

    def __post_init__(self) -> None:
        if self.buckets.stride != self.sampling.strides[0]:
            raise ValueError(
                f"buckets.stride={self.buckets.stride}, but sampling.strides={self.sampling.strides}: clips "
                "that fit a bucket must be long enough for the smallest stride; give both the same"
            )


@dataclass(frozen=True)
class EncodedClip:
    """One clip as the network sees it."""

    latents: Tensor
    """[c f h w]"""
    prompt_embeds: Tensor
    """[s d]"""
    prompt_mask: Tensor | None
    """[s]"""
    fps: float
    prompt: str


@dataclass(frozen=True)
class Encoder:
    """The frozen parts of a release that make latents of clips and embeddings of captions."""

    autoencoder: AutoencoderKL
    text: Text
    device: torch.device

    @torch.no_grad()
    def __call__(self, clips: Sequence[TrainingClip]) -> list[EncodedClip]:
        """Clips of one size, encoded together."""
        frames = torch.stack([clip.frames for clip in clips]).to(self.device)
        dtype = torch.bfloat16 if has_native_bf16(self.device) else torch.float32
        with autocast(self.device, dtype):
            latents = self.autoencoder.encode_video(from_uint8(frames).transpose(1, 2)).float()
        told = self.text([clip.caption for clip in clips], 1.0)
        assert told.prompt_embeds is not None
        masks = [None] * len(clips) if told.prompt_mask is None else list(told.prompt_mask)
        return [
            EncodedClip(latents[i], told.prompt_embeds[i], masks[i], clip.fps, clip.caption)
            for i, clip in enumerate(clips)
        ]


@dataclass(frozen=True)
class CachedClips:
    """Encoded clips out of shards."""

    shards: Shards

    def example(self, index: int, bucket: Bucket, epoch: int) -> EncodedClip:
        """Clip ``index`` as epoch ``epoch`` shows it.

        Raises:
            ValueError: It could not be encoded.
        """
        found = self.shards[_key(epoch, index)]
        tensors = found.tensors
        return EncodedClip(
            latents=tensors["latents"].float(),
            prompt_embeds=tensors["prompt_embeds"].float(),
            prompt_mask=tensors.get("prompt_mask"),
            fps=float(found.values["fps"]),
            prompt=str(found.values["caption"]),
        )


@dataclass(frozen=True)
class CuratedData:
    """The clips of one config, and what encodes them."""

    config: CuratedDataConfig
    clips: CuratedClips
    encoder: Encoder
    processes: Processes
    shards: Shards | None

    @property
    def text(self) -> Text:
        """The text tower."""
        return self.encoder.text

    @property
    def empty(self) -> Conditioning:
        """The empty caption, batch of 1."""
        return replace(self.text([""], 1.0), fps=None)

    def batches(self, seed: int) -> "BucketBatches[Any, LatentBatch]":
        """This process's micro-batches."""
        config = self.config
        order = config.order if self.shards is None else replace(config.order, redraws=config.cache.views)
        sampler = BucketSampler(
            self.clips.shapes, config.buckets, order, seed=seed, rank=rank(), world_size=world_size()
        )
        ahead = {"prefetch": config.prefetch, "num_threads": config.num_threads}
        if self.shards is None:
            return BucketBatches(self.clips, lambda part: self._joined(self.encoder(part)), sampler, **ahead)
        return BucketBatches(CachedClips(self.shards), self._joined, sampler, **ahead)

    def _joined(self, part: Sequence[EncodedClip]) -> LatentBatch:
        device = self.processes.device
        latents = torch.stack([each.latents for each in part]).to(device)
        masks = [each.prompt_mask for each in part if each.prompt_mask is not None]
        cond = Conditioning(
            prompt_embeds=torch.stack([each.prompt_embeds for each in part]).to(device),
            prompt_mask=torch.stack(masks).to(device) if masks else None,
            fps=torch.tensor([each.fps for each in part], device=device),
        )
        return LatentBatch(latents=latents, cond=cond, prompts=tuple(each.prompt for each in part))


def read_clips(config: CuratedDataConfig, *, seed: int) -> CuratedClips:
    """The clips of a manifest; no video is opened.

    Raises:
        ValueError: The manifest cannot be read, or nothing of it can be trained on.
    """
    return CuratedClips(list(read_manifest(config.manifest)), root_of(config), config.sampling, seed=seed)


def open_curated(
    config: CuratedDataConfig, clips: CuratedClips, release: Path, processes: Processes
) -> CuratedData:
    """Clips with a release's autoencoder and text tower, encoded first if they are cached.

    Raises:
        CheckpointError: The release lacks a component, or the cache is damaged or of other clips.
    """
    name = component_names(release)["autoencoder"]
    autoencoder = load_component(release, name, dtype=torch.float32, device=processes.device)
    autoencoder.requires_grad_(False)
    encoder = Encoder(autoencoder, Text(str(release), processes.device), processes.device)
    shards = None
    if config.cache_dir is not None:
        weights = sha256_of(release / name / "model.safetensors")
        shards = _cached(config, config.cache_dir, clips, encoder, weights)
    return CuratedData(config, clips, encoder, processes, shards)


def root_of(config: CuratedDataConfig) -> Path:
    """The folder that the sources start from.

    Raises:
        ValueError: ``run.json`` beside the manifest is damaged.
    """
    if config.root is not None:
        return Path(config.root)
    try:
        return recorded_root(Path(config.manifest))
    except ValueError as error:
        raise ValueError(f"{error}: give data.root") from error


def _cached(
    config: CuratedDataConfig, named: str, clips: CuratedClips, encoder: Encoder, weights: str
) -> Shards:
    """The shards, each process having written those of its share that were missing."""
    made_of = {
        "autoencoder_sha256": weights,
        "text_encoder_sha256": encoder.text.sha256,
        "clips_sha256": clips.fingerprint,
        "sampling": to_json_dict(config.sampling),
        "buckets": to_json_dict(config.buckets),
        "seed": clips.seed,
        "views": config.cache.views,
        "dtype": config.cache.dtype,
    }
    made_of_hash = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    folder = Path(named.replace("{set}", made_of_hash[:16]))
    planned = dict(_shards_of(config, clips))
    own = {name: list(keys) for name, keys in list(planned.items())[rank() :: world_size()]}

    def make(keys: Sequence[str]) -> tuple[list[Sample], Failures]:
        return _encode(clips, encoder, {key: planned_bucket[key] for key in keys}, config.cache.dtype)

    planned_bucket = {key: bucket for each in planned.values() for key, bucket in each.items()}
    _log.info("encoding %d clips into %s, unless they are there", len(planned_bucket), folder)
    written = write_shards(folder, own, make, made_of=made_of)
    if written:
        _log.info("wrote %d shards", written)
    barrier()
    check = config.cache.check if rank() == 0 else "sizes"
    return Shards(folder, made_of=made_of, check=check, reading=config.cache.reading)


def _shards_of(config: CuratedDataConfig, clips: CuratedClips) -> Iterator[tuple[str, dict[str, Bucket]]]:
    """Samples of each shard with their bucket: of one view and one bucket, in the order of the manifest."""
    number = 0
    for view in range(config.cache.views):
        for bucket, members in place(clips.shapes, config.buckets, seed=clips.seed, epoch=view).members():
            for start in range(0, len(members), config.cache.samples_per_shard):
                part = members[start : start + config.cache.samples_per_shard].tolist()
                yield f"{number:05d}", {_key(view, index): bucket for index in part}
                number += 1


def _key(view: int, index: int) -> str:
    return f"{view:03d}-{index:09d}"


def _encode(
    clips: CuratedClips, encoder: Encoder, wanted: dict[str, Bucket], dtype: str
) -> tuple[list[Sample], Failures]:
    """The samples of one shard, one by one, so that none depends on its neighbours."""
    samples: list[Sample] = []
    failed: dict[str, str] = {}
    for key, bucket in wanted.items():
        view, index = (int(part) for part in key.split("-"))
        try:
            clip = clips.example(index, bucket, view)
        except (OSError, ValueError) as error:
            failed[key] = str(error)
            _log.warning("%s: %s", clips.clips[index].source, error)
            continue
        (made,) = encoder([clip])
        tensors = {
            "latents": made.latents.to(DTYPES[dtype]).cpu(),
            "prompt_embeds": made.prompt_embeds.to(DTYPES[dtype]).cpu(),
        }
        if made.prompt_mask is not None:
            tensors["prompt_mask"] = made.prompt_mask.cpu()
        source = clips.clips[index]
        values = {
            "caption": made.prompt,
            "fps": made.fps,
            "source": source.source,
            "start_s": source.start_s,
            "end_s": source.end_s,
            "content_id": source.content_id,
            "bucket": bucket.name,
        }
        samples.append(Sample(key, tensors, values))
    return samples, failed
