"""How alike frames are to the first one and to the one before, by the features of any image network.

Shapes: f frames, d features.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from rufous.evaluation.dimensions.dimension import ClipScore

Embed: TypeAlias = Callable[[Tensor], Tensor]
"""From preprocessed frames [n 3 h w] to features [n d]."""
EmbedText: TypeAlias = Callable[[Sequence[str]], Tensor]
"""From texts to unit embeddings [n e], on the CPU."""
SLICE_FRAMES = 16


def consistency(features: Float[Tensor, "f d"]) -> ClipScore:
    """Mean over later frames of (max(0, cos to the one before) + max(0, cos to the first)) / 2.

    A clip weighs as much as it has later frames: the published single-process score is a mean over frames.
    """
    units = F.normalize(features.float(), dim=-1)
    to_previous = F.cosine_similarity(units[:-1], units[1:]).clamp(min=0.0)
    to_first = F.cosine_similarity(units[:1], units[1:]).clamp(min=0.0)
    value = float(((to_previous + to_first) / 2).double().mean())
    return ClipScore(value=value, weight=len(features) - 1)


@torch.no_grad()
def embedded(
    embed: Embed, frames: UInt8[Tensor, "f 3 h w"], prepare: Callable[[Tensor], Tensor]
) -> Float[Tensor, "f d"]:
    """Features of all frames, prepared and embedded a few at a time, on the CPU.

    Args:
        embed: The network.
        frames: RGB in [0, 255].
        prepare: From frames to what the network reads.

    Raises:
        FloatingPointError: A feature is NaN or infinite.
    """
    parts = frames.split(SLICE_FRAMES)
    features = torch.cat([embed(prepare(part)).float().cpu() for part in parts])
    if not bool(features.isfinite().all()):
        raise FloatingPointError("a feature is NaN or infinite: the weights or the clip are damaged")
    return features
