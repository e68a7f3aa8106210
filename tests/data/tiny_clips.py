"""Clips whose frames are in memory, so that no file is decoded."""

from pathlib import Path

import numpy as np

from rufous.data.clip import Clip
from rufous.data.media import ClipMedia, Decoded


def clip_of(frames: np.ndarray, *, num_full: int = 8, fps: float = 8.0, **known) -> Clip:
    """A clip with these frames (RGB, uint8, ``f h w 3``); full-size ones lie as ``ClipMedia`` puts them."""
    media = ClipMedia(Path("clip.mp4"))
    count = min(num_full, len(frames))
    chosen = [int((i + 0.5) * len(frames) / count) for i in range(count)]
    times = np.arange(len(frames)) / fps
    media.__dict__["decoded"] = Decoded(
        small=frames, small_times_s=times, full=frames[chosen], full_times_s=times[chosen], stride=1
    )
    return Clip(source="clip.mp4", content_id="abc", media=media, **known)


def numbered(count: int = 41, height: int = 20, width: int = 28) -> np.ndarray:
    """Frames of one grey level each: their number."""
    return np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None], (count, height, width, 3)
    ).copy()


def noise(count: int = 9, height: int = 40, width: int = 48, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
