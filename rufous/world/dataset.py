"""Captioned clips of the world by index: endless, deterministic in a seed, nothing stored."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from rufous.world.captions import caption_of
from rufous.world.render import render
from rufous.world.scene import Level, Scene, Split, sample_scene


@dataclass(frozen=True)
class WorldClip:
    """One clip with its caption and the scene it was drawn from."""

    frames: UInt8[Tensor, "f 3 h w"]
    caption: str
    scene: Scene
    fps: float


@dataclass(frozen=True, kw_only=True)
class WorldClips:
    """Clip ``i`` of the world for a seed; equal settings give equal bytes on every machine."""

    seed: int
    level: Level = "core"
    split: Split = "train"
    complete_captions: bool = False
    """Whether every caption mentions every attribute, as evaluation prompts do."""
    num_frames: int = 16
    height: int = 64
    width: int = 64
    fps: float = 8.0

    def scene(self, index: int) -> tuple[Scene, str]:
        """The scene and the caption at ``index``, without drawing it."""
        rng = np.random.default_rng([self.seed, index])
        duration_s = (self.num_frames - 1) / self.fps
        scene = sample_scene(rng, level=self.level, split=self.split, duration_s=duration_s)
        return scene, caption_of(scene, rng, complete=self.complete_captions)

    def __getitem__(self, index: int) -> WorldClip:
        """The clip at ``index``, which may be any non-negative number."""
        scene, caption = self.scene(index)
        frames = render(scene, num_frames=self.num_frames, height=self.height, width=self.width, fps=self.fps)
        return WorldClip(frames, caption, scene, self.fps)
