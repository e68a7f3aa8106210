"""A pipeline from the name of an embedded model, a release folder, a published name or a hub id."""

from pathlib import Path
from typing import Any

import torch

from rufous.checkpoints.lookup import find_release
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import WEIGHTS_NAME, component_kinds, load_component
from rufous.checkpoints.tensor_files import read_header
from rufous.core.devices import free_memory_bytes, pick_device, pick_dtype
from rufous.core.errors import CheckpointError
from rufous.networks.layers import store_channels_last
from rufous.pipelines.estimate import memory_text
from rufous.pipelines.text_to_video import TextToVideoPipeline

DEFAULT_MODEL = "world-student"

# field of the pipeline: kinds of component that can fill it, whatever the folder calls them
_PARTS: dict[str, tuple[str, ...]] = {
    "unet": ("unet3d",),
    "autoencoder": ("autoencoder_kl",),
    "text_encoder": ("text_encoder",),
    "tokenizer": ("word_tokenizer", "clip_tokenizer"),
    "diffusion": ("diffusion",),
}


def load(
    model: str | Path = DEFAULT_MODEL, *, device: str = "auto", dtype: str = "auto"
) -> TextToVideoPipeline:
    """The pipeline of an embedded model, a release folder, a published release or a hub id.

    A published release is downloaded and converted once, then kept in the user's cache.

    Args:
        model: For example ``"world-student"``, ``"runs/mine/release"`` or ``"owner/name"``.
        device: ``"auto"`` (the best there is), ``"cpu"``, ``"cuda:0"``, ``"mps"``.
        dtype: ``"auto"`` (bf16 where the device computes it natively, else fp32), ``"bf16"``, ``"fp16"``,
            ``"fp32"``; of all weights.

    Raises:
        CheckpointError: No such model (the message lists what there is), or a release that is damaged or
            lacks a component.
        ValueError: An unknown device or dtype, or weights that exceed the free memory.
    """
    target = pick_device(device)
    chosen = pick_dtype(dtype, target)
    folder = find_release(model, kind="unet3d")
    names = component_names(folder)
    _check_weights_fit(folder, target, chosen)
    parts: dict[str, Any] = {
        part: load_component(folder, name, dtype=chosen, device=target) for part, name in names.items()
    }
    if target.type == "cpu":
        store_channels_last(parts["unet"])  # a wide convolution reorders its weights at each call otherwise
    return TextToVideoPipeline(**parts, manifest=Manifest.load(folder))


def component_names(folder: Path) -> dict[str, str]:
    """The name of the one component that fills each field of ``TextToVideoPipeline``.

    Raises:
        CheckpointError: A release that lacks one, or has several for one field.
    """
    return {part: component_name(folder, part) for part in _PARTS}


def component_name(folder: str | Path, part: str) -> str:
    """What a release calls the one component that fills a field of ``TextToVideoPipeline``.

    Args:
        folder: The release; it need not have the other parts.
        part: ``"unet"``, ``"autoencoder"``, ``"text_encoder"``, ``"tokenizer"`` or ``"diffusion"``.

    Raises:
        CheckpointError: A release that lacks it, or has several.
    """
    wanted = _PARTS[part]
    found = [name for name, kind in component_kinds(folder).items() if kind in wanted]
    if len(found) != 1:
        raise CheckpointError(
            f"{folder} has {len(found)} components of kind {' or '.join(wanted)}: "
            f"a text-to-video release has exactly one ({part})"
        )
    return found[0]


def _check_weights_fit(folder: Path, device: torch.device, dtype: torch.dtype) -> None:
    """Refuse weights that cannot fit before the first is read."""
    files = sorted(folder.glob(f"*/{WEIGHTS_NAME}"))
    needed = sum(read_header(path).num_parameters for path in files) * dtype.itemsize
    free = free_memory_bytes(device)
    if needed > free:
        raise ValueError(
            f"{folder.name} needs {memory_text(needed)} for its weights, but {memory_text(free)} are free on "
            f"{device}: use dtype=bf16, another device, or a smaller model"
        )
