"""A comparison without a network: one model shows the world's own clips, the other one an empty picture."""

import pytest
import torch

from rufous.evaluation import ComparedModel, Comparison, GeneratedClip, SeededPrompt, compare_models
from rufous.world import WorldClips

WORLD = WorldClips(seed=3, level="core", complete_captions=True)
STRANGE = SeededPrompt(prompt='a panda <b> & "friends"', seed=9)


def true_clip(row: SeededPrompt) -> GeneratedClip:
    """The clip of the world whose index is the seed."""
    clip = WORLD[row.seed]
    return GeneratedClip(frames=clip.frames, fps=clip.fps, denoise_s=2.0 + row.seed)


def empty_clip(row: SeededPrompt) -> GeneratedClip:
    return GeneratedClip(frames=torch.full((4, 3, 32, 32), 255, dtype=torch.uint8), fps=8.0, denoise_s=12.5)


TRUE = ComparedModel(label="the <world>", subtitle="50 steps", details={"size": 64}, load=lambda: true_clip)
EMPTY = ComparedModel(label="empty", details={"seen": "never"}, load=lambda: empty_clip)


@pytest.fixture(scope="session")
def rows() -> list[SeededPrompt]:
    return [*(SeededPrompt(prompt=WORLD[index].caption, seed=index) for index in range(2)), STRANGE]


@pytest.fixture(scope="session")
def comparison(rows: list[SeededPrompt]) -> Comparison:
    return compare_models([TRUE, EMPTY], rows)
