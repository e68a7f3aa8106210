"""Exact resume: checkpoints that are whole or absent, made of safetensors and JSON only.

A run keeps ``checkpoints/step-00001000/`` with

* ``state.json`` - step, resolved config, every value that is no tensor, size and SHA-256 of the other files;
* ``<part>.safetensors`` for each shared part (weights, optimizer, ema, objective), or for a sharded run
  ``sharded/`` written by ``torch.distributed.checkpoint`` in its safetensors format;
* ``rank-00000.safetensors`` and ``.json`` for each rank: random generator and data position.

Ranks on several machines must see one file system. Another number of ranks may go on: tensors are cut anew,
each rank goes on with its own generator, a rank that is new begins one, and the data says whether its
position still holds (see ``ShuffledBatches.load_state_dict``).
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from rufous.core.config import differences, to_json_dict
from rufous.core.console import logger
from rufous.core.errors import CheckpointError, ConfigError
from rufous.core.files import sha256_of, write_text
from rufous.training.parallel import barrier, rank, world_size
from rufous.training.state_files import Stateful, load_own, load_shared, save_own, save_shared

_log = logger(__name__)
FORMAT = 2
RELEASE_ID = ".manifest_id"
"""How names in ``made_of`` end whose values are ids of releases."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a checkpoint holds."""

    shared: Mapping[str, Stateful]
    """Equal or sharded over the ranks: weights, optimizer, ema, objective."""
    per_rank: Mapping[str, Stateful]
    """Different on each rank: generator, batches."""


def save_checkpoint(
    root: Path, step: int, parts: Parts, config: Any, *, keep: int, made_of: Mapping[str, Any] | None = None
) -> Path:
    """Write ``root/step-<step>`` from all ranks, then delete all but the newest ``keep`` checkpoints.

    The folder is written under another name and renamed when it is whole.

    Raises:
        OSError: The disk is full or not writable; earlier checkpoints are untouched.
    """
    folder = root / f"step-{step:08d}"
    partial = root / f".{folder.name}.partial"
    if rank() == 0:
        _delete_remains(root)
        partial.mkdir(parents=True)
    barrier()
    values = save_shared(partial, parts.shared)
    save_own(partial, parts.per_rank)
    barrier()
    if rank() == 0:
        state = {
            "format": FORMAT,
            "step": step,
            "world_size": world_size(),
            "config": to_json_dict(config),
            "made_of": dict(made_of or {}),
            "values": values,
            "files": {str(p.relative_to(partial)): _fingerprint(p) for p in _files(partial)},
        }
        write_text(partial / "state.json", json.dumps(state, indent=1))
        if folder.exists():
            _delete(folder)
        partial.rename(folder)
        for old in checkpoints(root)[:-keep]:
            _delete(old)
    barrier()
    return folder


def load_checkpoint(
    root: Path,
    parts: Parts,
    config: Any,
    *,
    may_change: frozenset[str],
    made_of: Mapping[str, Any] | None = None,
) -> int:
    """Put every part where the newest checkpoint under ``root`` left it; gives its step, 0 if there is none.

    Args:
        root: The folder of the checkpoints.
        parts: Made as at the start of the run; filled in place.
        config: The config of the run that resumes.
        may_change: Names of config fields that may differ from the saved ones.
        made_of: As it was saved; may not differ at all. Ids of releases (``RELEASE_ID``) that the run did
            not note when it began are passed over with a warning.

    Raises:
        ConfigError: Something else differs; all of it is listed.
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
    changes = differences(state["config"], to_json_dict(config), may_change=may_change)
    changes += _exchanged(state["made_of"], made_of or {})
    if changes:
        raise ConfigError(
            f"this run began with another config: {'; '.join(changes)}. Use the old values, or a new run_dir"
        )
    for name, fingerprint in state["files"].items():
        path = folder / name
        if not path.is_file() or _fingerprint(path) != fingerprint:
            raise CheckpointError(f"{path} is damaged or missing: {advice}")
    if state["world_size"] != world_size():
        _log.warning("a run of %d processes goes on with %d", state["world_size"], world_size())
    try:
        load_shared(folder, parts.shared, state["values"])
        load_own(folder, parts.per_rank, num_saved=state["world_size"])
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{folder} does not fit this run: {error}") from error
    return int(state["step"])


def checkpoints(root: Path) -> list[Path]:
    """Whole checkpoints under ``root``, oldest first."""
    folders = root.iterdir() if root.is_dir() else []
    return sorted(folder for folder in folders if re.fullmatch(r"step-\d{8,}", folder.name))


def _read_state(folder: Path, advice: str) -> dict[str, Any]:
    path = folder / "state.json"
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or missing: {advice}") from error
    if state.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {state.get('format')}, and this version reads format {FORMAT}: "
            "begin a new run in another run_dir"
        )
    return state


def _exchanged(saved: Mapping[str, Any], made_of: Mapping[str, Any]) -> list[str]:
    """What differs. Older runs noted ids in the place of releases' paths alone, and not by role."""
    missing = sorted(name for name in made_of.keys() - saved.keys() if name.endswith(RELEASE_ID))
    noted = list(saved.values())
    if unknown := [name for name in missing if made_of[name] not in noted]:
        _log.warning("this run did not note %s when it began: not compared", ", ".join(unknown))
    return differences(saved, made_of, may_change=missing)


def _delete(folder: Path) -> None:
    """Delete a checkpoint; renamed first, so that one that is half deleted never counts as whole."""
    remains = folder.with_name(f".{folder.name}.deleted")
    shutil.rmtree(remains, ignore_errors=True)
    folder.rename(remains)
    shutil.rmtree(remains)


def _delete_remains(root: Path) -> None:
    """Delete what a killed process left half written or half deleted."""
    for remains in [*root.glob(".step-*.partial"), *root.glob(".step-*.deleted")]:
        shutil.rmtree(remains)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _fingerprint(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
