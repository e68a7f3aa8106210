"""How far the fastest pixels move between two frames, by a flow network that the caller gives.

Shapes: b pairs, h w pixels.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

Flow: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From frames [b 3 h w] in [0, 255] to frames of the same shape: displacements [b 2 h w] in pixels, x first.
Sides are multiples of 8."""


def pad_to_multiple(frames: Float[Tensor, "b c h w"], multiple: int) -> Float[Tensor, "b c h2 w2"]:
    """Frames whose sides are multiples: edges are repeated on all sides, more at the bottom and right."""
    height, width = frames.shape[-2:]
    extra_height, extra_width = -height % multiple, -width % multiple
    top, left = extra_height // 2, extra_width // 2
    return F.pad(frames, (left, extra_width - left, top, extra_height - top), mode="replicate")


@torch.no_grad()
def fastest_pixels(
    flow: Flow, first: Shaped[Tensor, "b 3 h w"], second: Shaped[Tensor, "b 3 h w"], *, share: float
) -> list[float]:
    """Mean displacement in pixels of the fastest ``share`` of pixels of each pair, padding counted.

    Frames are in [0, 255], bytes or floats.
    """
    means: list[float] = []
    for pair in range(len(first)):  # one at a time: correlation volumes are large
        moved = flow(*(pad_to_multiple(frames[pair : pair + 1].float(), 8) for frames in (first, second)))
        lengths = moved.float().square().sum(dim=1).sqrt().flatten()
        means.append(float(lengths.topk(int(share * len(lengths))).values.double().mean()))
    return means
