"""Whole models of transformers, with their own preprocessing, from folders that are on this machine."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from rufous.core.errors import CheckpointError, MissingWeightsError
from rufous.core.files import sha256_of

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
"""Beside weights in several parts."""


@dataclass(frozen=True, eq=False)
class HubModel:
    """A frozen network in eval mode, and what prepares its pixels."""

    name: str
    network: Any
    processor: Any
    identity: str
    """SHA-256 of the weights."""

    def inputs(self, frames: Sequence[UInt8[Tensor, "3 _ _"]] | UInt8[Tensor, "n 3 h w"]) -> dict[str, Any]:
        """What the network takes, on its device, from frames that are uint8 RGB."""
        pictures = [frame.permute(1, 2, 0).cpu().numpy() for frame in frames]
        prepared = self.processor(images=pictures, return_tensors="pt", input_data_format="channels_last")
        return {name: value.to(self.network.device) for name, value in prepared.items()}


def load_hub_model(
    hub_id: str, kind: str, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> HubModel:
    """A model from a folder or from the hub's cache; no code of the folder is run.

    Args:
        hub_id: Repository on the hub, or a folder in transformers' layout.
        kind: transformers' class that chooses the network, such as ``AutoModelForObjectDetection``.
        device: Where the weights go.
        dtype: Of the weights.

    Raises:
        CheckpointError: It is not there, is incomplete, or is a model of another kind.
    """
    import transformers

    folder = find_hub_model(hub_id)
    try:
        network, report = getattr(transformers, kind).from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=dtype,
            output_loading_info=True,
        )
        processor = transformers.AutoProcessor.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, backend="pil"
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{hub_id} cannot be loaded as {kind}: {reason}") from error
    if missing := sorted(report["missing_keys"]):
        raise CheckpointError(f"{folder / WEIGHTS} lacks {len(missing)} tensors, the first is {missing[0]}")
    network = network.to(device).eval().requires_grad_(False)
    return HubModel(hub_id, network, processor, identity=_identity(folder))


def _identity(folder: Path) -> str:
    """SHA-256 of the weights; of the hashes of the parts, where they are in parts."""
    if (folder / WEIGHTS).is_file():
        return sha256_of(folder / WEIGHTS)
    parts = [sha256_of(part) for part in sorted(folder.glob("model-*.safetensors"))]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def find_hub_model(hub_id: str) -> Path:
    """The folder that holds the weights, on this machine.

    Raises:
        MissingWeightsError: It is not there; says where to get it.
        CheckpointError: The folder has no weights that are read.
    """
    import huggingface_hub

    folder = Path(hub_id)
    if not folder.is_dir():
        try:
            looked_up = (huggingface_hub.try_to_load_from_cache(hub_id, name) for name in (WEIGHTS, INDEX))
            cached = next((each for each in looked_up if isinstance(each, str)), None)
        except ValueError as error:  # not the name of a repository
            raise MissingWeightsError(
                f"{hub_id} is missing: it is no folder, and no repository's name"
            ) from error
        if not isinstance(cached, str):
            raise MissingWeightsError(
                f"{hub_id} is missing: looked for a folder and in the hub's cache. "
                f"Get it from https://huggingface.co/{hub_id} (hf download {hub_id})"
            )
        folder = Path(cached).parent
    if not ((folder / WEIGHTS).is_file() or (folder / INDEX).is_file()):
        raise CheckpointError(f"{folder} has no {WEIGHTS}; pickled weights are not read")
    return folder
