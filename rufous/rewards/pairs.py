"""Networks of two towers, from published files."""

from pathlib import Path

import torch

from rufous.checkpoints.published import PublishedFile
from rufous.checkpoints.weights import find_weights, load_published
from rufous.perception import viclip
from rufous.perception.clip import CLIP, CLIPConfig, from_published_names


def load_clip(
    config: CLIPConfig,
    file: PublishedFile,
    path: Path | str | None = None,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> CLIP:
    """A CLIP with published weights, under transformers' names or under open_clip's.

    Args:
        config: Architecture of the file's network.
        file: Which file.
        path: Where it lies; None to look where weights are kept.
        device: Where the weights go.
        dtype: Of the weights.

    Raises:
        CheckpointError: The file is missing, or names or shapes differ from the config's.
    """
    return load_published(
        lambda tensors: (CLIP(config), from_published_names(tensors)),
        find_weights(file, path),
        device=device,
        dtype=dtype,
    )


def load_viclip(
    config: viclip.ViCLIPConfig,
    file: PublishedFile,
    path: Path | str | None = None,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> viclip.ViCLIP:
    """A ViCLIP with published weights; arguments and errors as ``load_clip``."""
    return load_published(
        lambda tensors: (viclip.ViCLIP(config), viclip.from_published_names(tensors)),
        find_weights(file, path),
        key="model",
        device=device,
        dtype=dtype,
    )
