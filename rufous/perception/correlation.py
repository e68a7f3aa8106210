"""What optical-flow networks share: all-pairs correlation read around moving points, and centred padding.

Source: Teed and Deng 2020 (arXiv:2003.12039), RAFT, section 3.2; AMT (arXiv:2304.09790) reads it both ways.

Shapes: b batch, c features, h w cells of a feature map, u v the same of the other map, r radius, x pixels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

MIN_CELLS = 2  # of the coarsest level: points are scaled by its cells minus one


class CorrelationPyramid:
    """Products of every cell of one map with every cell of another, the other at falling resolutions."""

    def __init__(self, products: Float[Tensor, "b h w u v"], *, levels: int, radius: int) -> None:
        """Pool ``products`` over ``u v``.

        Args:
            products: As ``all_products`` gives them, or with the maps' roles exchanged.
            levels: Resolutions; each is half the one before.
            radius: Cells that ``around`` reads to each side of a point, at each level.

        Raises:
            ValueError: The coarsest level would have fewer than 2 cells a side.
        """
        height, width = products.shape[-2:]
        if min(height, width) >> (levels - 1) < MIN_CELLS:
            needed = MIN_CELLS << (levels - 1)
            raise ValueError(
                f"feature maps of {height} x {width} cells are too small for {levels} levels of correlation: "
                f"use frames of at least {8 * needed} pixels a side, padding included"
            )
        level = rearrange(products, "b h w u v -> (b h w) 1 u v")
        self._levels = [level]
        for _ in range(levels - 1):
            level = F.avg_pool2d(level, 2, stride=2)
            self._levels.append(level)
        steps = torch.arange(-radius, radius + 1, dtype=products.dtype, device=products.device)
        # the slow axis of the window runs along x: the published convolutions expect this order
        self._window = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)

    def around(self, points: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b n h w"]:
        """Correlation of each cell with the window around its point (x, y), bilinear, zero outside.

        ``n`` is levels * (2 * radius + 1)^2, level by level.
        """
        height, width = points.shape[-2:]
        centres = rearrange(points, "b two h w -> (b h w) 1 1 two")
        read = [
            _read_at(level, centres / 2**i + self._window) for i, level in enumerate(self._levels)
        ]  # (b h w) 1 side side
        joined = torch.cat([part.flatten(1) for part in read], dim=1)
        return rearrange(joined, "(b h w) n -> b n h w", h=height, w=width)


def all_products(
    first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c u v"]
) -> Float[Tensor, "b h w u v"]:
    """Inner product of every pair of cells, over the square root of the number of features."""
    scale = first.shape[1] ** 0.5
    return torch.einsum("bchw,bcuv->bhwuv", first, second).div_(scale)  # in place: it is large


def pyramid_bytes(height: int, width: int, *, levels: int) -> int:
    """Memory of a ``CorrelationPyramid`` of one pair of maps, in float32: it rises with the square of cells.

    Args:
        height: Cells of each map.
        width: The same.
        levels: As the pyramid's.
    """
    return 4 * height * width * sum((height >> i) * (width >> i) for i in range(levels))


def cell_positions(like: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 2 h w"]:
    """Each cell's own (x, y), counted from 0."""
    batch, _, height, width = like.shape
    y, x = torch.meshgrid(
        torch.arange(height, dtype=like.dtype, device=like.device),
        torch.arange(width, dtype=like.dtype, device=like.device),
        indexing="ij",
    )
    return torch.stack([x, y]).expand(batch, -1, -1, -1)


def _read_at(
    maps: Float[Tensor, "n 1 u v"], points: Float[Tensor, "n side side 2"]
) -> Float[Tensor, "n 1 side side"]:
    height, width = maps.shape[-2:]
    scale = torch.tensor([width - 1, height - 1], dtype=points.dtype, device=points.device)
    return F.grid_sample(maps, 2 * points / scale - 1, align_corners=True)


@dataclass(frozen=True)
class Padding:
    """Pixels added around frames so that a network's strides divide them; the odd one right and below."""

    left: int
    right: int
    top: int
    bottom: int

    @classmethod
    def to_multiple(cls, frames: Float[Tensor, "b c h w"], multiple: int) -> "Padding":
        """The least padding of frames of this size, centred."""
        rows, columns = (-side % multiple for side in frames.shape[-2:])
        return cls(columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)

    def add(self, frames: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c x y"]:
        """Frames with their border repeated outwards."""
        return F.pad(frames, (self.left, self.right, self.top, self.bottom), mode="replicate")

    def remove(self, frames: Float[Tensor, "b c x y"]) -> Float[Tensor, "b c h w"]:
        """The middle that ``add`` had been given."""
        height, width = frames.shape[-2:]
        return frames[..., self.top : height - self.bottom, self.left : width - self.right]
