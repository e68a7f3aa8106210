"""Files of ``torch.save``, opened without running anything in them.

Today's files are zip archives: ``NAME/data.pkl`` describes the object, ``NAME/data/KEY`` are the storages,
uncompressed, so tensors are mapped from the file and a checkpoint larger than the memory can be read. Files
of before torch 1.6 are a row of pickles followed by the storages. Nothing is extracted to disk, and every
length that a file declares is compared with what it holds before memory is taken for it.
"""

import mmap
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from rufous.checkpoints.unpickle import LoadStorage, read_pickle
from rufous.core.errors import CheckpointError

MAX_PICKLE_BYTES = 256 << 20  # the description of a published checkpoint takes well under 5 MB
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of the name and of the extra field


def read_torch_file(path: Path | str) -> Any:
    """The object in a ``torch.save`` file, as tensors, containers and inert records (see ``unpickle``).

    On the CPU; tensors are mapped from the file and copied only where they are written to.

    Raises:
        CheckpointError: The file is missing, damaged, truncated, or not one that torch writes.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            if not path.stat().st_size:
                raise CheckpointError(f"{path} is empty: fetch it again")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            if mapped[:2] == b"PK":
                return _Archive(path, mapped).read(file)
            return _LegacyFile(path, mapped).read()
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: check the path, or download the file first") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


@dataclass(frozen=True)
class _Archive:
    """A zip file of torch."""

    path: Path
    mapped: mmap.mmap

    def read(self, file: IO[bytes]) -> Any:
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError) as error:
            raise CheckpointError(f"{self.path} is truncated or damaged: {error}; fetch it again") from error
        spans = {entry.filename: entry for entry in entries}
        if len(spans) != len(entries):
            raise CheckpointError(f"{self.path} holds two entries of one name, as torch never writes")
        roots = [name.removesuffix("data.pkl") for name in spans if name.split("/")[1:] == ["data.pkl"]]
        if len(roots) != 1:
            raise CheckpointError(f"{self.path} is a zip file, but not one that torch.save wrote")
        root = roots[0]
        if f"{root}byteorder" in spans and bytes(self._span(spans[f"{root}byteorder"])) != b"little":
            raise CheckpointError(
                f"{self.path} was written on a big-endian machine: save it again on another"
            )
        pickle = self._span(spans[f"{root}data.pkl"])
        if len(pickle) > MAX_PICKLE_BYTES:
            raise CheckpointError(
                f"{self.path} has a pickle of {len(pickle)} bytes, too long for a checkpoint"
            )

        def load_storage(dtype: torch.dtype, key: str, count: int) -> Tensor:
            entry = spans.get(f"{root}data/{key}")
            wanted, held = count * dtype.itemsize, 0 if entry is None else entry.file_size
            if entry is None or wanted != held:
                raise CheckpointError(
                    f"{self.path}: storage {key[:40]!r} should hold {wanted} bytes, but has {held}"
                )
            return _flat(self._span(entry), dtype)

        return read_pickle(bytes(pickle), load_storage, where=str(self.path))

    def _span(self, entry: zipfile.ZipInfo) -> memoryview:
        """The bytes of an entry where they lie in the file."""
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise CheckpointError(f"{self.path}: {entry.filename[:80]!r} is compressed, as torch never does")
        header = self.mapped[entry.header_offset : entry.header_offset + _LOCAL_HEADER.size]
        if len(header) != _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04" or entry.flag_bits & 1:
            raise CheckpointError(f"{self.path}: the entry {entry.filename[:80]!r} is damaged or encrypted")
        _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        start = entry.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        if start + entry.file_size > len(self.mapped):
            raise CheckpointError(f"{self.path} is truncated: {entry.filename[:80]!r} ends beyond it")
        return memoryview(self.mapped)[start : start + entry.file_size]


@dataclass(frozen=True)
class _LegacyFile:
    """Pickles of a magic number, protocol, machine, object and storage keys; then the storages in order."""

    path: Path
    mapped: mmap.mmap

    def read(self) -> Any:
        file = self.mapped  # reads like a file, without a copy
        if not self._has_header(file):
            raise CheckpointError(f"{self.path} is neither a file of torch.save nor a safetensors file")
        self._pickle(file, self._refuse)
        start = file.tell()
        announced: dict[str, tuple[torch.dtype, int]] = {}

        def announce(dtype: torch.dtype, key: str, count: int) -> Tensor:
            announced[key] = (dtype, count)
            return torch.empty(count, dtype=dtype, device="meta")

        self._pickle(file, announce)  # once for the lengths, again below for the tensors
        storages = self._storages(file, self._pickle(file, self._refuse), announced)
        file.seek(start)
        return self._pickle(file, lambda dtype, key, count: storages[key])

    def _has_header(self, file: mmap.mmap) -> bool:
        """Whether it begins as torch's files do; what is no pickle at all does not."""
        try:
            header = self._pickle(file, self._refuse)
            return header == LEGACY_MAGIC and self._pickle(file, self._refuse) == LEGACY_PROTOCOL
        except CheckpointError:
            return False

    def _storages(
        self, file: mmap.mmap, keys: Any, announced: dict[str, tuple[torch.dtype, int]]
    ) -> dict[str, Tensor]:
        if not isinstance(keys, list) or set(keys) != announced.keys():
            raise CheckpointError(f"{self.path} is damaged: its list of storages is not that of its tensors")
        storages: dict[str, Tensor] = {}
        for key in keys:
            dtype, count = announced[key]
            length = int.from_bytes(file.read(8), "little")
            start, size = file.tell(), count * dtype.itemsize
            if length != count or start + size > len(self.mapped):
                raise CheckpointError(f"{self.path} is truncated or damaged at storage {str(key)[:40]!r}")
            storages[key] = _flat(memoryview(self.mapped)[start : start + size], dtype)
            file.seek(start + size)
        return storages

    def _pickle(self, file: mmap.mmap, load_storage: LoadStorage) -> Any:
        return read_pickle(file, load_storage, where=str(self.path))

    def _refuse(self, dtype: torch.dtype, key: str, count: int) -> Tensor:
        raise CheckpointError(f"{self.path} is damaged: its header refers to a storage")


def _flat(span: memoryview, dtype: torch.dtype) -> Tensor:
    """A flat tensor over bytes of the mapped file; unaligned ones, which torch never writes, are copied."""
    if not len(span):
        return torch.empty(0, dtype=dtype)
    values = torch.frombuffer(span, dtype=torch.uint8)
    if values.data_ptr() % dtype.itemsize:
        values = values.clone()
    return values.view(dtype)
