"""The world's contrastive video-text model; its text tower conditions the world's generators.

    rufous train world_video_text
    rufous train world_video_text --preset sharper init_from=runs/world_video_text/release

Binding words to things is what takes a generator long when its text tower is trained along; a contrastive
model learns the same binding in minutes, as OpenCLIP did for VideoCrafter2. Captions of other clips mostly
differ in a colour; so each clip also meets captions that are wrong in one thing, or shapes and motions would
hardly be learnt.

With ``train_text=false``, as in the preset ``sharper``, the clips' side alone goes on learning: the text
tower stays bit for bit what the generators were trained with.

On several processes each compares its own share of the batch, so fewer wrong captions are told apart:
with two processes, double ``batch_size`` for the same task.
"""

import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, save_release
from rufous.core.config import differences, to_json_dict
from rufous.core.errors import ConfigError
from rufous.distillation.contrastive import CaptionedVideos, ContrastiveObjective
from rufous.networks.text_encoders import TextEncoderConfig, WordTokenizer
from rufous.networks.video_text import VideoTextConfig, VideoTextModel
from rufous.recipes.processes import Processes, joined
from rufous.recipes.recipe import Recipe, made_of, portable_config
from rufous.recipes.releases import ancestry, check_run_dir, hashes
from rufous.recipes.world_clips import RenderedClips, WorldClipsConfig, render_clips
from rufous.training.loop import TrainConfig, train
from rufous.training.optim import OptimizerConfig
from rufous.training.parallel import replicate
from rufous.video.frames import from_uint8
from rufous.world.captions import caption_of, distracting_captions, vocabulary

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
    batch_size: int = 64
    num_distractors: int = 6
    """Captions wrong in one thing that each clip meets beside the captions of the other clips."""
    image_weight: float = 0.5
    text_weight: float = 0.5
    seed: int = 12
    init_from: str | None = None
    """Embedded name or release folder whose ``video_text`` the run starts from."""
    train_text: bool = True
    """False freezes the text tower; give ``init_from`` then."""
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            num_steps=2400,
            optimizer=OptimizerConfig(
                name="muon", learning_rate=1e-3, schedule="cosine", warmup_steps=50, weight_decay=0.05
            ),
            ema_decay=0.99,
            save_every=200,
            validate_every=200,
        )
    )

    def __post_init__(self) -> None:
        if self.init_from is None and not self.train_text:
            raise ValueError("train_text=false without init_from: a fresh text tower would never learn")


@dataclass(frozen=True)
class Captioned:
    """Each clip as often as it has captions: item ``i`` is clip ``i // k`` with its caption ``i % k``.

    An item is the clip's number and its captions: a true one, another true one, then the distractors.
    """

    clips: RenderedClips
    num_distractors: int

    def __len__(self) -> int:
        return len(self.clips) * self.clips.config.captions_per_clip

    def __getitem__(self, index: int) -> tuple[int, list[str]]:
        config = self.clips.config
        clip, which = divmod(index, config.captions_per_clip)
        caption = self.clips.captions[clip][which]
        rng = np.random.default_rng([config.seed, index, 2])
        scene = config.clips.scene(clip)[0]
        again = caption_of(scene, rng)
        return clip, [caption, again, *distracting_captions(scene, caption, rng, self.num_distractors)]


def collate(
    clips: RenderedClips, stride: int, part: list[tuple[int, list[str]]], device: torch.device
) -> CaptionedVideos:
    """Read the clips of a batch from disk; captions are padded to the longest."""
    frames = torch.stack([torch.from_numpy(clips.frames[index, ::stride].copy()) for index, _ in part])
    video = from_uint8(frames.to(device).transpose(1, 2))
    captions = [caption for _, captions in part for caption in captions]
    ids, mask = TOKENIZER.encode(captions, WORLD_TEXT.context_length)
    longest = int(mask.sum(dim=1).max())
    ids, mask = (x[:, :longest].unflatten(0, (len(part), -1)).to(device) for x in (ids, mask))
    wrong = (ids[:, 2:], mask[:, 2:]) if ids.shape[1] > 2 else (None, None)
    return CaptionedVideos(video, ids[:, 0], mask[:, 0], *wrong, again_ids=ids[:, 1], again_mask=mask[:, 1])


def _held_out(config: WorldVideoTextConfig, device: torch.device) -> CaptionedVideos:
    """128 clips of held-out combinations, each with its caption and 7 that are wrong in one thing."""
    clips = replace(config.clips, seed=VALIDATION_SEED, split="held_out").clips
    held_out = [clips[index] for index in range(128)]
    video = torch.stack([clip.frames[:: config.frame_stride] for clip in held_out]).transpose(1, 2)
    rng = np.random.default_rng(VALIDATION_SEED)
    captions = [[clip.caption, *distracting_captions(clip.scene, clip.caption, rng, 7)] for clip in held_out]
    ids, mask = TOKENIZER.encode([text for part in captions for text in part], WORLD_TEXT.context_length)
    ids, mask = ids.unflatten(0, (128, 8)).to(device), mask.unflatten(0, (128, 8)).to(device)
    pixels = from_uint8(video.to(device))
    return CaptionedVideos(pixels, ids[:, 0], mask[:, 0], ids[:, 1:], mask[:, 1:])


