"""The world's contrastive video-text model; its text tower conditions the world's generators.

    rufous train world_video_text

Binding words to things is what takes a generator long when its text tower is trained along; a contrastive
model learns the same binding in minutes, as OpenCLIP did for VideoCrafter2.

On several processes each compares its own share of the batch, so fewer wrong captions are told apart:
with two processes, double ``batch_size`` for the same task.
"""

import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import save_release
from rufous.distillation.contrastive import CaptionedVideos, ContrastiveObjective
from rufous.networks.text_encoders import TextEncoderConfig, WordTokenizer
from rufous.networks.video_text import VideoTextConfig, VideoTextModel
from rufous.recipes.processes import Processes, joined
from rufous.recipes.recipe import Recipe, portable_config
from rufous.recipes.world_clips import RenderedClips, WorldClipsConfig, render_clips
from rufous.training.loop import TrainConfig, train
from rufous.training.optim import OptimizerConfig
from rufous.training.parallel import replicate
from rufous.video.frames import from_uint8
from rufous.world.captions import vocabulary

VALIDATION_SEED = 9_002
TOKENIZER = WordTokenizer(vocabulary())
WORLD_TEXT = TextEncoderConfig(
    vocab_size=len(TOKENIZER), context_length=40, width=128, heads=4, layers=4, embed_dim=128
)


@dataclass(frozen=True, kw_only=True)
class WorldVideoTextConfig:
    """Settings of the run."""

    clips: WorldClipsConfig = field(default_factory=WorldClipsConfig)
    clips_dir: str = "runs/world_clips"
    network: VideoTextConfig = field(default_factory=lambda: VideoTextConfig(text=WORLD_TEXT))
    frame_stride: int = 2
    """Every so-manieth frame is read: motion stays visible at half the cost."""
    batch_size: int = 128
    image_weight: float = 0.5
    seed: int = 12
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            num_steps=1200,
            optimizer=OptimizerConfig(
                name="adamw", learning_rate=1e-3, schedule="cosine", warmup_steps=50, weight_decay=0.05
            ),
            ema_decay=0.99,
            save_every=200,
            validate_every=200,
        )
    )


@dataclass(frozen=True)
class Captioned:
    """Each clip as often as it has captions: item ``i`` is clip ``i // k`` with its caption ``i % k``."""

    clips: RenderedClips

    def __len__(self) -> int:
        return len(self.clips) * self.clips.config.captions_per_clip

    def __getitem__(self, index: int) -> tuple[int, str]:
        clip, caption = divmod(index, self.clips.config.captions_per_clip)
        return clip, self.clips.captions[clip][caption]


def collate(
    clips: RenderedClips, stride: int, part: list[tuple[int, str]], device: torch.device
) -> CaptionedVideos:
    """Read the clips of a batch from disk."""
    frames = torch.stack([torch.from_numpy(clips.frames[index, ::stride].copy()) for index, _ in part])
    video = from_uint8(frames.to(device).transpose(1, 2))
    ids, mask = TOKENIZER.encode([caption for _, caption in part], WORLD_TEXT.context_length)
    return CaptionedVideos(video, ids.to(device), mask.to(device))


def _held_out(config: WorldVideoTextConfig, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """128 clips of held-out combinations with their captions: pixels, ids and mask."""
    clips = replace(config.clips, seed=VALIDATION_SEED, split="held_out").clips
    held_out = [clips[index] for index in range(128)]
    video = torch.stack([clip.frames[:: config.frame_stride] for clip in held_out]).transpose(1, 2)
    ids, mask = TOKENIZER.encode([clip.caption for clip in held_out], WORLD_TEXT.context_length)
    return from_uint8(video.to(device)), ids.to(device), mask.to(device)


def run(config: WorldVideoTextConfig, run_dir: Path, device: torch.device) -> Path:
    """Train and write ``run_dir/release`` with ``video_text`` and ``tokenizer``."""
    with joined(device) as processes:
        return _train(config, run_dir, processes)


def _train(config: WorldVideoTextConfig, run_dir: Path, processes: Processes) -> Path:
    device = processes.device
    with processes.first_alone():
        clips = render_clips(config.clips, Path(config.clips_dir))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = VideoTextModel(config.network).to(device)
    replicate(network, processes.mesh)  # small, and its logit scale is a scalar
    batches = processes.batches(
        Captioned(clips),
        lambda part: collate(clips, config.frame_stride, part, device),
        batch_size=config.batch_size,
        seed=config.seed,
        prefetch=4,
    )
    pixels, ids, mask = _held_out(config, device)

    def validate(step: int) -> dict[str, float]:
        similarity = network.encode_video(pixels) @ network.encode_text(ids, mask).T
        found = similarity.argmax(dim=0) == torch.arange(len(ids), device=ids.device)
        return {"held_out_accuracy": float(found.float().mean())}

    def save(step: int, folder: Path) -> None:
        manifest = Manifest(
            name="world-video-text",
            config=portable_config(config),
            seeds={"data": config.clips.seed, "training": config.seed},
            licences={"weights": "Apache-2.0"},
            figures=validate(step),
        )
        parts = {"video_text": network, "text_encoder": network.text, "tokenizer": TOKENIZER}
        if processes.is_first:
            save_release(run_dir / "release", parts, manifest, overwrite=True)

    objective = ContrastiveObjective(network, image_weight=config.image_weight)
    with contextlib.closing(batches):
        train(objective, batches, config.train, run_dir=run_dir, device=device, save=save, validate=validate)
    return run_dir / "release"


SMALL = WorldVideoTextConfig()
LARGE = replace(SMALL, batch_size=512, train=replace(SMALL.train, num_steps=2_500, ema_decay=0.999))
"""For a GPU: four times the clips in a batch, twice the steps."""

RECIPE = Recipe(
    name="world_video_text",
    summary="The world's contrastive video-text model and its text tower.",
    config=SMALL,
    presets={"small": SMALL, "large": LARGE},
    run=run,
)
