"""Stage 2 at full size: the recovered U-Net becomes a 4-step student, raised by mixed rewards.

    torchrun --nproc_per_node 4 -m rufous train feedback_unet_0_7b teacher=videocrafter2 \\
        student=runs/distil_unet_0_7b/release data.clips=webvid.csv

Unverified at full scale: only a reduced run on random weights is tested. The paper reports one GPU-day on 4
MI250 and a VBench total of 81.35 at 16 frames.

``docs/full_size.md`` sets the paper's settings beside those of the released code (presets ``paper`` and
``code``) and says why the default differs from both. ViCLIP stands in for InternVideo2, which no source at
hand describes well enough (``rewards.video_text``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from rufous.checkpoints.lookup import find_release
from rufous.core.errors import ConfigError
from rufous.core.randomness import generator_from
from rufous.data.records import ClipRecord
from rufous.data.video_clips import ClipSampling
from rufous.distillation.lora import LoraSettings
from rufous.distillation.teaching import GuidanceRange
from rufous.evaluation.frame_change import mean_frame_change
from rufous.networks.vae2d import AutoencoderKL
from rufous.pipelines.text_to_video import TextToVideoPipeline
from rufous.recipes.distil_unet import SIXTEEN, TWENTY_SIX, UNVERIFIED
from rufous.recipes.few_steps import FewStepsConfig, check_guard, distil
from rufous.recipes.processes import each_of, joined
from rufous.recipes.recipe import Recipe
from rufous.recipes.video_batches import VideoDataConfig, VideoSet, alternating_videos, open_videos
from rufous.recipes.watching import Figures, clips_of_each_length, pixel_decoder
from rufous.rewards.feedback import GuardConfig, RewardFeedback
from rufous.rewards.loading import load_reward, reward_place
from rufous.rewards.reward import FrameChoice, Mixture, Weighted
from rufous.training.loop import TrainConfig
from rufous.training.optim import OptimizerConfig
from rufous.video.frames import to_uint8


@dataclass(frozen=True, kw_only=True)
class RewardChoice:
    """One reward of the mixture."""

    name: str
    """See ``rewards.loading.REWARDS``."""
    weight: float
    """0 holds it out: logged and guarded, not trained on."""
    num_frames: int
    frames: FrameChoice = "random"


HPS = RewardChoice(name="hpsv2.1", weight=1.0, num_frames=5)
VICLIP = RewardChoice(name="viclip", weight=0.667, num_frames=8, frames="stride")
"""By the rank layout of the published trainers the weights 1 and 2 come to 1 and 2/3 of the distillation."""
HELD_OUT = RewardChoice(name="pickscore", weight=0.0, num_frames=5)


@dataclass(frozen=True, kw_only=True)
class FeedbackUNetConfig(FewStepsConfig):
    """Settings of the run."""

    teacher: str = "videocrafter2"
    student: str
    guidance: GuidanceRange = field(default_factory=lambda: GuidanceRange(6.0, 16.0, 256))
    data: VideoDataConfig = field(
        default_factory=lambda: VideoDataConfig(
            sets=(replace(SIXTEEN, batch_size=8), replace(TWENTY_SIX, batch_size=8))
        )
    )
    rewards: tuple[RewardChoice, ...] = (HPS, VICLIP, HELD_OUT)
    """None at all for a distillation without feedback."""
    tiny_decoder: str | None = None
    """Release of ``distil_decoder`` for the pixels inside the loss; None for the teacher's full decoder."""
    guard: GuardConfig | None = field(
        default_factory=lambda: GuardConfig(lowest={"frame_change": 0.95}, highest={"frame_change": 1.1})
    )
    """Of ``frame_change`` and ``reward_NAME``; None watches nothing."""
    num_validation_clips: int = 16
    """As many of each length of ``data.sets``."""
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            num_steps=80_000,
            accumulation=2,  # a batch of each length
            optimizer=OptimizerConfig(learning_rate=1e-5, weight_decay=0.0, warmup_steps=500),
            ema_decay=0.999,
            save_every=1_000,
            validate_every=1_000,
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tiny_decoder is not None and not self.rewards:
            raise ConfigError(
                f"without rewards nothing is decoded: leave tiny_decoder={self.tiny_decoder!r} out"
            )
        if self.rewards:
            measured = ("frame_change", *(f"reward_{each.name}" for each in self.rewards))
            check_guard(self.guard, self.train, measured)


