"""Exact resume: checkpoints that are whole or absent, made of safetensors and JSON only.

A run keeps ``checkpoints/step-00001000/`` with

* ``state.json`` - step, resolved config, every value that is no tensor, size and SHA-256 of the other files;
* ``<part>.safetensors`` for each shared part (weights, optimizer, ema, objective), or for a sharded run
  ``sharded/`` written by ``torch.distributed.checkpoint`` in its safetensors format;
* ``rank-00000.safetensors`` and ``.json`` for each rank: random generator and data position.

Ranks on several machines must see one file system.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.tensor import DTensor

from rufous.core.config import to_json_dict
from rufous.core.errors import CheckpointError, ConfigError
from rufous.core.files import sha256_of, write_text
from rufous.training.parallel import barrier, rank, world_size

FORMAT = 1


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


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a checkpoint holds."""

    shared: Mapping[str, Stateful]
    """Equal or sharded over the ranks: weights, optimizer, ema, objective."""
    per_rank: Mapping[str, Stateful]
    """Different on each rank: generator, batches."""


def save_checkpoint(root: Path, step: int, parts: Parts, config: Any, *, keep: int) -> Path:
    """Write ``root/step-<step>`` from all ranks, then delete all but the newest ``keep`` checkpoints.

    The folder is written under another name and renamed when it is whole.

    Raises:
        OSError: The disk is full or not writable; earlier checkpoints are untouched.
    """
    folder = root / f"step-{step:08d}"
    partial = root / f".{folder.name}.partial"
    if rank() == 0:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    barrier()
    values = _save_shared(partial, parts.shared)
    _save_own(partial, parts.per_rank)
    barrier()
    if rank() == 0:
        state = {
            "format": FORMAT,
            "step": step,
            "world_size": world_size(),
            "config": to_json_dict(config),
            "values": values,
            "files": {str(p.relative_to(partial)): _fingerprint(p) for p in _files(partial)},
        }
        write_text(partial / "state.json", json.dumps(state, indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        for old in checkpoints(root)[:-keep]:
            shutil.rmtree(old)
    barrier()
    return folder


def load_checkpoint(root: Path, parts: Parts, config: Any, *, may_change: frozenset[str]) -> int:
    """Put every part where the newest checkpoint under ``root`` left it; gives its step, 0 if there is none.

    Args:
        root: The folder of the checkpoints.
        parts: Made as at the start of the run; filled in place.
        config: The config of the run that resumes.
        may_change: Names of config fields that may differ from the saved ones.

    Raises:
        ConfigError: Another field differs; all of them are listed.
        CheckpointError: A file is damaged or does not fit; the message names it and the checkpoint before.
    """
    found = checkpoints(root)
    if not found:
        return 0
    folder = found[-1]
    advice = (
        f"delete {folder} to go on from {found[-2].name}"
        if len(found) > 1
        else "there is no earlier checkpoint"
    )
    state = _read_state(folder, advice)
    _check_config(state["config"], to_json_dict(config), may_change)
    if state["world_size"] != world_size():
        raise CheckpointError(
            f"{folder} was written by {state['world_size']} ranks and cannot go on with {world_size()}: "
            "each rank has its own random numbers and data position"
        )
    for name, fingerprint in state["files"].items():
        path = folder / name
        if not path.is_file() or _fingerprint(path) != fingerprint:
            raise CheckpointError(f"{path} is damaged or missing: {advice}")
    try:
        _load_shared(folder, parts.shared, state["values"])
        _load_own(folder, parts.per_rank)
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{folder} does not fit this run: {error}") from error
    return int(state["step"])


def checkpoints(root: Path) -> list[Path]:
    """Whole checkpoints under ``root``, oldest first."""
    folders = root.iterdir() if root.is_dir() else []
    return sorted(folder for folder in folders if re.fullmatch(r"step-\d{8,}", folder.name))


def _check_config(saved: Mapping[str, Any], present: Mapping[str, Any], may_change: frozenset[str]) -> None:
    before, after = _flatten(saved), _flatten(present)
    changes = [
        f"{name} was {before.get(name)!r} and is {after.get(name)!r}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and name not in may_change
    ]
    if changes:
        raise ConfigError(
            f"this run began with another config: {'; '.join(changes)}. Use the old values, or a new run_dir"
        )


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _read_state(folder: Path, advice: str) -> dict[str, Any]:
    path = folder / "state.json"
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or missing: {advice}") from error
    if state.get("format") != FORMAT:
        raise CheckpointError(f"{path} has format {state.get('format')}: this version reads format {FORMAT}")
    return state


def _save_shared(folder: Path, parts: Mapping[str, Stateful]) -> dict[str, Any]:
    """Write the tensors of all parts; give their other values."""
    split = {name: _split(part.state_dict()) for name, part in parts.items()}
    tensors = {name: found for name, (found, _) in split.items()}
    if _is_sharded(tensors):
        flat = {f"{name}/{key}": value for name, found in tensors.items() for key, value in found.items()}
        dcp.save(
            flat, storage_writer=HuggingFaceStorageWriter(str(folder / "sharded"), save_distributed=True)
        )
    elif rank() == 0:
        for name, found in tensors.items():
            save_file(_storable(found), folder / f"{name}.safetensors")
    return {name: values for name, (_, values) in split.items()}


def _load_shared(folder: Path, parts: Mapping[str, Stateful], values: Mapping[str, Any]) -> None:
    present = {name: _split(part.state_dict())[0] for name, part in parts.items()}
    if _is_sharded(present):
        flat = {f"{name}/{key}": value for name, found in present.items() for key, value in found.items()}
        dcp.load(
            flat, storage_reader=HuggingFaceStorageReader(str(folder / "sharded"))
        )  # fills them in place
        found = present
    else:
        found = {name: load_file(folder / f"{name}.safetensors") for name in parts}
    for name, part in parts.items():
        part.load_state_dict(_join(found[name], values[name]))


def _save_own(folder: Path, parts: Mapping[str, Stateful]) -> None:
    tensors, values = _split({name: part.state_dict() for name, part in parts.items()})
    save_file(_storable(tensors), folder / f"rank-{rank():05d}.safetensors")
    write_text(folder / f"rank-{rank():05d}.json", json.dumps(values))


def _load_own(folder: Path, parts: Mapping[str, Stateful]) -> None:
    values = json.loads((folder / f"rank-{rank():05d}.json").read_text(encoding="utf-8"))
    state = _join(load_file(folder / f"rank-{rank():05d}.safetensors"), values)
    for name, part in parts.items():
        part.load_state_dict(state[name])


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


def _is_sharded(tensors: Mapping[str, Mapping[str, Tensor]]) -> bool:
    return any(isinstance(tensor, DTensor) for found in tensors.values() for tensor in found.values())


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


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _fingerprint(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
