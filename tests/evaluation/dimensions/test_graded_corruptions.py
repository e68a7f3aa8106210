"""Rows order ten graded corruptions of clips of the world by their strength: rank correlation of 0.9 or more.

The networks are stand-ins, so this proves the rows' own arithmetic, and nothing of the published networks.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rufous.evaluation.dimensions.background_consistency import BackgroundConsistency
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import Dimension
from rufous.evaluation.dimensions.motion_smoothness import MotionSmoothness
from rufous.evaluation.dimensions.subject_consistency import SubjectConsistency
from rufous.evaluation.dimensions.temporal_flickering import TemporalFlickering
from rufous.evaluation.dimensions.world import WorldSmoothness
from rufous.world import WorldClips

STRENGTHS = range(1, 11)
CLIPS = [WorldClips(seed=21)[index].frames for index in range(3)]


def flicker(frames: Tensor, strength: int) -> Tensor:
    """Every second frame brighter."""
    brighter = frames.float()
    brighter[1::2] += 6 * strength
    return brighter.clamp(0, 255).to(torch.uint8)


def faint_flicker(frames: Tensor, strength: int) -> Tensor:
    """Up to 30 grey levels: beyond that the yardstick of the world loses sight of the thing."""
    brighter = frames.float()
    brighter[1::2] += 3 * strength
    return brighter.clamp(0, 255).to(torch.uint8)


def noise(frames: Tensor, strength: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    noisy = frames + 4.0 * strength * torch.randn(frames.shape, generator=generator)
    return noisy.clamp(0, 255).to(torch.uint8)


def jitter(frames: Tensor, strength: int) -> Tensor:
    """Every second frame moved to the side."""
    moved = frames.clone()
    moved[1::2] = moved[1::2].roll(strength, dims=-1)
    return moved


def drift(frames: Tensor, strength: int) -> Tensor:
    """The picture turns into its negative as the clip goes on."""
    share = torch.linspace(0, strength / 10, len(frames))[:, None, None, None]
    return ((1 - share) * frames + share * (255 - frames.float())).to(torch.uint8)


def halfway(first: Tensor, second: Tensor) -> Tensor:
    return (first + second) / 2


def pooled(pixels: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(pixels, 8).flatten(1)


CASES: list[tuple[Dimension, Callable[[Tensor, int], Tensor]]] = [
    (TemporalFlickering(), flicker),
    (TemporalFlickering(), noise),
    (MotionSmoothness(interpolator=halfway), flicker),
    (MotionSmoothness(interpolator=halfway), noise),
    (SubjectConsistency(embed=pooled), drift),
    (BackgroundConsistency(embed=pooled), drift),
    (WorldSmoothness(), faint_flicker),
    (WorldSmoothness(), jitter),
]


@pytest.mark.parametrize(
    ("row", "spoil"), CASES, ids=lambda value: getattr(value, "name", None) or value.__name__
)
def test_a_row_orders_corruptions_by_their_strength(row, spoil):
    scores = [
        np.mean([row.measure(DecodedClip(frames=spoil(clip, strength), fps=8.0)).value for clip in CLIPS])
        for strength in STRENGTHS
    ]
    ranks = np.argsort(np.argsort(scores))
    assert np.corrcoef(ranks, STRENGTHS)[0, 1] <= -0.9