@dataclass(frozen=True)
class _Watching:
    """Published rewards, and what can be measured of clips that no world explains."""

    config: FeedbackUNetConfig
    mixture: Mixture | None
    captions: Sequence[str]
    lengths: Sequence[int]
    """Frames of each caption's clip."""

    def feedback(self, autoencoder: AutoencoderKL) -> RewardFeedback | None:
        """The rewards that are trained on, and those held out."""
        if self.mixture is None:
            return None
        decoder = pixel_decoder(autoencoder, self.config.tiny_decoder, slice_frames=1)
        return RewardFeedback(self.mixture, decoder, guard=self.config.guard)

    def measure(self, pipe: TextToVideoPipeline) -> Figures:
        """Frame change and rewards of the same captions and noise each time; processes share the clips."""
        found = each_of(len(self.captions), lambda own: [self._measured(pipe, index) for index in own])
        return {name: [clip[name] for clip in found] for name in found[0]}

    def _measured(self, pipe: TextToVideoPipeline, index: int) -> dict[str, float]:
        """Figures of the clip of one caption."""
        caption, generator = self.captions[index], generator_from(self.config.seed, "validation", index)
        made = pipe(caption, num_frames=self.lengths[index], generator=generator, output_type="pt")
        clip = made.frames[0]
        figures = {"frame_change": mean_frame_change(to_uint8(clip))}
        if self.mixture is None:
            return figures
        scores = self.mixture.score(clip.transpose(0, 1)[None], [caption], generator_from(index))
        return {**figures, **{f"reward_{name}": float(value) for name, value in scores.parts.items()}}

    def baseline(self, teacher: Figures, student: Figures) -> Figures:
        """The teacher's motion, the starting student's rewards."""
        return {**student, "frame_change": teacher["frame_change"]}

    def parents(self) -> Mapping[str, Path]:
        """What each reward is read from, for one that is held out decides the guard, and the tiny decoder."""
        rewards = {f"reward {each.name}": reward_place(each.name) for each in self.config.rewards}
        tiny = self.config.tiny_decoder
        return rewards if tiny is None else {**rewards, "tiny_decoder": find_release(tiny)}


def run(config: FeedbackUNetConfig, run_dir: Path, device: torch.device) -> Path:
    """Train and write ``run_dir/release``, the teacher's release with the few-step U-Net.

    Raises:
        CheckpointError: A reward's weights are missing or do not fit.
        ValueError: The list of clips cannot be read.
    """
    records = config.data.records()  # before a teacher is downloaded
    find_release(config.student)
    captions = _drawn(records, config.num_validation_clips, config.seed)
    counts = clips_of_each_length(len(captions), [each.sampling.num_frames for each in config.data.sets])
    teacher = find_release(config.teacher)
    with joined(device) as processes:
        data = open_videos(records, teacher, processes)
        lengths = [length for length, count in counts.items() for _ in range(count)]
        watching = _Watching(config, _mixture(config.rewards, processes.device), captions, lengths)
        with alternating_videos(config.data, data, config.seed) as batches:
            return distil(
                config,
                name=_name(config),
                batches=batches,
                empty=data.empty,
                text=data.text,
                watching=watching,
                run_dir=run_dir,
                processes=processes,
                notes=(UNVERIFIED,),
            )


def _name(config: FeedbackUNetConfig) -> str:
    """Of the release: that of the run which made the student, and the number of steps."""
    return f"{Path(config.student).parent.name.removeprefix('distil_')}-{config.num_inference_steps}-steps"


def _mixture(chosen: Sequence[RewardChoice], device: torch.device) -> Mixture | None:
    parts = [
        Weighted(
            reward=load_reward(each.name, device=device),
            weight=each.weight,
            num_frames=each.num_frames,
            frames=each.frames,
        )
        for each in chosen
    ]
    return Mixture(parts) if parts else None


def _drawn(records: Sequence[ClipRecord], count: int, seed: int) -> list[str]:
    """Captions of the list, drawn by seed; fewer if it has fewer."""
    order = torch.randperm(len(records), generator=generator_from(seed, "validation captions"))
    return [records[index].caption for index in order[:count].tolist()]


def _paper(config: FeedbackUNetConfig) -> FeedbackUNetConfig:
    """16 frames, 80,000 steps of 8 clips at 1e-5 (section 4.1); the rest as in T2V-Turbo."""
    return replace(
        config,
        target="student",
        lora=LoraSettings(rank=64),
        data=VideoDataConfig(sets=(replace(SIXTEEN, batch_size=8),)),
        rewards=(HPS, VICLIP),
        train=TrainConfig(
            num_steps=80_000,
            optimizer=OptimizerConfig(learning_rate=1e-5, weight_decay=0.0),
            save_every=1_000,
            validate_every=1_000,
        ),
    )


def _code(config: FeedbackUNetConfig) -> FeedbackUNetConfig:
    """26 frames, up to 400,000 steps of one clip a process at 1e-4 (train.py, train_07B.sh)."""
    paper = _paper(config)
    cut = ClipSampling(num_frames=26)
    return replace(
        paper,
        data=VideoDataConfig(sets=(VideoSet(sampling=cut, batch_size=4),)),
        train=replace(
            paper.train,
            num_steps=400_000,
            optimizer=OptimizerConfig(learning_rate=1e-4, weight_decay=0.0),
        ),
    )


def _recipe(size: str) -> Recipe:
    ours = FeedbackUNetConfig(student=f"runs/distil_unet_{size}/release")
    return Recipe(
        name=f"feedback_unet_{size}",
        summary=f"Stage 2 at full size: the {size.replace('_', '.').replace('b', ' B')} U-Net in 4 steps, "
        "raised by rewards. Unverified at full scale.",
        config=ours,
        presets={"paper": _paper(ours), "code": _code(ours)},
        run=run,
    )


FEEDBACK_UNET_0_7B = _recipe("0_7b")
FEEDBACK_UNET_0_9B = _recipe("0_9b")
