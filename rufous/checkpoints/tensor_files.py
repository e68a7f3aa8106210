"""Safetensors files, written tensor by tensor and checked before they are read.

The format is eight bytes of header length, a JSON header, and the tensors' bytes one after another. Writing
it here instead of through the library keeps one converted tensor in memory at a time; reading goes through
the library, which maps the file.

Source: the format's description in the safetensors package.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from rufous.checkpoints.int8 import SCALE, dequantize, is_quantized, quantize
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
    def scale_names(self) -> dict[str, str]:
        """Name of the scale of each tensor in 8 bits that has one: a weight, not a table of integers."""
        return {
            name: name + SCALE
            for name, dtype in self.dtypes.items()
            if dtype == torch.int8 and self.shapes.get(name + SCALE) == self.shapes[name][:1]
        }

    @property
    def num_parameters(self) -> int:
        """Number of elements of all floating-point tensors and of those in 8 bits with a scale."""
        scales = self.scale_names
        weights = {name for name, dtype in self.dtypes.items() if dtype.is_floating_point}
        return sum(math.prod(self.shapes[name]) for name in (weights | set(scales)) - set(scales.values()))


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
        dtype: Stored dtype of the floating-point tensors; None keeps each as it is. ``torch.int8`` quantizes
            matrices and convolutions (see ``int8``) and stores the others in bf16.
        metadata: Text values for the header.

    Raises:
        CheckpointError: A tensor has a dtype the format does not hold, or is not finite and has to be
            quantized.
    """
    pieces = dict(_pieces(tensors, dtype))
    # Tensors of whole lines first, then the widest: so all large ones begin at a multiple of 64 bytes, which
    # keeps mapped weights as fast as allocated ones and their results equal to the last bit.
    sizes = {name: math.prod(piece.shape) * piece.dtype.itemsize for name, piece in pieces.items()}
    names = sorted(
        pieces, key=lambda name: (sizes[name] % ALIGNMENT != 0, -pieces[name].dtype.itemsize, name)
    )
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name in names:
        end = offset + sizes[name]
        piece = pieces[name]
        dtype_name, shape = _NAME_OF[piece.dtype], list(piece.shape)
        header[name] = {"dtype": dtype_name, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in names:
            if sizes[name]:
                values = pieces[name].values().detach().to("cpu", pieces[name].dtype).contiguous().reshape(-1)
                values.view(torch.uint8).numpy().tofile(file)


@dataclass(frozen=True)
class _Piece:
    """One tensor of the file; its values are made when it is written."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    values: Callable[[], Tensor]


def _pieces(tensors: Mapping[str, Tensor], dtype: torch.dtype | None) -> Iterator[tuple[str, _Piece]]:
    for name, tensor in tensors.items():
        shape = tuple(tensor.shape)
        if dtype == torch.int8 and is_quantized(name, shape, tensor.is_floating_point()):
            yield name, _Piece(shape, torch.int8, partial(_quantized, name, tensor, 0))
            yield name + SCALE, _Piece(shape[:1], torch.float32, partial(_quantized, name, tensor, 1))
            continue
        chosen = torch.bfloat16 if dtype == torch.int8 else dtype
        if chosen is None or not tensor.is_floating_point():
            chosen = tensor.dtype
        if chosen not in _NAME_OF:
            raise CheckpointError(f"tensor {name!r} is {chosen}, which is not stored: convert it first")
        yield name, _Piece(shape, chosen, partial(torch.Tensor.detach, tensor))


def _quantized(name: str, tensor: Tensor, which: int) -> Tensor:
    try:
        return quantize(tensor)[which]
    except ValueError as error:
        raise CheckpointError(f"tensor {name!r} cannot be stored in 8 bits: {error}") from error


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

    Weights in 8 bits with a scale come as floating point, without ``dtype`` in bf16 like the others beside
    them, and are never mapped.

    Raises:
        CheckpointError: As ``read_header``.
    """
    return dict(iterate_tensors(path, dtype=dtype, device=device))


def iterate_tensors(
    path: Path | str, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> Iterator[tuple[str, Tensor]]:
    """The tensors of ``read_tensors`` one by one, so that only one is held twice while it is converted."""
    scales = read_header(path).scale_names  # also a clear message before the library's
    try:
        with safe_open(str(path), framework="pt", device=str(device)) as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                if name in scales.values():
                    continue
                tensor = file.get_tensor(name)
                if name in scales:
                    scale = file.get_tensor(scales[name])
                    yield name, dequantize(tensor, scale, dtype or torch.bfloat16)
                    continue
                yield name, tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged: {error}; fetch or convert it again") from error
