"""How far a set of clips is from the world's own, by the features of its video-text model.

The Frechet distance is biased upwards for few clips, so the same number of real clips is taken, and the
distance between two sets of real clips of that size is told beside it: what cannot be gone below. Real clips
have the length and rate that most of the measured clips have.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rufous.core.console import logger
from rufous.evaluation.dimensions.world import EmbedFrames, WorldFeatures
from rufous.evaluation.feature_cache import FeatureCache
from rufous.evaluation.frechet import frechet_distance
from rufous.evaluation.measuring import MeasuredClip
from rufous.world.dataset import WorldClips

REFERENCE_SEED = 6_000_000
"""Of the real clips; no training uses it."""
_log = logger(__name__)


def world_distance(
    measured: Sequence[MeasuredClip],
    embed: EmbedFrames,
    *,
    cache_dir: Path | str | None = None,
    network: str = "",
) -> dict[str, Any] | None:
    """Distance to real clips, and that between real clips; None for fewer than two clips with features.

    Args:
        measured: Clips, with the row ``world_features``.
        embed: The network of that row.
        cache_dir: Where features of the real clips are kept; None keeps none.
        network: What ``embed`` is, for the cache.

    Returns:
        The figures, and a ``warning`` where clips are few.
    """
    rows = [each.scores["world_features"].details for each in measured if "world_features" in each.scores]
    if len(rows) < 2:
        return None
    made = torch.tensor([row["features"] for row in rows])
    count, width = made.shape
    lengths = Counter((int(row["num_frames"]), float(row["fps"])) for row in rows)
    [((num_frames, fps), num_alike)] = lengths.most_common(1)
    if num_alike < count:
        _log.warning(
            "%d of %d clips have another length or rate than %d frames at %g fps, which the real clips have",
            count - num_alike,
            count,
            num_frames,
            fps,
        )
    settings = {"features": "world-reference", "network": network, "num_frames": num_frames, "fps": fps}
    cache = FeatureCache(cache_dir, settings)
    real, other = (
        _real(embed, count, cache, num_frames=num_frames, fps=fps, seed=REFERENCE_SEED + i) for i in (0, 1)
    )
    cache.save()
    figures: dict[str, Any] = {
        "distance": round(frechet_distance(made, real), 6),
        "floor": round(frechet_distance(other, real), 6),
        "num_clips": count,
        "num_features": width,
        "num_frames": num_frames,
        "fps": fps,
        "num_otherwise": count - num_alike,
        "label": WorldFeatures.label,
    }
    if count <= width:
        figures["warning"] = (
            f"{count} clips are few for {width} features: the Frechet distance is biased upwards, compare it "
            "with its floor only"
        )
        _log.warning("%s", figures["warning"])
    return figures


@torch.no_grad()
def _real(
    embed: EmbedFrames, count: int, cache: FeatureCache, *, num_frames: int, fps: float, seed: int
) -> Float[Tensor, "n e"]:
    clips = WorldClips(seed=seed, split="any", num_frames=num_frames, fps=fps)
    rows: list[Tensor] = []
    for index in range(count):
        row = cache.get(f"{seed}@{index}")
        if row is None:
            row = embed(clips[index].frames)
            cache.put({f"{seed}@{index}": row})
        rows.append(row)
    return torch.stack(rows)
