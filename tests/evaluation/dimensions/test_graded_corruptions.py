"""Rows order ten graded corruptions of clips of the world by their strength: rank correlation of 0.9 or more.

Where a row needs a network there is a stand-in, so that this proves the row's own arithmetic, and nothing of
the published networks.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rufous.evaluation.dimensions.aesthetic_quality import AestheticQuality
from rufous.evaluation.dimensions.background_consistency import BackgroundConsistency
from rufous.evaluation.dimensions.clipsim import Clipsim
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import Dimension
from rufous.evaluation.dimensions.dynamic_degree import DynamicDegree
from rufous.evaluation.dimensions.imaging_quality import ImagingQuality
from rufous.evaluation.dimensions.motion_smoothness import MotionSmoothness
from rufous.evaluation.dimensions.overall_consistency import OverallConsistency
from rufous.evaluation.dimensions.resizing import clip_picture_pixels, clip_pixels
from rufous.evaluation.dimensions.subject_consistency import SubjectConsistency
from rufous.evaluation.dimensions.temporal_flickering import TemporalFlickering
from rufous.evaluation.dimensions.world import WorldMotion, WorldSmoothness, WorldTruth
from rufous.world import WorldClips

STRENGTHS = range(1, 11)
CLIPS = [WorldClips(seed=21, complete_captions=True)[index] for index in range(4)]


def flicker(frames: Tensor, strength: int) -> Tensor:
    """Every second frame brighter, by up to 60 grey levels."""
    brighter = frames.float()
    brighter[1::2] += 6 * strength
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


def slower(frames: Tensor, strength: int) -> Tensor:
    """Only the first part of the motion, spread over the clip."""
    return frames[(torch.arange(len(frames)) * (1 - strength / 11)).round().long()]


def standing(frames: Tensor, strength: int) -> Tensor:
    """Every frame blended with the first one, at last that one alone."""
    return (frames[:1] + (1 - strength / 10) * (frames.float() - frames[:1])).to(torch.uint8)


def pale(frames: Tensor, strength: float) -> Tensor:
    """Blended with grey."""
    return (128 + (1 - strength / 11) * (frames.float() - 128)).to(torch.uint8)


def paler(frames: Tensor, strength: int) -> Tensor:
    """Half as far: beyond that no colour is the named one."""
    return pale(frames, strength / 2)


def blur(frames: Tensor, strength: int) -> Tensor:
    size = 2 * strength + 1
    return F.avg_pool2d(frames.float(), size, 1, strength, count_include_pad=False).to(torch.uint8)


def halfway(first: Tensor, second: Tensor) -> Tensor:
    return (first + second) / 2


def change(first: Tensor, second: Tensor) -> Tensor:
    """A flow that takes every 8 levels by which a pixel changes for a pixel of motion."""
    across = (first - second).abs().mean(dim=1, keepdim=True) / 8
    return torch.cat([across, torch.zeros_like(across)], dim=1)


def sharpness(frame: Tensor) -> Tensor:
    return 100 * frame.diff(dim=-1).abs().mean().reshape(1)


def contrast(pixels: Tensor) -> Tensor:
    """How much pixels differ, beside a one, so that unit vectors keep it."""
    spread = pixels.std(dim=(-2, -1)).mean(dim=-1)
    return torch.stack([spread, torch.ones_like(spread)], dim=-1)


def pooled(pixels: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(pixels, 8).flatten(1)


def pooled_video(pixels: Tensor) -> Tensor:
    return pooled(pixels[0].transpose(0, 1)).mean(dim=0, keepdim=True)


def fitting(prepare: Callable[[Tensor], Tensor]) -> Callable[[Sequence[str]], Tensor]:
    """A text network that knows what the clip of each caption looks like."""
    known = {clip.caption: pooled(prepare(clip.frames)).mean(dim=0) for clip in CLIPS}
    return lambda captions: F.normalize(torch.stack([known[caption] for caption in captions]), dim=-1)


def unit_pooled(pixels: Tensor) -> Tensor:
    return F.normalize(pooled(pixels), dim=-1)


CASES: list[tuple[Dimension, Callable[[Tensor, int], Tensor]]] = [
    (TemporalFlickering(), flicker),
    (TemporalFlickering(), noise),
    (MotionSmoothness(interpolator=halfway), flicker),
    (MotionSmoothness(interpolator=halfway), noise),
    (SubjectConsistency(embed=pooled), drift),
    (BackgroundConsistency(embed=pooled), drift),
    (DynamicDegree(flow=change), standing),
    (AestheticQuality(embed=contrast, head=lambda units: 10 * units[:, 0]), pale),
    (ImagingQuality(scorer=sharpness), blur),
    (OverallConsistency(embed_video=pooled_video, embed_text=fitting(clip_pixels)), drift),
    (Clipsim(embed=unit_pooled, embed_text=fitting(clip_picture_pixels)), drift),
    (WorldSmoothness(), flicker),
    (WorldSmoothness(), jitter),
    (WorldMotion(), slower),
]


def scores_of(row: Dimension, spoil: Callable[[Tensor, int], Tensor], clips: Sequence) -> list[float]:
    """The mean over clips at each strength."""
    return [
        np.mean(
            [
                row.measure(DecodedClip(frames=spoil(c.frames, strength), fps=8.0, prompt=c.caption)).value
                for c in clips
            ]
        )
        for strength in STRENGTHS
    ]


def rank_correlation(scores: Sequence[float]) -> float:
    """Spearman's, with the strengths; equal scores share their mean rank."""
    values = np.array(scores)
    ranks = (values[:, None] > values).sum(axis=1) + 0.5 * (values[:, None] == values).sum(axis=1)
    return float(np.corrcoef(ranks, STRENGTHS)[0, 1])


def test_a_rank_correlation_knows_ties():
    assert rank_correlation(list(range(10))) == pytest.approx(1.0)
    assert rank_correlation([1, 1, 1, 1, 1, 0, 0, 0, 0, 0]) == pytest.approx(-0.870, abs=1e-3)


@pytest.mark.parametrize(
    ("row", "spoil"), CASES, ids=lambda value: getattr(value, "name", None) or value.__name__
)
def test_a_row_orders_corruptions_by_their_strength(row, spoil):
    scores = scores_of(row, spoil, CLIPS)
    assert rank_correlation(scores) <= -0.9, scores


def test_fewer_clips_are_true_the_paler_they_are():
    """Each clip is true or is not, so that it takes more of them."""
    clips = [WorldClips(seed=21, complete_captions=True)[index] for index in range(6)]
    scores = scores_of(WorldTruth(), paler, clips)
    assert rank_correlation(scores) <= -0.9, scores
