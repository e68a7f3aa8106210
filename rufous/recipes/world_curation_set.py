"""A raw set of the world in video files, 40 % of it damaged, and what curation leaves of it.

Every clip's damage is known, so it can be told which of it curation finds, and an oracle can find all of it.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from rufous.core.config import to_json_dict
from rufous.core.console import logger
from rufous.core.files import write_text
from rufous.data.clip import Clip
from rufous.data.curated_clips import write_clips
from rufous.data.media import ClipMedia
from rufous.data.stage import SetStage, Stage, settings_key
from rufous.data.stages.registry import STAGES
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
class KeepRule:
    """Drops clips by one score, or by one tag."""

    value: str
    """Name of a score, or of a tag if ``refused`` is given."""
    at_least: float | None = None
    at_most: float | None = None
    refused: tuple[str, ...] = ()
    """Tags that are dropped."""

    def __post_init__(self) -> None:
        if (self.at_least is None and self.at_most is None) == (not self.refused):
            raise ValueError(f"rule for {self.value}: give at_least or at_most for a score, or refused tags")

    def refusal(self, clip: Clip) -> str | None:
        """Why a clip does not pass; None if it does."""
        if self.refused:
            tag = clip.tags.get(self.value)
            return f"it is {tag}" if tag in self.refused else None
        score = clip.scores.get(self.value)
        if score is None:
            return f"{self.value} was not measured"
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return None if low <= score <= high else f"{self.value} is {score:.4g}"


@dataclass(frozen=True, kw_only=True)
class CurationSetConfig:
    """Which clips there are, and how they are curated."""

    clips: WorldClipsConfig = field(default_factory=lambda: WorldClipsConfig(num_clips=6_000))
    damaged_share: float = 0.4
    """Drawn for each clip; the kinds of ``world.damage.DAMAGES`` are equally likely."""
    stages: tuple[str, ...] = ()
    """Names of the registry, in order."""
    rules: tuple[KeepRule, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.damaged_share < 1.0:
            raise ValueError(f"damaged_share={self.damaged_share}: use 0 or more and less than 1")


def make_sets(config: CurationSetConfig, folder: Path) -> None:
    """Write the files and ``raw.jsonl``, ``curated.jsonl`` and ``oracle.jsonl``, unless they are there.

    Raises:
        ValueError: A stage of no such name.
    """
    stages = named_stages(config.stages)
    done, made_of = folder / "made-of.json", json.loads(json.dumps(to_json_dict(config)))
    made_of["keys"] = [settings_key(stage) for stage in stages]
    if done.is_file() and json.loads(done.read_text(encoding="utf-8")) == made_of:
        return
    done.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    _log.info("writing %d clips into %s", config.clips.num_clips, folder)
    raw = raw_clips(config, folder)
    write_clips(folder / "raw.jsonl", raw)
    curated = curate(raw, folder, stages, config.rules)
    write_clips(folder / "curated.jsonl", curated)
    write_clips(
        folder / "oracle.jsonl",
        (clip if clip.tags[DAMAGE] == SOUND else clip.drop("oracle", clip.tags[DAMAGE]) for clip in raw),
    )
    write_text(done, json.dumps(made_of))


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


def named_stages(names: Sequence[str]) -> list[Stage | SetStage]:
    """Stages of the registry with their default settings.

    Raises:
        ValueError: No such stage.
    """
    for name in names:
        if name not in STAGES:
            raise ValueError(
                f"stage {name!r} is unknown: use {', '.join(STAGES) or 'none, as there are none'}"
            )
    return [STAGES[name]() for name in names]


def curate(
    clips: Sequence[Clip], root: Path, stages: Sequence[Stage | SetStage], rules: Sequence[KeepRule]
) -> list[Clip]:
    """The rows with all that stages found, those dropped that a rule refuses; in this process, one by one.

    The damage of a clip is hidden from the stages.
    """
    damage = {clip.place: clip.tags[DAMAGE] for clip in clips}
    rows = [replace(clip, tags={}) for clip in clips]
    waiting = list[Stage]()
    for stage in stages:
        if isinstance(stage, SetStage):
            rows, waiting = stage.process_all(_measured(rows, root, waiting)), []
        else:
            waiting.append(stage)
    found = list[Clip]()
    for clip in _measured(rows, root, waiting):
        reasons = [(rule.value, rule.refusal(clip)) for rule in rules]
        for name, reason in reasons:
            clip = clip if reason is None else clip.drop(name, reason)
        found.append(clip.with_tags(**{DAMAGE: damage[clip.place]}))
    return found


def _measured(clips: Sequence[Clip], root: Path, stages: Sequence[Stage]) -> list[Clip]:
    """Every clip through these stages, with one decode for all of them."""
    rows = list[Clip]()
    for clip in clips:
        media = ClipMedia(root / clip.source, start_s=clip.start_s, end_s=clip.end_s)
        here = [replace(clip, media=media)]
        for stage in stages:
            here = [after for each in here for after in _processed(stage, each)]
        media.release()
        rows += [replace(each, media=None) for each in here]
    return rows


def _processed(stage: Stage, clip: Clip) -> list[Clip]:
    if clip.dropped is not None:
        return [clip]
    try:
        return stage.process(clip)
    except (ValueError, OSError) as error:
        return [clip.with_error(stage.name, str(error))]


def curation_figures(rows: Sequence[Clip]) -> dict[str, dict[str, float | int]]:
    """Of each damage, and of sound clips, how many there were and the share that was dropped."""
    found: dict[str, dict[str, float | int]] = {}
    for kind in (*DAMAGES, SOUND):
        own = [clip.dropped is not None for clip in rows if clip.tags[DAMAGE] == kind]
        if own:
            found[kind] = {"clips": len(own), "dropped": round(float(np.mean(own)), 4)}
    return found
