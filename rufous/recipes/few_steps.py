"""Stage 2 on any clips: a few-step student of a teacher, with reward feedback if there is any.

The recipes of the world and of full size share it; they differ in data, in rewards and in what validation
measures. The same seeds, data and budget for every method, so that their rows can be compared. Validation
generates clips as a user would; the feedback's guard compares them with the teacher's motion and the
student's own figures from before the first step.
"""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import fmean
from typing import Literal

import torch

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, load_config
from rufous.core.errors import ConfigError
from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.losses import HUBER_C
from rufous.diffusion.sampling import SamplingConfig
from rufous.diffusion.schedules import make_schedule
from rufous.diffusion.timesteps import inference_timesteps
from rufous.distillation.adversarial import AdversarialConfig
from rufous.distillation.consistency import ConsistencyConfig, ConsistencyObjective
from rufous.distillation.denoising import LatentBatch
from rufous.distillation.distribution_matching import (
    DistributionMatchingConfig,
    DistributionMatchingObjective,
)
from rufous.distillation.lora import LoraSettings, add_lora, merged
from rufous.distillation.teaching import GuidanceRange
from rufous.networks.unet3d import UNet3D, stage_widths
from rufous.pipelines.loading import component_names
from rufous.pipelines.text_to_video import TextToVideoPipeline
from rufous.recipes.processes import Processes
from rufous.recipes.recipe import made_of
from rufous.recipes.recovery import embedded_scale, load_denoiser, with_guidance_embedding
from rufous.recipes.releases import (
    ancestry,
    check_run_dir,
    hashes,
    manifest_of,
    save_student,
    student_figures,
)
from rufous.recipes.text_tower import Text
from rufous.recipes.watching import Watching
from rufous.rewards.feedback import GuardConfig, RewardFeedback
from rufous.training.batches import BatchSource
from rufous.training.loop import TrainConfig, evaluating, train
from rufous.training.resume import checkpoints


@dataclass(frozen=True, kw_only=True)
class FewStepsConfig:
    """What every few-step distillation has, whatever its data."""

    teacher: str
    """Embedded name or release folder."""
    student: str
    """Release whose U-Net the student starts from."""
    method: Literal["consistency", "distribution_matching"] = "consistency"
    num_inference_steps: int = 4
    guidance: GuidanceRange
    """The teacher's scales; ``embed_dim`` gives the student a guidance embedding, which starts at zero."""
    num_points: int = 50
    target: Literal["student", "ema"] = "ema"
    target_decay: float = 0.95
    """For consistency: share of the target's weights that a step keeps."""
    huber_c: float = HUBER_C
    """For consistency: differences beyond it count by their size rather than by its square."""
    score_range: tuple[float, float] = (0.02, 0.98)
    """For distribution matching: share of the schedule in which teacher and critic are compared."""
    student_every: int = 2
    """For distribution matching: the student moves on every so-manieth step."""
    adversarial: AdversarialConfig | None = None
    """For distribution matching: real clips against the student's."""
    critic: str | None = None
    """For distribution matching: release whose U-Net the critic starts from, such as the ``critic`` that a
    run leaves beside its ``release``; None for the teacher's. A student that has learnt already needs one
    that followed it: with a fresh one truth fell (docs/benchmarks.md)."""
    lora: LoraSettings | None = None
    """Train low-rank additions, which the release has merged; None trains all weights."""
    train: TrainConfig
    seed: int = 15

    def __post_init__(self) -> None:
        matching = ("score_range", "student_every", "adversarial", "critic")
        consistency = ("target", "target_decay", "huber_c")
        unused = matching if self.method == "consistency" else consistency
        usual = {each.name: each.default for each in fields(FewStepsConfig)}
        given = [f"{name}={getattr(self, name)!r}" for name in unused if getattr(self, name) != usual[name]]
        if given:
            raise ConfigError(f"method={self.method!r} makes no use of {', '.join(given)}: leave it out")


