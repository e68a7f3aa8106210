"""The world's whole road at toy size, run once: each recipe's test looks at its own stretch."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from rufous.compression.prune import PruneConfig
from rufous.compression.release import prune_release
from rufous.networks.video_text import VideoTextConfig
from rufous.recipes import RECIPES
from rufous.recipes.world_autoencoder import WORLD_AUTOENCODER, WorldAutoencoderConfig
from rufous.recipes.world_clips import WorldClipsConfig
from rufous.recipes.world_few_steps import FeedbackConfig, WorldFewStepsConfig
from rufous.recipes.world_latents import WorldLatentsConfig
from rufous.recipes.world_recovery import WorldRecoveryConfig
from rufous.recipes.world_sets import WorldSet
from rufous.recipes.world_teacher import WORLD_DIFFUSION, WORLD_UNET, Phase, Shown, WorldTeacherConfig
from rufous.recipes.world_video_text import WORLD_TEXT, WorldVideoTextConfig
from rufous.training import OptimizerConfig, TrainConfig
from tests.recipes.videos import miniature
from tests.tiny_release import tiny_release

__all__ = ["miniature", "tiny_release"]

CPU = torch.device("cpu")


def brief(num_steps: int) -> TrainConfig:
    return TrainConfig(
        num_steps=num_steps,
        optimizer=OptimizerConfig(name="muon", learning_rate=2e-3),
        ema_decay=0.5,
        log_every=1,
        save_every=num_steps,
        validate_every=num_steps,
        dtype="fp32",
    )


def saved(run_dir: Path, step: int) -> dict[str, object]:
    """What a checkpoint holds: the hash of each file, and every value that is no tensor."""
    state = json.loads((run_dir / f"checkpoints/step-{step:08d}" / "state.json").read_text())
    hashes = {name: found["sha256"] for name, found in state["files"].items()}
    assert {"weights.safetensors", "ema.safetensors", "optimizer.safetensors"} <= hashes.keys()
    return {**hashes, "values": state["values"]}


def unwanted(name: str) -> Path:
    """Stands in for ``find_release`` where nothing may be fetched yet."""
    raise AssertionError(f"{name} is fetched")


@dataclass(frozen=True)
class Road:
    """Configs and folders of the run."""

    root: Path
    clips: WorldClipsConfig
    autoencoder: WorldAutoencoderConfig
    video_text: WorldVideoTextConfig
    latents: WorldLatentsConfig
    teacher: WorldTeacherConfig


def longer_set(root: Path, clips: WorldClipsConfig) -> WorldSet:
    return WorldSet(
        clips=replace(clips, num_frames=6, seed=3),
        clips_dir=str(root / "clips_6"),
        latents_dir=str(root / "latents_6"),
        batch_size=2,
    )


def toy_road(root: Path) -> Road:
    clips = WorldClipsConfig(num_clips=8, captions_per_clip=2, num_frames=4, size=32)
    text = replace(WORLD_TEXT, width=32, heads=2, layers=2, embed_dim=16)
    latents = WorldLatentsConfig(
        clips=clips,
        clips_dir=str(root / "clips"),
        autoencoder=str(root / "autoencoder" / "release"),
        batch_size=4,
    )
    return Road(
        root=root,
        clips=clips,
        autoencoder=WorldAutoencoderConfig(
            network=replace(WORLD_AUTOENCODER, base_channels=8),
            clips=(clips, replace(clips, level="full", seed=2)),
            clips_dirs=(str(root / "clips"), str(root / "clips_full")),
            batch_size=8,
            train=brief(3),
        ),
        video_text=WorldVideoTextConfig(
            clips=clips,
            clips_dir=str(root / "clips"),
            network=VideoTextConfig(text=text, image_size=32, channels=(8, 8, 8, 8), frame_width=16),
            batch_size=4,
            train=brief(3),
        ),
        latents=latents,
        teacher=WorldTeacherConfig(
            latents=latents,
            latents_dir=str(root / "latents"),
            text=str(root / "video_text" / "release"),
            network=replace(
                WORLD_UNET, model_channels=16, num_head_channels=16, num_res_blocks=1, cross_attention_dim=32
            ),
            diffusion=replace(
                WORLD_DIFFUSION,
                num_frames=4,
                height=32,
                width=32,
                sampling=replace(WORLD_DIFFUSION.sampling, num_inference_steps=2),
            ),
            images=Phase(shown=(Shown(batch_size=4, num_frames=1),), train=brief(2)),
            sparse=Phase(shown=(Shown(batch_size=4, num_frames=2),), train=brief(2)),
            clips=Phase(
                shown=(
                    Shown(batch_size=4, repeats={"rotating": 2}),
                    Shown(batch_size=4, longer=True),
                    Shown(batch_size=4, num_frames=2),
                ),
                train=brief(2),
            ),
            longer=longer_set(root, clips),
        ),
    )


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Road:
    road = toy_road(tmp_path_factory.mktemp("world"))
    RECIPES["world_clips"].run(road.clips, road.root / "clips", CPU)
    RECIPES["world_autoencoder"].run(road.autoencoder, road.root / "autoencoder", CPU)
    RECIPES["world_video_text"].run(road.video_text, road.root / "video_text", CPU)
    RECIPES["world_latents"].run(road.latents, road.root / "latents", CPU)
    RECIPES["world_teacher"].run(road.teacher, road.root / "teacher", CPU)
    return road


@dataclass(frozen=True)
class StudentRoad:
    """What follows the teacher: configs and folders of pruning, recovery and few steps."""

    root: Path
    recovery: WorldRecoveryConfig
    few_steps: WorldFewStepsConfig


def toy_student_road(road: Road) -> StudentRoad:
    sixteen = WorldSet(
        clips=road.clips,
        clips_dir=str(road.root / "clips"),
        latents_dir=str(road.root / "latents"),
        batch_size=2,
    )
    longer = longer_set(road.root, road.clips)
    teacher = str(road.root / "teacher" / "release")
    return StudentRoad(
        root=road.root,
        recovery=WorldRecoveryConfig(
            teacher=teacher, student=str(road.root / "pruned"), sets=(sixteen, longer), train=brief(2)
        ),
        few_steps=WorldFewStepsConfig(
            teacher=teacher,
            student=str(road.root / "recovery" / "release"),
            feedback=FeedbackConfig(rewards=str(road.root / "video_text" / "release"), image_frames=2),
            sets=(sixteen, longer),
            num_validation_clips=2,
            train=replace(brief(2), accumulation=2),
        ),
    )


@pytest.fixture(scope="session")
def student_road(road: Road) -> StudentRoad:
    students = toy_student_road(road)
    remove = PruneConfig(remove=("middle_block",), importance="none")
    prune_release(students.recovery.teacher, students.recovery.student, remove)
    RECIPES["world_recovery"].run(students.recovery, road.root / "recovery", CPU)
    return students
