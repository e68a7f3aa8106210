"""States on disk: tensors in safetensors files, everything else in JSON; sharded over the ranks or not.

What was saved sharded can be loaded by a network that is not, and the other way round.
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.tensor import DTensor, distribute_tensor

from rufous.core.files import write_text
from rufous.training.parallel import rank

SHARDED = "sharded"


@runtime_checkable
class Stateful(Protocol):
    """Anything whose state can be saved: nested dicts of tensors and JSON values."""

    def state_dict(self) -> dict[str, Any]:
        """The present state."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any:
        """Continue from a state."""
        ...


class GeneratorState:
    """Makes a ``torch.Generator`` stateful."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def state_dict(self) -> dict[str, Any]:
        """The generator's state, bytes."""
        return {"bytes": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue the same stream."""
        self._generator.set_state(state["bytes"].cpu())


def save_shared(folder: Path, parts: Mapping[str, Stateful]) -> dict[str, Any]:
    """Write the tensors of parts that all ranks share, each rank its shards; give their other values."""
    split = {name: _split(part.state_dict()) for name, part in parts.items()}
    tensors = {name: found for name, (found, _) in split.items()}
    flat = _flat(tensors)
    if any(isinstance(tensor, DTensor) for tensor in flat.values()):
        dcp.save(flat, storage_writer=HuggingFaceStorageWriter(str(folder / SHARDED), save_distributed=True))
    elif rank() == 0:
        for name, found in tensors.items():
            save_file(_storable(found), folder / f"{name}.safetensors")
    return {name: values for name, (_, values) in split.items()}


def load_shared(folder: Path, parts: Mapping[str, Stateful], values: Mapping[str, Any]) -> None:
    """Put shared parts where ``save_shared`` left them, whatever the number of ranks then and now.

    Args:
        folder: Where ``save_shared`` wrote.
        parts: Loaded in place. Sharded ones must have all their tensors already: they say how to cut.
        values: What ``save_shared`` gave.
    """
    present = _flat({name: _split(part.state_dict())[0] for name, part in parts.items()})
    shards = {key: tensor for key, tensor in present.items() if isinstance(tensor, DTensor)}
    is_sharded = (folder / SHARDED).is_dir()
    flat = _read_sharded(folder / SHARDED, shards) if is_sharded else _read_whole(folder, parts, shards)
    for name, part in parts.items():
        start = f"{name}/"
        found = {key.removeprefix(start): value for key, value in flat.items() if key.startswith(start)}
        part.load_state_dict(_join(found, values[name]))


def save_own(folder: Path, parts: Mapping[str, Stateful]) -> None:
    """Write what this rank has for itself."""
    tensors, values = _split({name: part.state_dict() for name, part in parts.items()})
    save_file(_storable(tensors), folder / f"rank-{rank():05d}.safetensors")
    write_text(folder / f"rank-{rank():05d}.json", json.dumps(values))


def load_own(folder: Path, parts: Mapping[str, Stateful], *, num_saved: int) -> None:
    """Put this rank's parts where ``save_own`` left them.

    A rank that was not among the ``num_saved`` keeps its fresh generator; the rest it takes from rank 0.
    """
    is_new = rank() >= num_saved
    stem = f"rank-{0 if is_new else rank():05d}"
    values = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
    state = _join(load_file(folder / f"{stem}.safetensors"), values)
    for name, part in parts.items():
        if not (is_new and isinstance(part, GeneratorState)):
            part.load_state_dict(state[name])


def _read_sharded(folder: Path, shards: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All tensors of a sharded state: those named in ``shards`` filled in place, the others whole."""
    reader = HuggingFaceStorageReader(str(folder))
    flat: dict[str, Tensor] = {
        key: torch.empty(saved.size, dtype=saved.properties.dtype)
        for key, saved in reader.read_metadata().state_dict_metadata.items()
        if isinstance(saved, TensorStorageMetadata)
    }
    flat |= shards
    with warnings.catch_warnings():
        # a single process that reads what several have saved is what this is for
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        dcp.load(flat, storage_reader=reader)
    return flat


def _read_whole(
    folder: Path, parts: Mapping[str, Stateful], shards: Mapping[str, DTensor]
) -> dict[str, Tensor]:
    """All tensors of a state that was not sharded; those named in ``shards`` are cut like them."""
    flat = _flat({name: load_file(folder / f"{name}.safetensors") for name in parts})
    cut = {
        key: distribute_tensor(flat[key].to(like.device), like.device_mesh, like.placements)
        for key, like in shards.items()
    }
    return {**flat, **cut}


def _flat(tensors: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{name}/{key}": tensor for name, found in tensors.items() for key, tensor in found.items()}


def _split(state: Mapping[str, Any], prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by path ``a/b``, and the same tree of dicts with everything else."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, Tensor):
            tensors[prefix + key] = value.detach()
        elif isinstance(value, Mapping):
            inner, values[key] = _split(value, f"{prefix}{key}/")
            tensors |= inner
        else:
            values[key] = value
    return tensors, values


def _join(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of ``_split``."""
    state = json.loads(json.dumps(values))
    for path, tensor in tensors.items():
        *parents, key = path.split("/")
        node = state
        for parent in parents:
            node = node[parent]
        node[key] = tensor
    return state


def _storable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors of which no two share memory, as safetensors asks (tied weights do)."""
    seen: set[int] = set()
    stored: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        tensor = tensor.contiguous()
        pointer = tensor.untyped_storage().data_ptr()
        stored[key] = tensor.clone() if pointer in seen else tensor
        seen.add(pointer)
    return stored
