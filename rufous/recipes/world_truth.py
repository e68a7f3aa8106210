"""How true a model of the world is: fresh prompts, half of them held-out combinations, judged from pixels.

    rufous train world_truth model=world-teacher
    OMP_NUM_THREADS=1 torchrun --nproc_per_node 2 -m rufous train world_truth model=world-teacher

Seen and held-out prompts are reported apart, with 95 % bootstrap intervals. Prompts mention every attribute,
and their scenes come from a seed that no training uses. With ``autoencoder_only`` real clips with the same
captions go through the autoencoder instead: what it loses, no generator can regain. With ``features`` the
generated clips are also compared to those real ones as a set: the Frechet distance of video-text embeddings.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from jaxtyping import Float, UInt8
from safetensors.torch import save_file
from torch import Tensor

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.video_text import load_video_text
from rufous.core.config import to_json_dict
from rufous.core.console import logger
from rufous.core.files import write_text
from rufous.core.randomness import generator_from
from rufous.evaluation.frechet import frechet_distance
from rufous.evaluation.judging import JudgedClip, judge_clip, motions, rightness, truth_figures
from rufous.perception.video_text import embed
from rufous.pipelines.loading import load
from rufous.pipelines.text_to_video import TextToVideoPipeline
from rufous.recipes.processes import joined
from rufous.recipes.recipe import Recipe
from rufous.training.parallel import gathered, rank, world_size
from rufous.video.frames import to_uint8, video_from_frames
from rufous.world.dataset import WorldClip, WorldClips
from rufous.world.scene import Level, Split

FEATURES_FILE = "features.safetensors"
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
class Sample:
    """One clip, what it was to show, and what it shows."""

    index: int
    made: UInt8[Tensor, "f 3 h w"]
    real: WorldClip
    judged: JudgedClip


@dataclass(frozen=True)
class Judged:
    """Figures of one model, and what they were taken from."""

    report: dict[str, object]
    features: tuple[Float[Tensor, "n e"], Float[Tensor, "n e"]] | None
    """Of the clips that were made and of the real ones, in the order of ``right_by_clip``, if asked for."""


def judge_model(pipe: TextToVideoPipeline, config: WorldTruthConfig) -> Judged:
    """Figures of one model: for ``seen`` and ``held_out`` the share that is right of each attribute, and of
    each motion the share that moves so; for both together the Frechet distance if asked for, and the seconds
    that one clip took in each stage, unless it was made beside another process. ``right_by_clip`` has 1 for
    each prompt whose clip shows all of it, and ``motion_by_clip`` how much each moves, in an order that
    depends on the settings alone.

    Processes that torchrun started share the clips, and each gets the figures of all of them.
    """
    report: dict[str, object] = {}
    right, moved = dict[str, list[int]](), dict[str, list[float]]()
    features: list[tuple[Tensor, Tensor]] = []
    seconds: dict[str, float] = {}
    splits: tuple[tuple[Split, str], ...] = (("train", "seen"), ("held_out", "held_out"))
    for split, name in splits:
        samples, taken = samples_of(pipe, config, split)
        told = gathered([(each.index, each.real.scene.things[0].motion, each.judged) for each in samples])
        _, names, judged = zip(*sorted(told, key=lambda each: each[0]), strict=True)
        report[name] = {**truth_figures(judged), "motion_by_name": _by_motion(names, judged)}
        right[name] = [int(value) for value in rightness(judged)]
        moved[name] = [round(value, 4) for value in motions(judged)]
        for stage, value in taken.items():
            seconds[stage] = round(seconds.get(stage, 0.0) + value / 2, 4)
        if config.features is not None:
            features.append(_features(find_release(config.features), samples, pipe.device))
    if seconds and world_size() == 1:
        report["seconds_per_clip"] = seconds
    report |= {"right_by_clip": right, "motion_by_clip": moved}
    if not features:
        return Judged(report, None)
    made, real = (torch.cat([part[side] for part in features]) for side in (0, 1))
    return Judged({**report, "frechet": round(frechet_distance(made, real), 5)}, (made, real))


def samples_of(
    pipe: TextToVideoPipeline, config: WorldTruthConfig, split: Split
) -> tuple[list[Sample], dict[str, float]]:
    """This process's share of a split, and the seconds that one clip took in each stage."""
    clips = WorldClips(
        seed=config.seed,
        level=config.level,
        split=split,
        complete_captions=True,
        num_frames=config.num_frames,
    )
    indices = range(rank(), config.num_prompts // 2, world_size())
    real = [clips[index] for index in indices]
    made, seconds = (
        _decoded(pipe, real) if config.autoencoder_only else _generated(pipe, real, indices, config)
    )
    return [
        Sample(index, frames, clip, judge_clip(frames, clip.fps, clip.caption))
        for index, frames, clip in zip(indices, made, real, strict=True)
    ], seconds


def _by_motion(motions: Sequence[str], judged: Sequence[JudgedClip]) -> dict[str, float]:
    """Of each motion, the share of clips that show it."""
    right: dict[str, list[bool]] = {}
    for motion, clip in sorted(zip(motions, judged, strict=True), key=lambda each: each[0]):
        shown = clip.verdict is not None and clip.verdict.attributes.get("motion") == "right"
        right.setdefault(motion, []).append(shown)
    return {motion: round(fmean(values), 4) for motion, values in right.items()}


def _features(release: Path, samples: Sequence[Sample], device: torch.device) -> tuple[Tensor, Tensor]:
    """Embeddings of the clips that were made, and of the real ones, by index; of all processes."""
    model, stride = load_video_text(release, device=device)
    made, real = [each.made for each in samples], [each.real.frames for each in samples]
    embedded = (embed(model, made, stride), embed(model, real, stride))
    told = gathered(list(zip([each.index for each in samples], *embedded, strict=True)))
    _, *both = zip(*sorted(told, key=lambda each: each[0]), strict=True)
    return torch.stack(both[0]), torch.stack(both[1])


def _generated(
    pipe: TextToVideoPipeline, real: list[WorldClip], indices: Sequence[int], config: WorldTruthConfig
) -> tuple[list[Tensor], dict[str, float]]:
    """One clip for each caption; the noise depends on the seed and the clip's index alone."""
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
            generator=[
                generator_from(config.seed, "truth", index) for index in indices[start : start + len(part)]
            ],
            batch_size=config.batch_size,
        )
        frames += [clip.cpu() for clip in made.frames]
        for stage, value in made.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + value / len(real)
        _log.info("judged clips: %d of %d generated", len(frames), len(real))
    return frames, seconds


