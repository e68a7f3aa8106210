"""Stage 2 on the world: the recovered U-Net becomes a few-step student, with reward feedback if asked.

    rufous train world_few_steps
    rufous train world_few_steps method=distribution_matching feedback.image_text=1 feedback.video_text=2

The same seeds, data and budget for every method, so that their rows can be compared. Validation generates
clips as a user would and measures truth, motion and every reward, the held-out one too; the guard reads it.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, load_config
from rufous.core.randomness import generator_from
from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.sampling import SamplingConfig
from rufous.diffusion.schedules import make_schedule
from rufous.diffusion.timesteps import inference_timesteps
from rufous.distillation.consistency import ConsistencyConfig, ConsistencyObjective
from rufous.distillation.distribution_matching import (
    DistributionMatchingConfig,
    DistributionMatchingObjective,
)
from rufous.distillation.teaching import GuidanceRange
from rufous.networks.unet3d import UNet3D
from rufous.pipelines.text_to_video import TextToVideoPipeline
from rufous.recipes.processes import Processes, joined
from rufous.recipes.recipe import Recipe
from rufous.recipes.world_recovery import load_denoiser, save_student, student_manifest
from rufous.recipes.world_sets import SIXTEEN, TWENTY_SIX, WorldSet, alternating, open_sets
from rufous.rewards.decoding import sliced_decoder
from rufous.rewards.feedback import GuardConfig, RewardFeedback
from rufous.rewards.image_text import world_image_text
from rufous.rewards.reward import Mixture, Weighted
from rufous.rewards.video_text import world_video_text
from rufous.training.loop import TrainConfig, train
from rufous.training.optim import OptimizerConfig
from rufous.video.frames import to_uint8
from rufous.world.dataset import WorldClips
from rufous.world.truth import measure, truth_of


@dataclass(frozen=True, kw_only=True)
class FeedbackConfig:
    """Weights of the world's two rewards; both 0 for none. Explicit, whatever the number of processes."""

    image_text: float = 0.0
    video_text: float = 0.0
    image_frames: int = 4
    rewards: str = "world-video-text"
    tiny_decoder: str | None = None
    """Release with a ``tiny_decoder`` for the pixels inside the loss; None for the full decoder."""
    guard: GuardConfig = field(
        default_factory=lambda: GuardConfig(lowest={"motion_magnitude": 0.95, "truth": 0.97})
    )

    @property
    def is_on(self) -> bool:
        """Whether any reward is trained on."""
        return bool(self.image_text or self.video_text)


@dataclass(frozen=True, kw_only=True)
class WorldFewStepsConfig:
    """Settings of the run."""

    teacher: str = "world-teacher"
    student: str = "runs/world_recovery/release"
    method: Literal["consistency", "distribution_matching"] = "distribution_matching"
    num_inference_steps: int = 4
    guidance: GuidanceRange = field(default_factory=lambda: GuidanceRange(3.0, 3.0))
    """The teacher's scales; ``embed_dim`` gives the student a guidance embedding, which starts at zero."""
    num_points: int = 50
    target: Literal["student", "ema"] = "ema"
    student_every: int = 2
    feedback: FeedbackConfig = field(default_factory=FeedbackConfig)
    sets: tuple[WorldSet, ...] = (SIXTEEN, TWENTY_SIX)
    num_validation_clips: int = 16
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            num_steps=3000,
            optimizer=OptimizerConfig(
                name="muon", learning_rate=5e-4, warmup_steps=50, schedule="wsd", decay_steps=1000
            ),
            ema_decay=0.998,
            save_every=250,
            validate_every=250,
        )
    )
    seed: int = 15


def run(config: WorldFewStepsConfig, run_dir: Path, device: torch.device) -> Path:
    """Train and write ``run_dir/release``, the teacher's release with the few-step U-Net."""
    teacher = find_release(config.teacher)
    with joined(device) as processes:
        return _train(config, teacher, run_dir, processes)


def _train(config: WorldFewStepsConfig, teacher: Path, run_dir: Path, processes: Processes) -> Path:
    device = processes.device
    data = open_sets(config.sets, teacher, processes)
    original = load_denoiser(teacher, device)
    student = with_guidance_embedding(load_denoiser(config.student, device), config.guidance.embed_dim)
    network = student.network
    assert isinstance(network, UNet3D)
    diffusion = few_step_settings(load_config(teacher, "diffusion"), config)
    feedback = make_feedback(config.feedback, teacher, device) if config.feedback.is_on else None
    objective = make_objective(config, student, original, data[0].empty, diffusion, feedback)
    processes.spread(objective.trainable)

    def save(step: int, folder: Path) -> None:
        if processes.is_first:
            manifest = student_manifest(
                "world-student",
                config,
                seeds={"training": config.seed},
                parents={"teacher": teacher, "student": find_release(config.student)},
                figures={"steps": step},
            )
            save_student(run_dir / "release", teacher, network, diffusion, manifest)

    def validate(step: int) -> Mapping[str, float]:
        pipe = TextToVideoPipeline(
            unet=network,
            autoencoder=load_component(teacher, "autoencoder", dtype=torch.float32, device=device),
            text_encoder=data[0].text.encoder,
            tokenizer=data[0].text.tokenizer,
            diffusion=diffusion,
            manifest=Manifest.load(teacher),
        )
        found = measure_student(pipe, config.num_validation_clips, config.feedback.rewards, device)
        if feedback is not None:
            feedback.watch(found)
        return found

    with alternating(config.sets, data, config.seed) as batches:
        train(
            objective,
            batches,
            config.train,
            run_dir=run_dir,
            device=device,
            save=save,
            validate=validate,
        )
    return run_dir / "release"


