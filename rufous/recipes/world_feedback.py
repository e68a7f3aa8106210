"""Reward feedback on the world: what a student is trained on, what is held out, and what the guard compares.

Motion is compared with the teacher's, truth and the held-out reward with the student's own before its first
step; all of them on clips that are generated as a user would.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch

from rufous.checkpoints.lookup import find_release
from rufous.core.console import logger
from rufous.core.randomness import generator_from
from rufous.evaluation.judging import JudgedClip, judge_clip, motions, rightness
from rufous.networks.vae2d import AutoencoderKL
from rufous.pipelines.text_to_video import TextToVideoPipeline
from rufous.recipes.processes import each_of
from rufous.recipes.watching import pixel_decoder
from rufous.rewards.feedback import GuardConfig, RewardFeedback
from rufous.rewards.image_text import ImageTextReward
from rufous.rewards.reward import Mixture, Weighted
from rufous.rewards.video_text import VideoTextReward
from rufous.video.frames import to_uint8
from rufous.world.dataset import WorldClips

VALIDATION_SEED = 6_000_000
MEASURED = ("truth", "motion_magnitude", "reward_world_image_text", "reward_world_video_text")
"""Numbers of each validation clip."""
_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class FeedbackConfig:
    """Weights of the world's two rewards; both 0 for none. Explicit, whatever the number of processes."""

    image_text: float = 0.0
    video_text: float = 0.0
    image_frames: int = 4
    rewards: str = "world-video-text"
    tiny_decoder: str | None = None
    """Release with a ``tiny_decoder`` for the pixels inside the loss; None for the full decoder."""
    guard: GuardConfig | None = field(
        default_factory=lambda: GuardConfig(
            lowest={"motion_magnitude": 0.95, "truth": 0.97}, highest={"motion_magnitude": 1.1}
        )
    )
    """Of ``MEASURED``; None watches nothing."""

    @property
    def is_on(self) -> bool:
        """Whether any reward is trained on."""
        return bool(self.image_text or self.video_text)

    def parents(self) -> dict[str, Path]:
        """Releases that shape the student, by role; none without feedback."""
        names = {"rewards": self.rewards, "tiny_decoder": self.tiny_decoder} if self.is_on else {}
        return {role: find_release(name) for role, name in names.items() if name is not None}


HELD_OUT_IMAGES = FeedbackConfig(video_text=0.4)
"""What to train on unless there is a reason: the video reward knows motion, so a student gains least by
standing still; the image reward, which no gradient climbs, sees what that costs the single frames. At this
weight both terms pull a clip about equally hard; at the 2 of larger models the reward would pull five times
as hard as the distillation (docs/rewards.md)."""

ClipFigures: TypeAlias = Mapping[str, Sequence[float]]
"""Numbers of each clip, by name."""
WorldRewards: TypeAlias = tuple[ImageTextReward, VideoTextReward]


def make_feedback(
    config: FeedbackConfig, rewards: WorldRewards, autoencoder: AutoencoderKL
) -> RewardFeedback:
    """The rewards, weighted, as a loss term; one of weight 0 is held out, logged and guarded."""
    image_text, video_text = rewards
    if config.image_text and config.video_text:
        _log.warning("both rewards are trained on: none is held out, and truth and motion alone are guarded")
    mixture = Mixture(
        [
            Weighted(reward=image_text, weight=config.image_text, num_frames=config.image_frames),
            Weighted(reward=video_text, weight=config.video_text),
        ]
    )
    decoder = pixel_decoder(autoencoder, config.tiny_decoder, slice_frames=4)
    return RewardFeedback(mixture, decoder, guard=config.guard)


def baseline_of(teacher: ClipFigures, student: ClipFigures) -> ClipFigures:
    """What the guard compares with: the starting student's figures, but the teacher's motion."""
    return {**student, "motion_magnitude": teacher["motion_magnitude"]}


def measure_model(
    pipe: TextToVideoPipeline, counts: Mapping[int, int], rewards: WorldRewards
) -> dict[str, list[float]]:
    """``MEASURED``: truth (1 if all attributes are right), motion and rewards of freshly generated clips.

    The model's own settings and always the same captions and noise. Where clips differ in length, truth of
    each length is told too, such as ``truth_26``. Processes share the clips of each length and get the
    figures of all of them, so that they decide alike.

    Args:
        pipe: What is measured.
        counts: Number of clips of each number of frames.
        rewards: What scores the clips.
    """
    world = WorldClips(seed=VALIDATION_SEED, split="any", complete_captions=True)

    def measure(num_frames: int, first: int, own: list[int]) -> list[tuple[JudgedClip, list[float]]]:
        indices = [first + place for place in own]
        captions = [world.scene(index)[1] for index in indices]
        made = pipe(
            captions,
            num_frames=num_frames,
            generator=[generator_from(VALIDATION_SEED, "validation", index) for index in indices],
            batch_size=8,
            output_type="pt",
        )
        judged = [
            judge_clip(to_uint8(clip).cpu(), made.fps, caption)
            for clip, caption in zip(made.frames, captions, strict=True)
        ]
        video = torch.stack([clip.transpose(0, 1) for clip in made.frames])
        scores = torch.stack([kind.score(video, captions) for kind in rewards], dim=1)
        return list(zip(judged, scores.tolist(), strict=True))

    found: list[tuple[JudgedClip, list[float]]] = []
    by_length: dict[str, list[float]] = {}
    for num_frames, count in counts.items():
        part = each_of(count, partial(measure, num_frames, len(found)))
        by_length[f"truth_{num_frames}"] = rightness([clip for clip, _ in part])
        found += part
    judged, scores = [clip for clip, _ in found], torch.tensor([each for _, each in found])
    by_reward = dict(zip(MEASURED[2:], scores.T.tolist(), strict=True))
    measured = {"truth": rightness(judged), "motion_magnitude": motions(judged), **by_reward}
    return {**measured, **by_length} if len(counts) > 1 else measured