@torch.no_grad()
def _decoded(pipe: TextToVideoPipeline, real: list[WorldClip]) -> tuple[list[Tensor], dict[str, float]]:
    """The real clips, through the autoencoder and back."""
    frames: list[Tensor] = []
    for clip in real:
        video = video_from_frames(clip.frames.to(pipe.device))
        decoded = pipe.autoencoder.decode_video(pipe.autoencoder.encode_video(video))
        frames.append(to_uint8(decoded[0].transpose(0, 1).float()).cpu())
    return frames, {}


def run(config: WorldTruthConfig, run_dir: Path, device: torch.device) -> Path:
    """Judge, write ``run_dir/truth.json`` (and the features, if asked for) and log the shares."""
    path = run_dir / "truth.json"
    with joined(device) as processes:
        pipe = load(config.model, device=str(processes.device))
        judged = judge_model(pipe, config)
        if processes.is_first:
            for name, row in judged.report.items():
                if not name.endswith("_by_clip"):
                    _log.info("%s: %s", name, row)
            run_dir.mkdir(parents=True, exist_ok=True)
            if judged.features is not None:
                made, real = judged.features
                save_file({"made": made, "real": real}, run_dir / FEATURES_FILE)
            result = {"config": to_json_dict(config), "manifest_id": pipe.manifest.id, **judged.report}
            write_text(path, json.dumps(result, indent=1) + "\n")
    return path


RECIPE = Recipe(
    name="world_truth", summary="How true a model of the world is.", config=WorldTruthConfig(), run=run
)