def few_step_settings(diffusion: DiffusionConfig, config: WorldFewStepsConfig) -> DiffusionConfig:
    """The teacher's settings, sampled by multistep consistency in few steps and without a second pass."""
    sampling = SamplingConfig(
        solver="lcm",
        num_inference_steps=config.num_inference_steps,
        timestep_spacing="lcm",
        num_origin_points=config.num_points,
    )
    middle = (config.guidance.lowest + config.guidance.highest) / 2
    told = None if config.guidance.embed_dim is None else middle - 1.0
    return replace(diffusion, sampling=sampling, embedded_guidance_scale=told)


def with_guidance_embedding(student: Denoiser, embed_dim: int | None) -> Denoiser:
    """The same student with a guidance embedding that starts at zero, so that it changes nothing yet."""
    network = student.network
    assert isinstance(network, UNet3D)
    if embed_dim is None or network.config.guidance_embed_dim == embed_dim:
        return student
    told = UNet3D(replace(network.config, guidance_embed_dim=embed_dim))
    told.load_state_dict({**told.state_dict(), **network.state_dict()})
    return replace(student, network=told.to(next(network.parameters()).device))


def make_objective(
    config: WorldFewStepsConfig,
    student: Denoiser,
    teacher: Denoiser,
    empty: Conditioning,
    diffusion: DiffusionConfig,
    feedback: RewardFeedback | None,
) -> ConsistencyObjective | DistributionMatchingObjective:
    """The objective of the chosen method."""
    if config.method == "consistency":
        settings = ConsistencyConfig(
            guidance=config.guidance, num_points=config.num_points, target=config.target
        )
        return ConsistencyObjective(student, teacher, empty, settings, feedback=feedback)
    sampling = diffusion.sampling
    timesteps = inference_timesteps(
        make_schedule(diffusion.schedule),
        sampling.num_inference_steps,
        sampling.timestep_spacing,
        num_origin_points=sampling.num_origin_points,
    )
    assert isinstance(teacher.network, nn.Module)
    critic = replace(teacher, network=copy.deepcopy(teacher.network).requires_grad_(True))
    matching = DistributionMatchingConfig(
        timesteps=tuple(timesteps), guidance=config.guidance, student_every=config.student_every
    )
    return DistributionMatchingObjective(student, critic, teacher, empty, matching, feedback=feedback)


def make_feedback(config: FeedbackConfig, teacher: Path, device: torch.device) -> RewardFeedback:
    """The world's two rewards, weighted; one of weight 0 is held out and logged."""
    mixture = Mixture(
        [
            Weighted(
                reward=world_image_text(config.rewards, device=device),
                weight=config.image_text,
                num_frames=config.image_frames,
            ),
            Weighted(reward=world_video_text(config.rewards, device=device), weight=config.video_text),
        ]
    )
    if config.tiny_decoder is None:
        decoder: Any = load_component(teacher, "autoencoder", dtype=torch.float32, device=device)
    else:
        folder = find_release(config.tiny_decoder)
        decoder = load_component(folder, "tiny_decoder", dtype=torch.float32, device=device)
    return RewardFeedback(mixture, sliced_decoder(decoder, slice_frames=4), guard=config.guard)


def measure_student(
    pipe: TextToVideoPipeline, num_clips: int, rewards: str, device: torch.device
) -> dict[str, float]:
    """Truth (all attributes right), motion magnitude and both rewards of freshly generated clips."""
    world = WorldClips(seed=6_000_000, split="any", complete_captions=True)
    captions = [world.scene(index)[1] for index in range(num_clips)]
    made = pipe(
        captions,
        generator=[generator_from(6_000_000, "validation", index) for index in range(num_clips)],
        batch_size=8,
        output_type="pt",
    )
    right, motion = 0.0, 0.0
    for clip, caption in zip(made.frames, captions, strict=True):
        frames = to_uint8(clip).cpu()
        right += truth_of(frames, made.fps, caption).all_right / num_clips
        motion += measure(frames, made.fps).motion_magnitude / num_clips
    video = torch.stack([clip.transpose(0, 1) for clip in made.frames])
    scores = {
        f"reward_{kind.name}": float(kind.score(video, captions).mean())
        for kind in (world_image_text(rewards, device=device), world_video_text(rewards, device=device))
    }
    return {"truth": right, "motion_magnitude": motion, **scores}


SMALL = WorldFewStepsConfig()
RECIPE = Recipe(
    name="world_few_steps",
    summary="Stage 2: a few-step student, by consistency or distribution matching, with reward feedback.",
    config=SMALL,
    presets={"small": SMALL},
    run=run,
)
