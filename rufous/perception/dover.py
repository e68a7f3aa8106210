"""DOVER: how good a video looks, as a technician and as a viewer see it, and both in one number.

The technical branch reads mosaics of raw crops, in which blur, noise and blocks survive; the aesthetic one
reads whole frames made small. Written from the paper and from the facts of the published code
(VQAssessment/DOVER f1ddc96); that code and its weights are under the S-Lab licence 1.0, which forbids
commercial use. Traps that are kept, because the published weights and constants belong to them: the grid of
crops is laid out in the size before small frames were enlarged; a clip of fewer than 32 frames shows the
aesthetic branch its first frame 32 times; frames are made small without antialiasing.

Source: Wu et al. 2023 (arXiv:2211.04894), DOVER; sampling and constants: dover.yml and evaluate_one_video.py.

Shapes: b batch, f frames, h w pixels, d features.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from rufous.perception.convnext3d import ConvNeXt3D, ConvNeXt3DConfig
from rufous.perception.gated_swin import GatedSwin, GatedSwinConfig
from rufous.perception.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from rufous.video.frames import resize

LICENCE = (
    "DOVER's weights: S-Lab licence 1.0, for non-commercial purposes only (github.com/VQAssessment/DOVER)"
)

GRID, CROP = 7, 32
"""Crops of a mosaic along one side, and the pixels of a crop's."""
SIZE = GRID * CROP
TECHNICAL_CLIPS, TECHNICAL_FRAMES, TECHNICAL_STRIDE = 3, 32, 2
AESTHETIC_FRAMES, AESTHETIC_STRIDE = 32, 2


@dataclass(frozen=True, kw_only=True)
class DOVERConfig:
    """Architecture of both branches; the defaults are the published ones."""

    technical: GatedSwinConfig = field(default_factory=GatedSwinConfig)
    aesthetic: ConvNeXt3DConfig = field(default_factory=ConvNeXt3DConfig)
    head_width: int = 64


