"""Safetensors files, written tensor by tensor and checked before they are read.

The format is eight bytes of header length, a JSON header, and the tensors' bytes one after another. Writing
it here instead of through the library keeps one converted tensor in memory at a time; reading goes through
the library, which maps the file.

Source: the format's description in the safetensors package.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from rufous.core.errors import CheckpointError
from rufous.core.files import atomic_path

MAX_HEADER_BYTES = 100_000_000  # the limit of the format's own reader
ALIGNMENT = 64  # bytes; what torch's own allocator gives
_NAME_OF = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_DTYPE_OF = {name: dtype for dtype, name in _NAME_OF.items()}


@dataclass(frozen=True, kw_only=True)
class TensorHeader:
    """What a safetensors file says about itself, without its tensors."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, torch.dtype]
    metadata: dict[str, str]

    @property
    def num_parameters(self) -> int:
        """Number of elements of all floating-point tensors."""
        return sum(
            math.prod(shape) for name, shape in self.shapes.items() if self.dtypes[name].is_floating_point
        )


def write_tensors(
    path: Path | str,
    tensors: Mapping[str, Tensor],
    *,
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a safetensors file, whole or not at all, holding one converted tensor in memory at a time.

    Args:
        path: Replaced atomically.
        tensors: On any device; a shared or strided tensor is written in full.
        dtype: Stored dtype of the floating-point tensors; None keeps each as it is.
        metadata: Text values for the header.

    Raises:
        CheckpointError: A tensor has a dtype the format does not hold.
    """
    stored = {name: _stored_dtype(name, tensor, dtype) for name, tensor in tensors.items()}
    # Tensors of whole lines first, then the widest: so all large ones begin at a multiple of 64 bytes, which
    # keeps mapped weights as fast as allocated ones and their results equal to the last bit.
    sizes = {name: tensor.numel() * stored[name].itemsize for name, tensor in tensors.items()}
    names = sorted(tensors, key=lambda name: (sizes[name] % ALIGNMENT != 0, -stored[name].itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name in names:
        end = offset + sizes[name]
        shape = list(tensors[name].shape)
        header[name] = {"dtype": _NAME_OF[stored[name]], "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in names:
            if tensors[name].numel():
                values = tensors[name].detach().to("cpu", stored[name]).contiguous().reshape(-1)
                values.view(torch.uint8).numpy().tofile(file)


def _stored_dtype(name: str, tensor: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    chosen = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    if chosen not in _NAME_OF:
        raise CheckpointError(f"tensor {name!r} is {chosen}, which is not stored: convert it first")
    return chosen


def read_header(path: Path | str) -> TensorHeader:
    """Names, shapes, dtypes and metadata of a safetensors file; the file's length is checked against them.

    Raises:
        CheckpointError: The file is missing, truncated, or no safetensors file.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise CheckpointError(
                    f"{path} is truncated or no safetensors file: fetch or convert it again"
                )
            header = json.loads(file.read(length))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: fetch or convert the release again") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error
    try:
        return _parse_header(header, size - 8 - length)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}; fetch or convert it again") from error


def _parse_header(header: dict[str, Any], data_size: int) -> TensorHeader:
    metadata = {str(key): str(value) for key, value in header.pop("__metadata__", {}).items()}
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, torch.dtype] = {}
    end = 0
    for name, entry in header.items():
        shapes[name], dtypes[name] = tuple(entry["shape"]), _DTYPE_OF[entry["dtype"]]
        first, last = entry["data_offsets"]
        if last - first != math.prod(shapes[name]) * dtypes[name].itemsize:
            raise ValueError(f"the length of {name!r} contradicts its shape")
        end = max(end, last)
    if end != data_size:
        raise ValueError(f"it holds {data_size} bytes of tensors where its header announces {end}")
    return TensorHeader(shapes=shapes, dtypes=dtypes, metadata=metadata)


def read_tensors(
    path: Path | str, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """All tensors of a safetensors file; on a CPU, and without ``dtype``, they are mapped rather than copied.

    Raises:
        CheckpointError: As ``read_header``.
    """
    return dict(iterate_tensors(path, dtype=dtype, device=device))


def iterate_tensors(
    path: Path | str, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> Iterator[tuple[str, Tensor]]:
    """The tensors of ``read_tensors`` one by one, so that only one is held twice while it is converted."""
    read_header(path)  # a clear message before the library's
    try:
        with safe_open(str(path), framework="pt", device=str(device)) as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                tensor = file.get_tensor(name)
                yield name, tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged: {error}; fetch or convert it again") from error
