"""Files of published weights that a user has put in place; nothing is downloaded here.

A file is looked for where the caller says, else in ``~/.cache/rufous/weights``, else in the hub's own cache.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from rufous.checkpoints.formats import read_source
from rufous.checkpoints.matching import load_strictly
from rufous.checkpoints.published import UNKNOWN, PublishedFile, default_cache
from rufous.checkpoints.torch_files import read_torch_file
from rufous.core.errors import CheckpointError, MissingWeightsError


def find_weights(wanted: PublishedFile, path: Path | str | None = None) -> Path:
    """Where a published file lies on this machine.

    Args:
        wanted: Which file.
        path: The file itself; None to look where it is kept.

    Raises:
        MissingWeightsError: It is not there; names the file, where it was looked for and where to get it.
    """
    import huggingface_hub

    if path is not None:
        places = [Path(path)]
    else:
        places = [default_cache() / "weights" / wanted.hub_id.split("/")[-1] / wanted.file]
    if path is None and wanted.url is None:
        cached = huggingface_hub.try_to_load_from_cache(wanted.hub_id, wanted.file, revision=wanted.revision)
        places += [Path(cached)] if isinstance(cached, str) else []
    for place in places:
        if place.is_file():
            return place
    only_here = path is not None or wanted.url is not None
    looked_for = str(places[0]) if only_here else f"{places[0]} and in the hub's cache"
    source = wanted.url or (
        f"https://huggingface.co/{wanted.hub_id} (hf download {wanted.hub_id} {wanted.file})"
    )
    checksum = f"sha256 {wanted.sha256 or UNKNOWN}"
    raise MissingWeightsError(
        f"{wanted.file} is missing: looked for {looked_for}. Get it from {source}, {checksum}"
    )


Network = TypeVar("Network", bound=nn.Module)


def load_published(
    build: Callable[[dict[str, Tensor]], tuple[Network, dict[str, Tensor]]],
    path: Path,
    *,
    key: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Network:
    """A frozen network in eval mode with the weights of a published file; every name and shape must fit.

    Args:
        build: From the tensors of the file to the network (it is built on the meta device) and its tensors.
        path: The file, as ``find_weights`` gives it.
        key: As in ``read_weights``.
        device: Where the weights go.
        dtype: Of the weights.

    Raises:
        CheckpointError: The file is damaged, or names or shapes differ.
    """
    tensors = read_weights(path, key=key)
    with torch.device("meta"):
        network, renamed = build(tensors)
    load_strictly(network, renamed, where=str(path))
    return network.to(device=device, dtype=dtype).eval().requires_grad_(False)


def read_weights(path: Path | str, *, key: str | None = None) -> dict[str, Tensor]:
    """Names and tensors of a file of weights; nothing in it is executed.

    Args:
        path: A safetensors file or one of ``torch.save``.
        key: Where in the pickled dict the weights are, if it is none of the layouts of ``formats``.

    Raises:
        CheckpointError: Missing, damaged, or without weights there.
    """
    if key is None:
        return read_source(path).tensors
    content = read_torch_file(path)
    weights = content.get(key) if isinstance(content, Mapping) else None
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError(f"{path} has no weights under {key!r}: it is not the published file")
    return {str(name): value for name, value in weights.items()}