class QualityHead(nn.Module):
    """A score for each place of a feature map."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc_hid = nn.Conv3d(width, hidden, 1)
        self.fc_last = nn.Conv3d(hidden, 1, 1)

    def forward(self, features: Float[Tensor, "b d f h w"]) -> Float[Tensor, "b 1 f h w"]:
        """The map of scores."""
        return self.fc_last(F.gelu(self.fc_hid(features)))


class DOVER(nn.Module):
    """Both branches under the published names."""

    def __init__(self, config: DOVERConfig) -> None:
        super().__init__()
        self.config = config
        self.technical_backbone = GatedSwin(config.technical)
        self.aesthetic_backbone = ConvNeXt3D(config.aesthetic)
        self.technical_head = QualityHead(config.technical.num_features, config.head_width)
        self.aesthetic_head = QualityHead(config.aesthetic.dims[-1], config.head_width)

    def technical(self, mosaics: Float[Tensor, "b 3 f h w"]) -> Float[Tensor, " b"]:
        """Raw technical score of each normalised clip of mosaics."""
        return self.technical_head(self.technical_backbone(mosaics)).mean(dim=(1, 2, 3, 4))

    def aesthetic(self, video: Float[Tensor, "b 3 f h w"]) -> Float[Tensor, " b"]:
        """Raw aesthetic score of each normalised clip of whole frames."""
        return self.aesthetic_head(self.aesthetic_backbone(video)).mean(dim=(1, 2, 3, 4))


class Quality(NamedTuple):
    """Scores in [0, 1]; higher is better."""

    overall: float
    technical: float
    aesthetic: float


def fused(*, technical: float, aesthetic: float) -> Quality:
    """Raw scores on a common scale, and their weighted mean there.

        t = (technical - 0.1107) / 0.07355      a = (aesthetic + 0.08285) / 0.03774
        overall = sigmoid(0.6104 t + 0.3896 a)

    Source:
        evaluate_one_video.py and evaluate_a_set_of_videos.py of the release; the latter prints them
        times 100. The constants belong to the weights called DOVER, not to DOVER-Mobile.
    """
    t = (technical - 0.1107) / 0.07355
    a = (aesthetic + 0.08285) / 0.03774
    overall, technical, aesthetic = torch.tensor([0.6104 * t + 0.3896 * a, t, a]).sigmoid().tolist()
    return Quality(overall=overall, technical=technical, aesthetic=aesthetic)


def technical_frames(num_frames: int, generator: torch.Generator) -> list[int]:
    """Numbers of the 96 frames of the technical branch: 3 clips of 32, every second frame.

    Each third of the video gives one clip, at a random start if the third is longer than a clip; numbers
    beyond the end begin again at 0.
    """
    starts = _starts(num_frames, TECHNICAL_CLIPS, TECHNICAL_FRAMES * TECHNICAL_STRIDE, generator)
    return [
        (start + step * TECHNICAL_STRIDE) % num_frames for start in starts for step in range(TECHNICAL_FRAMES)
    ]


def aesthetic_frames(num_frames: int, generator: torch.Generator) -> list[int]:
    """Numbers of the 32 frames of the aesthetic branch, one of each 32nd of the video."""
    return [
        start % num_frames for start in _starts(num_frames, AESTHETIC_FRAMES, AESTHETIC_STRIDE, generator)
    ]


def _starts(num_frames: int, parts: int, span: int, generator: torch.Generator) -> list[int]:
    if num_frames < 1:
        raise ValueError(f"num_frames={num_frames}: a video has at least one frame")
    length = num_frames // parts
    late = torch.zeros(parts, dtype=torch.int64)
    if length > span:
        late = torch.randint(length - span, (parts,), generator=generator)
    return [length * part + int(late[part]) for part in range(parts)]


def crop_corners(
    height: int, width: int, num_clips: int, generator: torch.Generator
) -> Int[Tensor, "clips 7 7 2"]:
    """Top and left of every crop of the mosaics; each clip has its own, which its frames share.

    Args:
        height: Pixels of the frames, before small ones are enlarged.
        width: As ``height``.
        num_clips: How many clips of mosaics.
        generator: Chooses the place of a crop within its cell.
    """
    tops = _places(height, num_clips, generator, pattern="i -> i 1 1")
    lefts = _places(width, num_clips, generator, pattern="j -> 1 j 1")
    return rearrange([tops, lefts], "side i j clips -> clips i j side")


def _places(side: int, num_clips: int, generator: torch.Generator, *, pattern: str) -> Int[Tensor, "7 7 _"]:
    """Where crops begin along one axis; ``pattern`` puts the cells along it."""
    cell = side // GRID
    first = torch.tensor([max(0, min(cell * i, side - CROP)) for i in range(GRID)])
    late = torch.zeros(GRID, GRID, num_clips, dtype=torch.int64)
    if cell > CROP:
        late = torch.randint(cell - CROP, late.shape, generator=generator)
    return rearrange(first, pattern) + late


def enlarged(frame: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "3 h2 w2"]:
    """The frame, bilinearly enlarged until the grid of crops fits into it; larger ones stay."""
    ratio = min(frame.shape[1] / SIZE, frame.shape[2] / SIZE)
    if ratio >= 1:
        return frame
    grown = F.interpolate(frame[None] / 255.0, scale_factor=1 / ratio, mode="bilinear")[0]
    return (grown * 255.0).to(torch.uint8)


def mosaic(frame: UInt8[Tensor, "3 h w"], corners: Int[Tensor, "7 7 2"]) -> UInt8[Tensor, "3 size size"]:
    """The crops of one frame, side by side, 224 x 224."""
    frame = enlarged(frame)
    rows = [
        torch.cat([frame[:, top : top + CROP, left : left + CROP] for top, left in row.tolist()], dim=2)
        for row in corners
    ]
    return torch.cat(rows, dim=1)


def whole_frame(frame: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "3 size size"]:
    """The frame at 224 x 224; its aspect ratio is not kept."""
    return resize(frame, height=SIZE, width=SIZE, mode="bilinear", antialias=False)


def normalised(frames: UInt8[Tensor, "f 3 h w"] | np.ndarray) -> Float[Tensor, "3 f h w"]:
    """Pixels as both branches read them."""
    pixels = rearrange(torch.as_tensor(frames).float(), "f c h w -> c f h w")
    mean, std = (255.0 * torch.tensor(each).reshape(3, 1, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    return (pixels - mean) / std
