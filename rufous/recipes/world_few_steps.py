"""Stage 2 on the world: the recovered U-Net becomes a few-step student, with reward feedback if asked.

    rufous train world_few_steps
    rufous train world_few_steps --preset feedback student=runs/world_few_steps/release

The same seeds, data and budget for every method, so that their rows can be compared. Validation generates
clips as a user would and measures truth, motion and every reward, the held-out one too; the guard compares
them with the teacher's motion and the student's own figures from before the first step.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, load_config
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
from rufous.recipes.recipe import Recipe, made_of
from rufous.recipes.releases import manifest_of, save_student
from rufous.recipes.world_captions import Text
from rufous.recipes.world_feedback import (
    HELD_OUT_IMAGES,
    FeedbackConfig,
    baseline_of,
    make_feedback,
    measure_model,
)
from rufous.recipes.world_recovery import load_denoiser
from rufous.recipes.world_sets import SIXTEEN, TWENTY_SIX, WorldSet, alternating, open_sets
from rufous.rewards.feedback import RewardFeedback
from rufous.rewards.world import world_rewards
from rufous.training.loop import TrainConfig, evaluating, train
from rufous.training.optim import OptimizerConfig
from rufous.training.resume import checkpoints


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
    """For distribution matching: the student moves on every so-manieth step."""
    feedback: FeedbackConfig = field(default_factory=FeedbackConfig)
    sets: tuple[WorldSet, ...] = (SIXTEEN, TWENTY_SIX)
    num_validation_clips: int = 64
    """Of so many right ones, four that turn wrong are a fall of truth below the guard's 0.95."""
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            num_steps=3000,
            accumulation=2,  # a batch of each length in every step, the student's own among them
            optimizer=OptimizerConfig(
                name="muon", learning_rate=5e-4, warmup_steps=50, schedule="wsd", decay_steps=1000
            ),
            ema_decay=0.998,
            save_every=250,
            validate_every=250,
        )
    )
    seed: int = 15

    def __post_init__(self) -> None:
        batches, sets = self.train.accumulation, len(self.sets)
        if self.method == "distribution_matching" and batches < math.gcd(self.student_every * batches, sets):
            raise ValueError(
                f"train.accumulation={batches}, student_every={self.student_every}: the student's steps "
                f"would not have clips of all {sets} sets; use train.accumulation={sets}"
            )


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
    usual = _pipeline(original, teacher, data[0].text)
    diffusion = few_step_settings(usual.diffusion, config)
    pipe = replace(usual, unet=network, diffusion=diffusion)
    rewards, feedback = world_rewards(config.feedback.rewards, device=device), None
    if config.feedback.is_on:
        feedback = make_feedback(config.feedback, rewards, pipe.autoencoder)
    objective = make_objective(config, student, original, data[0].empty, diffusion, feedback)
    processes.spread(objective.networks)

    def measured(model: TextToVideoPipeline) -> dict[str, float]:
        return measure_model(model, config.num_validation_clips, rewards)

    def save(step: int, folder: Path) -> None:
        manifest = manifest_of(
            "world-student",
            config,
            seeds={"training": config.seed},
            parents={
                "teacher": teacher,
                "student": find_release(config.student),
                **config.feedback.parents(),
            },
            figures={"steps": step},
        )
        save_student(run_dir / "release", teacher, network, diffusion, manifest, processes)

    def validate(step: int) -> Mapping[str, float]:
        found = measured(pipe)
        if feedback is not None:
            feedback.watch(found)
        return found

    if feedback is not None and not checkpoints(run_dir / "checkpoints"):  # else its state has the baseline
        with evaluating(network, None):
            feedback.compare_with(baseline_of(teacher=measured(usual), student=measured(pipe)))
    with alternating(config.sets, data, config.seed) as batches:
        train(
            objective,
            batches,
            config.train,
            run_dir=run_dir,
            device=device,
            save=save,
            validate=validate,
            made_of=made_of(config),
        )
    return run_dir / "release"


def _pipeline(denoiser: Denoiser, release: Path, text: Text) -> TextToVideoPipeline:
    """A release with its own settings, but this network, and the text tower that is loaded already."""
    assert isinstance(denoiser.network, UNet3D)
    device = next(denoiser.network.parameters()).device
    return TextToVideoPipeline(
        unet=denoiser.network,
        autoencoder=load_component(release, "autoencoder", dtype=torch.float32, device=device),
        text_encoder=text.encoder,
        tokenizer=text.tokenizer,
        diffusion=load_config(release, "diffusion"),
        manifest=Manifest.load(release),
    )


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
    critic = with_guidance_embedding(critic, config.guidance.embed_dim)
    matching = DistributionMatchingConfig(
        timesteps=tuple(timesteps),
        guidance=config.guidance,
        student_every=config.student_every,
        seed=config.seed,
    )
    return DistributionMatchingObjective(student, critic, teacher, empty, matching, feedback=feedback)


SMALL = WorldFewStepsConfig()
RECIPE = Recipe(
    name="world_few_steps",
    summary="Stage 2: a few-step student, by consistency or distribution matching, with reward feedback.",
    config=SMALL,
    presets={"small": SMALL, "feedback": replace(SMALL, feedback=HELD_OUT_IMAGES)},
    run=run,
)
