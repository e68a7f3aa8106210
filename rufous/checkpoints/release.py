"""Release folders: save, load and verify.

    model_index.json            component name -> ["rufous", kind]
    rufous.json                 the manifest (see ``manifest``)
    unet/config.json            the component's config and kind
    unet/model.safetensors      its weights, with the config in the metadata as well
    pruning.md                  a report, if the run that made the release wrote one

A folder appears whole or not at all. Networks are built on the meta device and take the file's tensors as
their weights, so loading needs the memory of the weights once.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import rufous
from rufous.checkpoints.kinds import (
    NETWORKS,
    SETTINGS,
    TOKENIZERS,
    check_kind,
    empty_network,
    kind_of,
    load_tokenizer,
)
from rufous.checkpoints.manifest import FORMAT_VERSION, MANIFEST_NAME, Manifest, read_json, record_files
from rufous.checkpoints.matching import load_strictly
from rufous.checkpoints.tensor_files import read_tensors, write_tensors
from rufous.core.config import from_json_dict, to_json_dict
from rufous.core.errors import CheckpointError, ConfigError
from rufous.core.files import write_text

INDEX_NAME = "model_index.json"
CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
DOCUMENT_SUFFIXES = (".json", ".md", ".svg")


def save_release(
    folder: Path | str,
    components: Mapping[str, object],
    manifest: Manifest,
    *,
    dtype: torch.dtype | Mapping[str, torch.dtype] | None = None,
    documents: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Write a release folder, whole or not at all.

    Args:
        folder: Made; if it exists it must be empty, or a release with ``overwrite``.
        components: By name. A network with a ``config``; a ``DiffusionConfig``; a ``WordTokenizer``; or the
            path of a component's folder in another release (or of CLIP's tokenizer files), copied unread.
        manifest: What to record; its ``files`` are filled in here.
        dtype: Stored dtype of all floating-point weights, or by component; None keeps each as it is, and so
            does a component that is not named. ``torch.int8``: see ``checkpoints.int8``.
        documents: Reports to lie beside the components: texts by file name (``.json``, ``.md`` or ``.svg``).
        overwrite: Replace a release that stands there.

    Returns:
        The manifest as written.

    Raises:
        CheckpointError: A component of unknown kind, or something stands at ``folder``.
    """
    with _whole_folder(Path(folder), overwrite=overwrite) as temporary:
        index: dict[str, Any] = {"_class_name": "TextToVideo", "_format_version": FORMAT_VERSION}
        for name, component in components.items():
            _check_name(name)
            part = temporary / name
            part.mkdir()
            stored = dtype.get(name) if isinstance(dtype, Mapping) else dtype
            index[name] = ["rufous", _save_component(part, component, stored)]
        for name, text in (documents or {}).items():
            _check_document(name)
            write_text(temporary / name, text)
        write_text(temporary / INDEX_NAME, json.dumps(index, indent=2) + "\n")
        manifest = replace(manifest, files=record_files(temporary))
        manifest.save(temporary)
    return manifest


def component_kinds(folder: Path | str) -> dict[str, str]:
    """Kind of each component of a release, by its name.

    Raises:
        CheckpointError: No release, or one with an unknown kind or a newer format.
    """
    path = Path(folder) / INDEX_NAME
    index = read_json(path)
    version = index.get("_format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version}; this code reads up to {FORMAT_VERSION}: upgrade rufous"
        )
    kinds: dict[str, str] = {}
    for name, entry in index.items():
        if name.startswith("_"):
            continue
        _check_name(name)
        if not isinstance(entry, list) or len(entry) != 2 or entry[0] != "rufous":
            raise CheckpointError(
                f"{path}: {name} is {entry!r}, which is none of ours: convert other layouts first"
            )
        kinds[name] = check_kind(entry[1], where=path)
    return kinds


def load_config(folder: Path | str, name: str) -> Any:
    """The config dataclass of a component, or None for a tokenizer.

    Args:
        folder: The release.
        name: As in ``load_component``.

    Raises:
        CheckpointError: The component is absent, or its config is damaged or of another version.
    """
    name, kind = _find_component(Path(folder), name)
    path = Path(folder) / name / CONFIG_NAME
    values = read_json(path)
    if check_kind(values.pop("_kind", None), where=path) != kind:
        raise CheckpointError(f"{path} is not of the kind {kind!r} that {INDEX_NAME} gives it")
    values = {key: value for key, value in values.items() if not key.startswith("_")}
    if kind in TOKENIZERS:
        return None
    config_class = SETTINGS[kind] if kind in SETTINGS else NETWORKS[kind][0]
    try:
        return from_json_dict(config_class, values)
    except (ConfigError, ValueError) as error:
        raise CheckpointError(f"{path} is no config of a {kind}: {error}") from error


