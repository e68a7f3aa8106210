"""Clips of the world, rendered once and kept on disk, with several phrasings of each caption.

    rufous train world_clips

Rendering 12,000 clips of 16 frames takes about a minute and 2.4 GB; the file is read by memory mapping.
"""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap

from rufous.core.config import to_json_dict
from rufous.core.console import logger
from rufous.core.files import write_text
from rufous.recipes.recipe import Recipe
from rufous.world.captions import caption_of
from rufous.world.dataset import WorldClips
from rufous.world.scene import Level, Split

_log = logger(__name__)
CHUNK = 64


@dataclass(frozen=True, kw_only=True)
class WorldClipsConfig:
    """Which clips are rendered."""

    level: Level = "core"
    split: Split = "train"
    seed: int = 1
    num_clips: int = 12_000
    captions_per_clip: int = 4
    num_frames: int = 16
    size: int = 64
    fps: float = 8.0

    @property
    def clips(self) -> WorldClips:
        """The same clips, drawn when asked for."""
        return WorldClips(
            seed=self.seed,
            level=self.level,
            split=self.split,
            num_frames=self.num_frames,
            height=self.size,
            width=self.size,
            fps=self.fps,
        )


@dataclass(frozen=True)
class RenderedClips:
    """Frames ``uint8 [n f 3 h w]`` by memory mapping, and for each clip its captions."""

    config: WorldClipsConfig
    frames: np.ndarray
    captions: list[list[str]]

    def __len__(self) -> int:
        return len(self.captions)


def render_clips(config: WorldClipsConfig, folder: Path) -> RenderedClips:
    """The clips of a config, rendered into ``folder`` unless they are there already."""
    done = folder / "captions.json"
    if not done.is_file() or json.loads(done.read_text())["config"] != to_json_dict(config):
        folder.mkdir(parents=True, exist_ok=True)
        done.unlink(missing_ok=True)
        _log.info("rendering %d clips into %s", config.num_clips, folder)
        shape = (config.num_clips, config.num_frames, 3, config.size, config.size)
        open_memmap(folder / "frames.npy", mode="w+", dtype=np.uint8, shape=shape)
        starts = range(0, config.num_clips, CHUNK)
        with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
            jobs = [pool.submit(_render_chunk, config, folder / "frames.npy", start) for start in starts]
            captions = [caption for job in jobs for caption in job.result()]
        write_text(done, json.dumps({"config": to_json_dict(config), "captions": captions}))
    captions = json.loads(done.read_text())["captions"]
    return RenderedClips(config, np.load(folder / "frames.npy", mmap_mode="r"), captions)


def _render_chunk(config: WorldClipsConfig, path: Path, start: int) -> list[list[str]]:
    frames = np.load(path, mmap_mode="r+")
    clips = config.clips
    captions: list[list[str]] = []
    for index in range(start, min(start + CHUNK, config.num_clips)):
        clip = clips[index]
        frames[index] = clip.frames.numpy()
        rng = np.random.default_rng([config.seed, index, 1])
        others = [caption_of(clip.scene, rng) for _ in range(config.captions_per_clip - 1)]
        captions.append([clip.caption, *others])
    frames.flush()
    return captions


def run(config: WorldClipsConfig, run_dir: Path, device: torch.device) -> Path:
    """Render into ``run_dir``; ``device`` is not used."""
    render_clips(config, run_dir)
    return run_dir


RECIPE = Recipe(
    name="world_clips", summary="Captioned clips of the world on disk.", config=WorldClipsConfig(), run=run
)
