"""Every row by its name, and how its networks are loaded from the files that a user has put in place."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.video_text import WORLD_VIDEO_TEXT, load_video_text
from rufous.core.errors import CheckpointError, MissingWeightsError
from rufous.evaluation.dimensions.appearance_style import AppearanceStyle
from rufous.evaluation.dimensions.clipsim import load_clipsim
from rufous.evaluation.dimensions.color import Color
from rufous.evaluation.dimensions.loaded_row import LoadedRow
from rufous.evaluation.dimensions.multiple_objects import MultipleObjects
from rufous.evaluation.dimensions.object_class import ObjectClass
from rufous.evaluation.dimensions.proxy_rows import proxy_rows
from rufous.evaluation.dimensions.published_rows import published_rows
from rufous.evaluation.dimensions.scene import Scene
from rufous.evaluation.dimensions.spatial_relationship import SpatialRelationship
from rufous.evaluation.dimensions.temporal_flickering import TemporalFlickering
from rufous.evaluation.dimensions.world import WorldFeatures, WorldMotion, WorldSmoothness, WorldTruth
from rufous.evaluation.vbench.suite import FLICKERING, UNFILTERED
from rufous.networks.video_text import VideoTextModel
from rufous.video.frames import from_uint8


@dataclass(frozen=True, eq=False)
class EmbedWorld:
    """Frames of a clip to features of the world's video-text model; can be sent to other processes."""

    network: VideoTextModel
    frame_stride: int
    """Every so-manieth frame is read, as in the network's training."""

    def __call__(self, frames: Tensor) -> Tensor:
        """Features [e] of uint8 frames [f 3 h w], on the CPU."""
        device = self.network.frame_position.device
        video = from_uint8(frames[:: self.frame_stride].to(device)).transpose(0, 1)[None]
        return self.network.encode_video(video)[0].cpu()


Loader = Callable[[torch.device], LoadedRow]


def world_features(device: torch.device, release: str | Path = WORLD_VIDEO_TEXT) -> LoadedRow:
    """The row of features of the world's video-text model.

    Raises:
        CheckpointError: The model is not there.
    """
    network, frame_stride = load_video_text(release, device=device)
    embed = EmbedWorld(network, frame_stride=frame_stride)
    return LoadedRow(WorldFeatures(embed=embed), identity=Manifest.load(find_release(release)).id)


def row_loaders(names: Collection[str] | None = None) -> dict[str, Loader]:
    """How each row is loaded; networks are shared between rows of one call.

    A loader raises ``MissingWeightsError`` where a file is missing, and another ``CheckpointError`` where one
    is there and is damaged or another file.

    Args:
        names: Which of them will be called, so that nothing is loaded for others; None for any.
    """
    return {
        **published_rows(names),
        **proxy_rows(),
        "clipsim": load_clipsim,
        FLICKERING: lambda device: LoadedRow(TemporalFlickering()),
        UNFILTERED: lambda device: LoadedRow(TemporalFlickering(name=UNFILTERED)),
        "world_truth": lambda device: LoadedRow(WorldTruth()),
        "world_motion": lambda device: LoadedRow(WorldMotion()),
        "world_smoothness": lambda device: LoadedRow(WorldSmoothness()),
        "world_features": world_features,
    }


ROW_NAMES = tuple(row_loaders())
ROW_NEEDS: Mapping[str, str] = {
    kind.name: str(kind.needs)
    for kind in (AppearanceStyle, ObjectClass, MultipleObjects, SpatialRelationship, Color, Scene)
}
"""Rows that look for something that a suite tells, and under which name; known before they are loaded."""


@dataclass(frozen=True)
class LoadedRows:
    """The rows that can be measured here, and why the others cannot."""

    rows: Mapping[str, LoadedRow]
    left_out: Mapping[str, str]
    damaged: frozenset[str] = frozenset()
    """Those left out because a file is there and is damaged or another one."""


def load_rows(
    names: list[str], device: torch.device, others: Mapping[str, Loader] | None = None
) -> LoadedRows:
    """Load rows; those whose weights are missing or wrong are left out with the reason.

    Args:
        names: Which ones.
        device: Where networks go.
        others: Loaders that stand in for those of ``row_loaders``, or join them.

    Raises:
        ValueError: No such row; the message lists those there are.
    """
    loaders = {**row_loaders(names), **(others or {})}
    if unknown := [name for name in names if name not in loaders]:
        raise ValueError(f"no row {', '.join(unknown)}: use {', '.join(loaders)}")
    rows: dict[str, LoadedRow] = {}
    left_out: dict[str, str] = {}
    damaged: set[str] = set()
    for name in names:
        try:
            rows[name] = loaders[name](device)
        except CheckpointError as error:
            left_out[name] = str(error)
            damaged |= set() if isinstance(error, MissingWeightsError) else {name}
    return LoadedRows(rows, left_out, frozenset(damaged))
