"""What a path holds: parameters, dtypes, config and manifest, without loading the weights."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from rufous.checkpoints.formats import Source, read_source
from rufous.checkpoints.from_videocrafter import (
    UNET_PREFIX,
    describe_unet,
    infer_unet_config,
    split_checkpoint,
)
from rufous.checkpoints.kinds import NETWORKS
from rufous.checkpoints.manifest import Manifest, read_json
from rufous.checkpoints.release import CONFIG_NAME, WEIGHTS_NAME, component_kinds, is_release, load_config
from rufous.checkpoints.tensor_files import TensorHeader, read_header
from rufous.core.config import to_json_dict
from rufous.core.errors import CheckpointError


@dataclass(frozen=True, kw_only=True)
class ComponentInfo:
    """One network, tokenizer or settings file; or one group of tensors in a file to convert."""

    name: str
    kind: str
    num_parameters: int = 0
    num_tensors: int = 0
    dtypes: dict[str, int] = field(default_factory=dict)
    """Number of tensors by dtype, as stored."""
    size_bytes: int = 0
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PathInfo:
    """What a path holds."""

    path: Path
    layout: str
    """``release``, ``component``, or a layout of ``formats``."""
    components: tuple[ComponentInfo, ...]
    manifest: Manifest | None = None
    notes: tuple[str, ...] = ()

    @property
    def num_parameters(self) -> int:
        """Elements of all floating-point tensors."""
        return sum(component.num_parameters for component in self.components)


def describe_path(path: Path | str) -> PathInfo:
    """Describe a release folder, a component's folder, a safetensors file or a published checkpoint.

    Raises:
        CheckpointError: Nothing there, damaged, or nothing that this code knows.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"{path} does not exist")
    if is_release(path):
        components = tuple(_release_component(path, *item) for item in component_kinds(path).items())
        return PathInfo(path=path, layout="release", components=components, manifest=Manifest.load(path))
    if path.is_dir():
        if not (path / WEIGHTS_NAME).is_file():
            raise CheckpointError(f"{path} is neither a release nor a component of one")
        values = read_json(path / CONFIG_NAME) if (path / CONFIG_NAME).is_file() else {}
        component = _from_header(path.name, str(values.pop("_kind", "unknown")), path / WEIGHTS_NAME, values)
        return PathInfo(path=path, layout="component", components=(component,))
    return _describe_file(read_source(path))


def _release_component(folder: Path, name: str, kind: str) -> ComponentInfo:
    config = to_json_dict(load_config(folder, name)) or {}
    if kind in NETWORKS:
        return _from_header(name, kind, folder / name / WEIGHTS_NAME, config)
    size = sum(path.stat().st_size for path in (folder / name).iterdir() if path.is_file())
    return ComponentInfo(name=name, kind=kind, size_bytes=size, config=config)


def _from_header(name: str, kind: str, path: Path, config: dict[str, Any]) -> ComponentInfo:
    return _component(name, kind, read_header(path), size_bytes=path.stat().st_size, config=config)


def _component(
    name: str, kind: str, header: TensorHeader, *, size_bytes: int, config: dict[str, Any]
) -> ComponentInfo:
    scales = set(header.scale_names.values())  # part of the weights that they belong to
    stored = [str(dtype).removeprefix("torch.") for key, dtype in header.dtypes.items() if key not in scales]
    return ComponentInfo(
        name=name,
        kind=kind,
        num_parameters=header.num_parameters,
        num_tensors=len(stored),
        dtypes=dict(Counter(stored)),
        size_bytes=size_bytes,
        config=config,
    )


def _describe_file(source: Source) -> PathInfo:
    if source.layout == "lora_list":
        entries = {str(i): entry for i, entry in enumerate(source.entries)}
        part = _component_of("lora", "lora_list", entries)
        return PathInfo(path=source.path, layout=source.layout, components=(part,))
    if source.layout == "safetensors" and (metadata := read_header(source.path).metadata).get("kind"):
        config = _parse_config(metadata)
        part = _from_header(source.path.parent.name, metadata["kind"], source.path, config)
        return PathInfo(path=source.path, layout=source.layout, components=(part,))
    if not any(name.startswith(UNET_PREFIX) or name == "time_embed.0.weight" for name in source.tensors):
        part = _component_of(source.path.stem, "unknown", source.tensors)
        return PathInfo(path=source.path, layout=source.layout, components=(part,))
    parts = split_checkpoint(source.tensors, where=source.path)
    config = infer_unet_config(parts.unet, where=source.path)
    components = [
        _component_of("unet", "unet3d", parts.unet, to_json_dict(config)),
        _component_of("vae", "autoencoder_kl", parts.vae),
        _component_of("text_encoder", "text_encoder", parts.text_encoder),
    ]
    return PathInfo(
        path=source.path,
        layout=source.layout,
        components=tuple(part for part in components if part.num_tensors),
        notes=(f"to be converted: {describe_unet(config)}",),
    )


def _component_of(
    name: str, kind: str, tensors: Mapping[str, torch.Tensor], config: dict[str, Any] | None = None
) -> ComponentInfo:
    header = TensorHeader(
        shapes={key: tuple(tensor.shape) for key, tensor in tensors.items()},
        dtypes={key: tensor.dtype for key, tensor in tensors.items()},
        metadata={},
    )
    size = sum(tensor.numel() * tensor.dtype.itemsize for tensor in tensors.values())
    return _component(name, kind, header, size_bytes=size, config=config or {})


def _parse_config(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The config in a safetensors file's metadata, if it is one."""
    try:
        config = json.loads(metadata.get("config", "{}"))
    except json.JSONDecodeError:
        return {}
    return config if isinstance(config, dict) else {}