def distil(
    config: FewStepsConfig,
    *,
    name: str,
    batches: BatchSource[LatentBatch],
    empty: Conditioning,
    text: Text,
    watching: Watching,
    run_dir: Path,
    processes: Processes,
    notes: Sequence[str] = (),
) -> Path:
    """Train and write ``run_dir/release``, the teacher's release with the few-step U-Net.

    Args:
        config: Settings of the recipe, all of which must be equal when the run is resumed.
        name: Of the release.
        batches: Clean latents with captions.
        empty: The empty caption, batch of 1.
        text: The teacher's text tower.
        watching: Rewards and measurements.
        run_dir: Folder of the run.
        processes: Those that share it.
        notes: Sentences for the manifest.

    Raises:
        CheckpointError: What shapes the student is missing or damaged, or was exchanged during the run.
        ConfigError: ``run_dir`` holds a release of another origin, or one that shapes the student.
    """
    device, teacher = processes.device, find_release(config.teacher)
    places = {"teacher": teacher, "student": find_release(config.student), **watching.parents()}
    if config.critic is not None:
        places["critic"] = find_release(config.critic)
    is_matching = config.method == "distribution_matching"
    check_run_dir(run_dir, places, writes=("release", "critic") if is_matching else ("release",))
    ancestors = ancestry(places)
    original = load_denoiser(teacher, device)
    student = with_guidance_embedding(load_denoiser(places["student"], device), config.guidance.embed_dim)
    network = student.network
    assert isinstance(network, UNet3D)
    if config.lora is not None:
        add_lora(network, config.lora, seed=config.seed)
    usual = _pipeline(original, teacher, text)
    diffusion = few_step_settings(usual.diffusion, config)
    pipe = replace(usual, unet=network, diffusion=diffusion)
    feedback = watching.feedback(usual.autoencoder)
    objective = make_objective(config, student, original, empty, diffusion, feedback)
    processes.spread(objective.networks)

    def save(step: int, folder: Path) -> None:
        manifest = manifest_of(
            name,
            config,
            seeds={"training": config.seed},
            ancestors=ancestors,
            figures=student_figures(step, run_dir, feedback),
            notes=notes,
        )
        plain = network if config.lora is None else merged(network, lambda: UNet3D(network.config))
        save_student(run_dir / "release", teacher, plain, diffusion, manifest, processes)
        if is_matching:
            critic = objective.networks["critic"]
            assert isinstance(critic, UNet3D)
            beside = replace(manifest, name=f"{name}-critic")
            save_student(run_dir / "critic", teacher, critic, usual.diffusion, beside, processes)

    def validate(step: int) -> Mapping[str, float]:
        found = watching.measure(pipe)
        if feedback is not None:
            feedback.watch(found)
        return {name: fmean(values) for name, values in found.items()}

    is_new = not checkpoints(run_dir / "checkpoints")  # else the feedback's state has the baseline
    if feedback is not None and feedback.watched and is_new:
        with evaluating(network, None):
            feedback.compare_with(watching.baseline(watching.measure(usual), watching.measure(pipe)))
    train(
        objective,
        batches,
        config.train,
        run_dir=run_dir,
        device=device,
        save=save,
        validate=validate,
        made_of={**made_of(config), **hashes(ancestors)},
    )
    return run_dir / "release"


def check_guard(guard: GuardConfig | None, train: TrainConfig, measured: Collection[str]) -> None:
    """Refuse a guard that could not watch.

    Raises:
        ConfigError: The run ends before it validates.
        ValueError: Validation does not measure what the guard names.
    """
    if guard is not None and not 1 <= train.validate_every <= train.num_steps:
        raise ConfigError(
            f"train.validate_every={train.validate_every}: the guard watches at validations, so give their "
            f"distance in steps, from 1 to num_steps={train.num_steps}, or say guard=null for feedback that "
            "nothing watches"
        )
    if guard is not None:
        guard.check_names(measured)


def _pipeline(denoiser: Denoiser, release: Path, text: Text) -> TextToVideoPipeline:
    """A release with its own settings, but this network, and the text tower that is loaded already."""
    assert isinstance(denoiser.network, UNet3D)
    device, names = next(denoiser.network.parameters()).device, component_names(release)
    return TextToVideoPipeline(
        unet=denoiser.network,
        autoencoder=load_component(release, names["autoencoder"], dtype=torch.float32, device=device),
        text_encoder=text.encoder,
        tokenizer=text.tokenizer,
        diffusion=load_config(release, names["diffusion"]),
        manifest=Manifest.load(release),
    )


def few_step_settings(diffusion: DiffusionConfig, config: FewStepsConfig) -> DiffusionConfig:
    """The teacher's settings, sampled by multistep consistency in few steps and without a second pass."""
    sampling = SamplingConfig(
        solver="lcm",
        num_inference_steps=config.num_inference_steps,
        timestep_spacing="lcm",
        num_origin_points=config.num_points,
    )
    return replace(diffusion, sampling=sampling, embedded_guidance_scale=embedded_scale(config.guidance))


def make_objective(
    config: FewStepsConfig,
    student: Denoiser,
    teacher: Denoiser,
    empty: Conditioning,
    diffusion: DiffusionConfig,
    feedback: RewardFeedback | None,
) -> ConsistencyObjective | DistributionMatchingObjective:
    """The objective of the chosen method."""
    if config.method == "consistency":
        settings = ConsistencyConfig(
            guidance=config.guidance,
            num_points=config.num_points,
            target=config.target,
            target_decay=config.target_decay,
            huber_c=config.huber_c,
        )
        return ConsistencyObjective(student, teacher, empty, settings, feedback=feedback)
    sampling = diffusion.sampling
    timesteps = inference_timesteps(
        make_schedule(diffusion.schedule),
        sampling.num_inference_steps,
        sampling.timestep_spacing,
        num_origin_points=sampling.num_origin_points,
    )
    critic = with_guidance_embedding(_first_critic(config, teacher), config.guidance.embed_dim)
    matching = DistributionMatchingConfig(
        timesteps=tuple(timesteps),
        guidance=config.guidance,
        score_range=config.score_range,
        student_every=config.student_every,
        adversarial=config.adversarial,
        seed=config.seed,
    )
    assert isinstance(critic.network, UNet3D)
    widths = stage_widths(critic.network.config)
    return DistributionMatchingObjective(
        student, critic, teacher, empty, matching, feedback=feedback, stage_widths=widths
    )


def _first_critic(config: FewStepsConfig, teacher: Denoiser) -> Denoiser:
    """A network of its own with the weights that the critic starts from."""
    assert isinstance(teacher.network, UNet3D)
    if config.critic is None:
        return replace(teacher, network=copy.deepcopy(teacher.network).requires_grad_(True))
    return load_denoiser(find_release(config.critic), next(teacher.network.parameters()).device)