def load_component(
    folder: Path | str,
    name: str,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> Any:
    """A network in eval mode, settings, or a tokenizer, out of a release folder.

    Args:
        folder: The release.
        name: Component, for example ``"unet"``; or a kind that one component alone has, for example
            ``"autoencoder_kl"``, whatever the release calls it.
        dtype: Of the floating-point weights; None leaves them as stored.
        device: Where the weights go.

    Raises:
        CheckpointError: The component is absent, a file is missing or damaged, or config and weights differ.
    """
    folder = Path(folder)
    name, kind = _find_component(folder, name)
    config = load_config(folder, name)
    if kind in TOKENIZERS:
        return load_tokenizer(kind, folder / name)
    if kind in SETTINGS:
        return config
    network = empty_network(config)
    path = folder / name / WEIGHTS_NAME
    load_strictly(network, read_tensors(path, dtype=dtype, device=device), where=str(path))
    return network.eval()


def verify_release(folder: Path | str) -> Manifest:
    """Hash every file of a release again and return its manifest.

    Raises:
        CheckpointError: A file is missing, changed or unknown, or the index or a config is damaged.
    """
    manifest = Manifest.load(folder)
    manifest.verify(folder)
    for name in component_kinds(folder):
        load_config(folder, name)
    return manifest


def is_release(folder: Path | str) -> bool:
    """Whether ``folder`` holds the two files that make it a release."""
    return all((Path(folder) / name).is_file() for name in (INDEX_NAME, MANIFEST_NAME))


def check_target(folder: Path | str, *, overwrite: bool) -> None:
    """Refuse a place where ``save_release`` would refuse to write; call it before long work.

    Raises:
        CheckpointError: Something stands there that may not be overwritten.
    """
    folder = Path(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite:
        raise CheckpointError(f"{folder} exists: choose another folder, or ask for it to be overwritten")
    if not is_release(folder):
        raise CheckpointError(f"{folder} is not a release, so it is not overwritten: choose another folder")


def _save_component(folder: Path, component: object, dtype: torch.dtype | None) -> str:
    """Write one component into its empty folder; returns its kind."""
    if isinstance(component, Path):
        return _copy_component(component, folder)
    kind = kind_of(component)
    if kind == "word_tokenizer":
        component.save(folder / "words.json")  # type: ignore[attr-defined]
        return _write_config(folder, kind, {})
    if not isinstance(component, nn.Module):
        return _write_config(folder, kind, to_json_dict(component))
    values = to_json_dict(component.config)
    metadata = {
        "format": "pt",
        "kind": kind,
        "config": json.dumps(values),
        "rufous_version": rufous.__version__,
    }
    write_tensors(folder / WEIGHTS_NAME, component.state_dict(), dtype=dtype, metadata=metadata)
    return _write_config(folder, kind, values)


def _write_config(folder: Path, kind: str, values: Mapping[str, Any]) -> str:
    text = json.dumps({"_kind": kind, "_rufous_version": rufous.__version__, **values}, indent=2)
    write_text(folder / CONFIG_NAME, text + "\n")
    return kind


def _copy_component(source: Path, folder: Path) -> str:
    """Copy the files a component of that kind has, and nothing else that lies beside them."""
    if not (source / CONFIG_NAME).is_file() or "_kind" not in read_json(source / CONFIG_NAME):
        names = TOKENIZERS["clip_tokenizer"]
        if not all((source / name).is_file() for name in names):
            raise CheckpointError(
                f"{source} is neither a component's folder nor CLIP's {' and '.join(names)}"
            )
        for name in names:
            shutil.copyfile(source / name, folder / name)
        return _write_config(folder, "clip_tokenizer", {})
    kind = check_kind(read_json(source / CONFIG_NAME)["_kind"], where=source / CONFIG_NAME)
    names = TOKENIZERS.get(kind, (WEIGHTS_NAME,) if kind in NETWORKS else ())
    for name in (CONFIG_NAME, *names):
        if not (source / name).is_file():
            raise CheckpointError(f"{source / name} is missing: {source} is not a complete component")
        shutil.copyfile(source / name, folder / name)
    return kind


def _find_component(folder: Path, name: str) -> tuple[str, str]:
    """Name and kind of the component that has this name, or else alone has this kind."""
    kinds = component_kinds(folder)
    if name in kinds:
        return name, kinds[name]
    of_kind = [each for each, kind in kinds.items() if kind == name]
    if len(of_kind) != 1:
        has = ", ".join(f"{each} of kind {kind}" for each, kind in kinds.items())
        raise CheckpointError(f"{folder} has no component {name!r}: it has {has or 'none'}")
    return of_kind[0], name


def _check_name(name: str) -> None:
    """Component names become folders, so they are plain words."""
    if not name.isidentifier() or name.startswith("_"):
        raise CheckpointError(
            f"component name {name!r} cannot be a folder: use letters, digits and underscores"
        )


def _check_document(name: str) -> None:
    """Documents are plain files of a few kinds; the manifest covers them, which it does no ``README.md``."""
    path, taken = Path(name), (INDEX_NAME, MANIFEST_NAME, "README.md")
    if path.name != name or path.suffix not in DOCUMENT_SUFFIXES or name.startswith(".") or name in taken:
        raise CheckpointError(
            f"document {name!r} cannot lie in a release: use a file name with {', '.join(DOCUMENT_SUFFIXES)}"
        )


@contextlib.contextmanager
def _whole_folder(folder: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary folder beside ``folder`` that takes its place on success and vanishes on failure."""
    check_target(folder, overwrite=overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name[:40]}-", dir=folder.parent))
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)  # mkdtemp makes 0700, which other users could not read
        _exchange(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exchange(temporary: Path, folder: Path) -> None:
    """Move ``temporary`` to ``folder``; what stood there is deleted only when the new one is in place."""
    if not folder.exists():
        temporary.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name[:40]}-old-", dir=folder.parent))
    folder.replace(old)
    try:
        temporary.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old)
