"""A raw set of the world in video files, 40 % of it damaged, and what curation leaves of it.

Every clip's damage is known, so it can be told which of it curation finds, and an oracle can find all of it.
"""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from rufous.core.config import to_json_dict
from rufous.core.console import logger
from rufous.core.errors import ConfigError
from rufous.core.files import write_text
from rufous.data.clip import Clip
from rufous.data.engine import Step, curate
from rufous.data.executor import Executor, InlineExecutor
from rufous.data.journal import Journal
from rufous.data.local_executor import LocalExecutor
from rufous.data.manifest import write_manifest
from rufous.data.presets import Plan, make_plan, parse_steps
from rufous.data.stage import settings_key
from rufous.recipes.world_clips import WorldClipsConfig
from rufous.video.write import write_video
from rufous.world.captions import caption_of
from rufous.world.damage import DAMAGES, damaged
from rufous.world.scene import pick

ARMS = ("raw", "curated", "oracle")
"""Sets: everything, what the stages and rules leave, and what is not damaged."""
DAMAGE = "damage"
"""The tag that says what is wrong with a clip; for figures and the oracle only."""
SOUND = "none"
_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class CurationSetConfig:
    """Which clips there are, and how they are curated."""

    clips: WorldClipsConfig = field(default_factory=lambda: WorldClipsConfig(num_clips=6_000))
    damaged_share: float = 0.4
    """Drawn for each clip; the kinds of ``world.damage.DAMAGES`` are equally likely."""
    steps: tuple[str, ...] = (
        *("technical", "smoothness", "camera", "video_match"),
        "technical_edge_width<=4.7",
        "smoothness>=0.97",
        "camera_growth<=0.1",
        "video_match>=0.7",
    )
    """Stages and filters as ``rufous curate`` has them, in their order. The limits were chosen on 300 clips
    of seed 991: no camera of ``core`` zooms, and its edges are sharp."""
    num_workers: int = 2
    """Processes that carry them out; 0 for this one."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.damaged_share < 1.0:
            raise ValueError(f"damaged_share={self.damaged_share}: use 0 or more and less than 1")


def make_sets(config: CurationSetConfig, folder: Path) -> None:
    """Write the files and ``raw.jsonl``, ``curated.jsonl`` and ``oracle.jsonl``, unless they are there.

    Raises:
        ConfigError: No such stage, or a filter of a value that none gives.
    """
    plan = plan_of(config)
    done, made_of = folder / "made-of.json", json.loads(json.dumps(to_json_dict(config)))
    made_of["keys"] = [settings_key(stage) for stage in plan.stages]
    if done.is_file() and json.loads(done.read_text(encoding="utf-8")) == made_of:
        return
    done.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    _log.info("writing %d clips into %s", config.clips.num_clips, folder)
    raw = raw_clips(config, folder)
    write_manifest(folder / "raw.jsonl", raw)
    executor = LocalExecutor(num_workers=config.num_workers) if config.num_workers else InlineExecutor()
    write_manifest(folder / "curated.jsonl", curated_rows(raw, folder, plan.steps, executor))
    oracle = [clip if clip.tags[DAMAGE] == SOUND else clip.drop("oracle", clip.tags[DAMAGE]) for clip in raw]
    write_manifest(folder / "oracle.jsonl", oracle)
    write_text(done, json.dumps(made_of))


def plan_of(config: CurationSetConfig) -> Plan:
    """The stages and filters of a config.

    Raises:
        ConfigError: No such stage, one that cannot run here, or a filter of a value that none gives.
    """
    plan = make_plan(parse_steps(config.steps))
    for name, reason in plan.left_out.items():
        raise ConfigError(f"{name} cannot run here: {reason}")
    return plan


def raw_clips(config: CurationSetConfig, folder: Path) -> list[Clip]:
    """Write the clips into files below ``folder`` and give the rows of their manifest."""
    clips, settings = list[Clip](), config.clips
    world = settings.clips
    size = {"num_frames": settings.num_frames, "size": settings.size, "fps": settings.fps}
    for index in range(settings.num_clips):
        rng = np.random.default_rng([settings.seed, index, 2])
        scene, _ = world.scene(index)
        kind = pick(rng, DAMAGES) if rng.uniform() < config.damaged_share else SOUND
        told = world.scene(settings.num_clips + index)[0] if kind == "wrong_caption" else scene
        frames = world[index].frames if kind == SOUND else damaged(kind, scene, rng, **size)
        source = f"{index // 1000:03d}/{index:06d}.mkv"
        write_video(folder / source, frames, fps=settings.fps, lossless=True)
        clips.append(
            Clip(
                source=source,
                content_id=f"{settings.seed}-{index}",
                info={
                    "num_frames": settings.num_frames,
                    "height": settings.size,
                    "width": settings.size,
                    "fps": settings.fps,
                },
                captions={name: caption_of(told, rng) for name in caption_kinds(settings)},
                tags={DAMAGE: kind},
            )
        )
    return clips


def caption_kinds(config: WorldClipsConfig) -> list[str]:
    """Names of the phrasings that each clip has."""
    return ["original", *(f"phrasing_{number}" for number in range(2, config.captions_per_clip + 1))]


def curated_rows(clips: Sequence[Clip], root: Path, steps: Sequence[Step], executor: Executor) -> list[Clip]:
    """The rows with all that stages found, those dropped that a filter refuses.

    The damage of a clip is hidden from the stages.
    """
    damage = {clip.place: clip.tags[DAMAGE] for clip in clips}
    hidden = [replace(clip, tags={}) for clip in clips]
    with closing(Journal(root / "journal.jsonl")) as journal:
        curated = curate(hidden, steps, root=root, executor=executor, journal=journal)
    return [clip.with_tags(**{DAMAGE: damage[clip.place]}) for clip in curated.clips]


def curation_figures(rows: Sequence[Clip]) -> dict[str, dict[str, float | int]]:
    """Of each damage, and of sound clips, how many there were and the share that was dropped."""
    found: dict[str, dict[str, float | int]] = {}
    for kind in (*DAMAGES, SOUND):
        own = [clip.dropped is not None for clip in rows if clip.tags[DAMAGE] == kind]
        if own:
            found[kind] = {"clips": len(own), "dropped": round(float(np.mean(own)), 4)}
    return found
