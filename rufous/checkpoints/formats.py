"""Source files of weights, whatever their wrapping: one read gives plain names and tensors.

=================  =====================================================  ===========================
layout             what the file holds                                    who writes it
=================  =====================================================  ===========================
``safetensors``    named tensors                                          everyone by now
``state_dict``     a dict with the key ``state_dict``                     Lightning: VideoCrafter2
``deepspeed``      a dict with the key ``module``                         DeepSpeed: Hummingbird's training
``weights``        named tensors in a plain dict                          T2V-Turbo v2
``module``         a pickled network object                               Hummingbird's releases
``torchscript``    a scripted network                                     StyleGAN-V's I3D
``lora_list``      an unnamed list ``[up, down, up, down, ...]``          T2V-Turbo v1
=================  =====================================================  ===========================
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from rufous.checkpoints.tensor_files import read_tensors
from rufous.checkpoints.torch_files import read_torch_file
from rufous.checkpoints.unpickle import Stub, is_scripted, module_tensors, scripted_tensors
from rufous.core.errors import CheckpointError

Layout = Literal["safetensors", "state_dict", "deepspeed", "weights", "module", "torchscript", "lora_list"]
DEEPSPEED_PREFIX = "_forward_module."


@dataclass(frozen=True, kw_only=True)
class Source:
    """The weights of one file; tensors are mapped from it where possible."""

    path: Path
    layout: Layout
    tensors: dict[str, Tensor] = field(default_factory=dict)
    """By name; empty for a ``lora_list``."""
    entries: tuple[Tensor, ...] = ()
    """In order, for a ``lora_list``."""


def read_source(path: Path | str) -> Source:
    """Read a file of weights; nothing in it is executed, whatever it is.

    Raises:
        CheckpointError: Missing, damaged, or none of the layouts above; the message says what was found.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder: name the file of weights in it")
    if _is_safetensors(path):
        return Source(path=path, layout="safetensors", tensors=read_tensors(path))
    content = read_torch_file(path)
    if isinstance(content, Stub) and is_scripted(content):
        return Source(path=path, layout="torchscript", tensors=scripted_tensors(content))
    if isinstance(content, Stub):
        return Source(path=path, layout="module", tensors=module_tensors(content))
    if isinstance(content, list) and content and all(isinstance(entry, Tensor) for entry in content):
        return Source(path=path, layout="lora_list", entries=tuple(content))
    if isinstance(content, dict):
        wrapped = {"state_dict": content.get("state_dict"), "deepspeed": content.get("module")}
        for layout, weights in wrapped.items():
            if isinstance(weights, Stub):
                return Source(path=path, layout="module", tensors=module_tensors(weights))
            if weights is not None:
                return Source(path=path, layout=layout, tensors=_named_tensors(weights, path))  # type: ignore[arg-type]
        return Source(path=path, layout="weights", tensors=_named_tensors(content, path))
    raise CheckpointError(f"{path} holds {_describe(content)}, no weights that this code knows")


def _named_tensors(weights: Any, path: Path) -> dict[str, Tensor]:
    """Names without DeepSpeed's prefix; anything but a tensor under a name is refused."""
    if not isinstance(weights, Mapping) or not weights:
        raise CheckpointError(f"{path} holds {_describe(weights)} where its weights should be")
    odd = [str(name)[:80] for name, value in weights.items() if not isinstance(value, Tensor)]
    if odd:
        raise CheckpointError(
            f"{path} holds more than tensors: {', '.join(odd[:5])}; it is no file of weights"
        )
    names = [str(name).removeprefix(DEEPSPEED_PREFIX) for name in weights]
    if len(set(names)) != len(names):
        raise CheckpointError(f"{path} holds a name both with and without the prefix {DEEPSPEED_PREFIX!r}")
    return dict(zip(names, weights.values(), strict=True))


def _is_safetensors(path: Path) -> bool:
    """By the content: a header length, then an opening brace; the suffix is not trusted."""
    try:
        with open(path, "rb") as file:
            return file.read(9)[8:] == b"{"
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def _describe(content: Any) -> str:
    if isinstance(content, Stub):
        return str(content)
    if isinstance(content, Mapping | list | tuple) and not content:
        return f"an empty {type(content).__name__}"
    return f"a {type(content).__name__}"