def run(config: WorldVideoTextConfig, run_dir: Path, device: torch.device) -> Path:
    """Train and write ``run_dir/release`` with ``video_text`` and ``tokenizer``."""
    with joined(device) as processes:
        return _train(config, run_dir, processes)


def _train(config: WorldVideoTextConfig, run_dir: Path, processes: Processes) -> Path:
    device = processes.device
    places = _places(config)
    check_run_dir(run_dir, places)
    ancestors = ancestry(places)
    with processes.first_alone():
        clips = render_clips(config.clips, Path(config.clips_dir))
    network = _initial_network(config).to(device)
    replicate(network, processes.mesh)  # never sharded: its logit scale is a scalar
    batches = processes.batches(
        Captioned(clips, config.num_distractors),
        lambda part: collate(clips, config.frame_stride, part, device),
        batch_size=config.batch_size,
        seed=config.seed,
        prefetch=4,
    )
    held_out = _held_out(config, device)

    def validate(step: int) -> dict[str, float]:
        return accuracies(network, held_out)

    def save(step: int, folder: Path) -> None:
        manifest = Manifest(
            name="world-video-text",
            config=portable_config(config),
            seeds={"data": config.clips.seed, "training": config.seed},
            parents=tuple(each.parent for each in ancestors),
            licences={"weights": "Apache-2.0"},
            figures=validate(step),
        )
        parts = {"video_text": network, "text_encoder": network.text, "tokenizer": TOKENIZER}
        if processes.is_first:
            save_release(run_dir / "release", parts, manifest, overwrite=True)

    text_weight = config.text_weight if config.train_text else 0.0
    objective = ContrastiveObjective(network, image_weight=config.image_weight, text_weight=text_weight)
    with contextlib.closing(batches):
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


def _initial_network(config: WorldVideoTextConfig) -> VideoTextModel:
    if config.init_from is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return VideoTextModel(config.network)
    network: VideoTextModel = load_component(
        find_release(config.init_from), "video_text", dtype=torch.float32
    )
    if network.config != config.network:
        changes = differences(to_json_dict(network.config), to_json_dict(config.network))
        raise ConfigError(f"init_from={config.init_from!r} has another network: {'; '.join(changes)}")
    network.text.requires_grad_(config.train_text)
    return network


def _places(config: WorldVideoTextConfig) -> dict[str, Path]:
    """The release that the run starts from, if any, by its role."""
    return {} if config.init_from is None else {"start": find_release(config.init_from)}


def accuracies(network: VideoTextModel, batch: CaptionedVideos) -> dict[str, float]:
    """Shares of captions that find their clip, and of clips that prefer the true caption to wrong ones.

    Chance is one over the clips, and one over the captions of a clip.
    """
    assert batch.wrong_ids is not None
    assert batch.wrong_mask is not None
    video = network.encode_video(batch.video)
    text = network.encode_text(batch.ids, batch.mask)
    wrong = network.encode_text(batch.wrong_ids.flatten(0, 1), batch.wrong_mask.flatten(0, 1))
    wrong = wrong.unflatten(0, (len(batch), -1))
    found = (video @ text.T).argmax(dim=0) == torch.arange(len(batch), device=video.device)
    true = (video * text).sum(dim=1, keepdim=True)
    preferred = true > torch.einsum("be,bne->bn", video, wrong)
    return {
        "held_out_accuracy": float(found.float().mean()),
        "true_caption_first": float(preferred.all(dim=1).float().mean()),
        "true_caption_preferred": float(preferred.float().mean()),
    }


SMALL = WorldVideoTextConfig()
LARGE = replace(SMALL, batch_size=512, train=replace(SMALL.train, num_steps=2_500, ema_decay=0.999))
"""For a GPU: eight times the clips in a batch."""
SHARPER = replace(
    SMALL,
    init_from="world-video-text",
    train_text=False,
    num_distractors=16,
    batch_size=128,
    train=replace(
        SMALL.train,
        num_steps=800,
        optimizer=replace(SMALL.train.optimizer, learning_rate=5e-4),
        save_every=100,
        validate_every=100,
    ),
)
"""A second pass against more captions that are wrong in one thing, from the release of the first."""

RECIPE = Recipe(
    name="world_video_text",
    summary="The world's contrastive video-text model and its text tower.",
    config=SMALL,
    presets={"small": SMALL, "large": LARGE, "sharper": SHARPER},
    run=run,
)
