"""Every row by its name, and how its networks are loaded from the files that a user has put in place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.video_text import WORLD_VIDEO_TEXT, load_video_text
from rufous.core.errors import CheckpointError
from rufous.evaluation.dimensions.clipsim import load_clipsim
from rufous.evaluation.dimensions.loaded_row import LoadedRow
from rufous.evaluation.dimensions.proxy_rows import proxy_rows
from rufous.evaluation.dimensions.published_rows import published_rows
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


def row_loaders() -> dict[str, Loader]:
    """How each row is loaded; networks are shared between rows of one call.

    A loader raises ``CheckpointError`` where a file is missing.
    """
    return {
        **published_rows(),
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


@dataclass(frozen=True)
class LoadedRows:
    """The rows that can be measured here, and why the others cannot."""

    rows: Mapping[str, LoadedRow]
    left_out: Mapping[str, str]


def load_rows(
    names: list[str], device: torch.device, others: Mapping[str, Loader] | None = None
) -> LoadedRows:
    """Load rows; those whose weights are missing are left out with the reason.

    Args:
        names: Which ones.
        device: Where networks go.
        others: Loaders that stand in for those of ``row_loaders``, or join them.

    Raises:
        ValueError: No such row; the message lists those there are.
    """
    loaders = {**row_loaders(), **(others or {})}
    if unknown := [name for name in names if name not in loaders]:
        raise ValueError(f"no row {', '.join(unknown)}: use {', '.join(loaders)}")
    rows: dict[str, LoadedRow] = {}
    left_out: dict[str, str] = {}
    for name in names:
        try:
            rows[name] = loaders[name](device)
        except CheckpointError as error:
            left_out[name] = str(error)
    return LoadedRows(rows, left_out)
