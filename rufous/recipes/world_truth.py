"""How true a model of the world is: fresh prompts, half of them held-out combinations, judged from pixels.

    rufous train world_truth model=world-teacher

Seen and held-out prompts are reported apart, with 95 % bootstrap intervals. Prompts mention every attribute,
and their scenes come from a seed that no training uses. With ``autoencoder_only`` real clips with the same
captions go through the autoencoder instead: what it loses, no generator can regain. With ``features`` the
generated clips are also compared to those real ones as a set: the Frechet distance of video-text embeddings.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.release import load_component
from rufous.core.config import to_json_dict
from rufous.core.console import logger
from rufous.core.files import write_text
from rufous.core.randomness import generator_from
from rufous.evaluation.frechet import frechet_distance
from rufous.evaluation.judging import judge_clip, truth_figures
from rufous.networks.video_text import VideoTextModel
from rufous.pipelines.loading import load
from rufous.pipelines.text_to_video import TextToVideoPipeline
from rufous.recipes.recipe import Recipe
from rufous.rewards.world import frame_stride_of
from rufous.video.frames import from_uint8, to_uint8, video_from_frames
from rufous.world.dataset import WorldClip, WorldClips
from rufous.world.scene import Level

_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class WorldTruthConfig:
    """What is judged."""

    model: str = "world-teacher"
    level: Level = "core"
    num_prompts: int = 400
    """Half of them are held-out combinations."""
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    solver: str | None = None
    num_frames: int = 16
    batch_size: int = 8
    seed: int = 4_000_000
    autoencoder_only: bool = False
    """Judge real clips after encoding and decoding, and generate nothing."""
    features: str | None = None
    """Release with a ``video_text`` model, for example world-video-text; None leaves that distance out."""


@dataclass(frozen=True)
class Made:
    """Clips, and the seconds that one of them took in each stage (nothing where none was generated)."""

    frames: list[Tensor]
    seconds: dict[str, float]


def judge_model(pipe: TextToVideoPipeline, config: WorldTruthConfig) -> dict[str, object]:
    """Figures of one model: for ``seen`` and ``held_out`` the share that is right of each attribute; for both
    together the seconds a clip took, and the Frechet distance if asked for.
    """
    report: dict[str, object] = {}
    sets: list[tuple[list[Tensor], list[WorldClip]]] = []
    seconds: dict[str, float] = {}
    for split, name in (("train", "seen"), ("held_out", "held_out")):
        clips = WorldClips(
            seed=config.seed,
            level=config.level,
            split=split,  # type: ignore[arg-type]
            complete_captions=True,
            num_frames=config.num_frames,
        )
        real = [clips[index] for index in range(config.num_prompts // 2)]
        made = _decoded(pipe, real) if config.autoencoder_only else _generated(pipe, real, config)
        report[name] = truth_figures(
            [
                judge_clip(frames, clip.fps, clip.caption)
                for frames, clip in zip(made.frames, real, strict=True)
            ]
        )
        sets.append((made.frames, real))
        for stage, value in made.seconds.items():
            seconds[stage] = round(seconds.get(stage, 0.0) + value / 2, 4)
    if seconds:
        report["seconds_per_clip"] = seconds
    if config.features is not None:
        release = find_release(config.features)
        model: VideoTextModel = load_component(release, "video_text", device=pipe.device)
        stride = frame_stride_of(release)
        made_clips, real_clips = (
            torch.cat([embed(model, clips, stride) for clips in each])
            for each in ([made for made, _ in sets], [[c.frames for c in real] for _, real in sets])
        )
        report["frechet"] = round(frechet_distance(made_clips, real_clips), 5)
    return report


@torch.no_grad()
def embed(model: VideoTextModel, clips: list[Tensor], frame_stride: int) -> Float[Tensor, "n e"]:
    """Embeddings of uint8 clips [f 3 h w] of one length, every so-manieth frame read, as in the training."""
    model = model.float().eval()
    device = model.frame_position.device
    parts = [torch.stack(clips[start : start + 16]) for start in range(0, len(clips), 16)]
    videos = (from_uint8(part[:, ::frame_stride].to(device).transpose(1, 2)) for part in parts)
    return torch.cat([model.encode_video(video).cpu() for video in videos])


def _generated(pipe: TextToVideoPipeline, real: list[WorldClip], config: WorldTruthConfig) -> Made:
    """One clip for each caption; the noise depends on the seed and the position alone."""
    frames: list[Tensor] = []
    seconds: dict[str, float] = {}
    for start in range(0, len(real), config.batch_size):
        part = real[start : start + config.batch_size]
        made = pipe(
            [clip.caption for clip in part],
            num_frames=config.num_frames,
            num_inference_steps=config.num_inference_steps,
            guidance_scale=config.guidance_scale,
            solver=config.solver,
            generator=[generator_from(config.seed, "truth", start + i) for i in range(len(part))],
            batch_size=config.batch_size,
        )
        frames += [clip.cpu() for clip in made.frames]
        for stage, value in made.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + value / len(real)
        _log.info("judged clips: %d of %d generated", len(frames), len(real))
    return Made(frames, seconds)


@torch.no_grad()
def _decoded(pipe: TextToVideoPipeline, real: list[WorldClip]) -> Made:
    """The real clips, through the autoencoder and back."""
    frames: list[Tensor] = []
    for clip in real:
        video = video_from_frames(clip.frames.to(pipe.device))
        decoded = pipe.autoencoder.decode_video(pipe.autoencoder.encode_video(video))
        frames.append(to_uint8(decoded[0].transpose(0, 1).float()).cpu())
    return Made(frames, {})


def run(config: WorldTruthConfig, run_dir: Path, device: torch.device) -> Path:
    """Judge, write ``run_dir/truth.json`` and log the shares."""
    pipe = load(config.model, device=str(device))
    report = judge_model(pipe, config)
    for name, row in report.items():
        _log.info("%s: %s", name, row)
    path = run_dir / "truth.json"
    result = {"config": to_json_dict(config), "manifest_id": pipe.manifest.id, **report}
    write_text(path, json.dumps(result, indent=1) + "\n")
    return path


RECIPE = Recipe(
    name="world_truth", summary="How true a model of the world is.", config=WorldTruthConfig(), run=run
)
