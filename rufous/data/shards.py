"""A cache of encoded clips: safetensors and JSON in tar files of WebDataset's layout, with a hash of each.

    FOLDER/
      made-of.json         what decides the contents: hashes of networks, settings, the clips
      00000.tar            KEY.safetensors and KEY.json of each sample, one after the other, uncompressed
      00000.json           its SHA-256, its size, where each sample lies, and the samples that failed

A shard counts once its ``.json`` stands; both are written under other names and moved. Whoever writes again
what stopped makes only the shards that are missing. Equal samples give equal bytes, so hashes can be compared
between machines. Tools that read WebDataset read the tar files.
"""

import io
import json
import mmap
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from rufous.core.config import differences
from rufous.core.errors import CheckpointError
from rufous.core.files import atomic_path, sha256_of, write_text

MADE_OF = "made-of.json"
FORMAT = 1


@dataclass(frozen=True)
class Sample:
    """One entry of a shard."""

    key: str
    """Unique in the cache; letters, digits, ``-`` and ``_``, as WebDataset cuts names at the first dot."""
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]
    """JSON values."""


Failures = Mapping[str, str]
Make = Callable[[Sequence[str]], tuple[Iterable[Sample], Failures]]
"""Called with the keys of one shard; gives their samples in order, and why those that are missing failed."""


def write_shards(
    folder: Path | str,
    shards: Mapping[str, Sequence[str]],
    make: Make,
    *,
    made_of: Mapping[str, Any],
) -> int:
    """Write the shards that are missing; several processes may write different ones of a folder.

    Args:
        folder: Of the cache.
        shards: Keys of the samples of each shard, by the shard's name.
        make: Makes the samples of one shard; called only for missing ones.
        made_of: JSON values that decide the contents.

    Returns:
        How many were written.

    Raises:
        CheckpointError: The folder holds a cache made of other things, or shards of other keys.
        OSError: The disk is full or not writable; whole shards stay.
    """
    folder = Path(folder)
    begin(folder, made_of)
    written = 0
    for name, keys in shards.items():
        told = folder / f"{name}.json"
        if told.is_file():
            index = _read_index(told)
            if sorted([*index["samples"], *index["failed"]]) != sorted(keys):
                raise CheckpointError(f"{told} is of other clips: use another folder")
            continue
        samples, failed = make(keys)
        _write(folder / f"{name}.tar", told, samples, failed)
        written += 1
    return written


def begin(folder: Path, made_of: Mapping[str, Any]) -> None:
    """Note what a cache is made of, or check it.

    Raises:
        CheckpointError: It is made of other things; all of them are listed.
    """
    wanted = json.loads(json.dumps({"format": FORMAT, **made_of}))
    told = folder / MADE_OF
    if not told.is_file():
        write_text(told, json.dumps(wanted, indent=1))
        return
    if changes := differences(_read_json(told), wanted):
        raise CheckpointError(
            f"{folder} holds a cache made of other things: {'; '.join(changes)}. "
            "Use another folder, or delete it"
        )


def _write(path: Path, told: Path, samples: Iterable[Sample], failed: Failures) -> None:
    places: dict[str, list[int]] = {}
    with atomic_path(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            if not re.fullmatch(r"[\w-]+", sample.key):
                raise ValueError(f"key={sample.key!r}: use letters, digits, - and _")
            place: list[int] = []
            values = json.dumps(dict(sample.values), sort_keys=True).encode()
            tensors = save({name: tensor.contiguous() for name, tensor in sample.tensors.items()})
            for suffix, content in (("safetensors", tensors), ("json", values)):
                entry = tarfile.TarInfo(f"{sample.key}.{suffix}")  # no time, no owner: equal bytes
                entry.size = len(content)
                place += [tar.offset + tarfile.BLOCKSIZE, len(content)]
                tar.addfile(entry, io.BytesIO(content))
            places[sample.key] = place
        tar.close()
        index = {"sha256": sha256_of(temporary), "bytes": temporary.stat().st_size}
    write_text(told, json.dumps({**index, "samples": places, "failed": dict(failed)}))


class Shards:
    """Samples of a cache by key. Owns the open files; several threads may read."""

    def __init__(
        self,
        folder: Path | str,
        *,
        made_of: Mapping[str, Any] | None = None,
        check: Literal["hashes", "sizes"] = "hashes",
        reading: Literal["mapped", "streamed"] = "mapped",
    ) -> None:
        """Open a cache and check that it is whole.

        Args:
            folder: What ``write_shards`` wrote.
            made_of: What it should be made of; not asked if None.
            check: ``hashes`` reads every byte once, a second or so a gigabyte; ``sizes`` looks at lengths.
            reading: ``mapped`` lets the system keep pages in memory; ``streamed`` reads each sample by one
                call, for network drives where mapping is slow.

        Raises:
            CheckpointError: There is none, it is made of other things, or shards are missing or damaged; all
                of those are named.
        """
        self.folder = Path(folder)
        names = (
            sorted(path.stem for path in self.folder.glob("*.json") if path.name != MADE_OF)
            if self.folder.is_dir()
            else []
        )
        if not names or not (self.folder / MADE_OF).is_file():
            raise CheckpointError(f"{folder} holds no cache of clips: write it first")
        if made_of is not None:
            begin(self.folder, made_of)
        self._reading, self._files = reading, ExitStack()
        self._where: dict[str, tuple[str, list[int]]] = {}
        self.failed: dict[str, str] = {}
        """Why samples that should be here are not."""
        wrong: list[str] = []
        for name in names:
            index = _read_index(self.folder / f"{name}.json")
            path = self.folder / f"{name}.tar"
            if not path.is_file() or path.stat().st_size != index["bytes"]:
                wrong.append(f"{path.name} is missing or cut off")
            elif check == "hashes" and sha256_of(path) != index["sha256"]:
                wrong.append(f"{path.name} is damaged")
            self._where |= {key: (name, place) for key, place in index["samples"].items()}
            self.failed |= index["failed"]
        if wrong:
            raise CheckpointError(
                f"{folder}: {'; '.join(wrong)}: delete each with its .json, and write the cache again to "
                "make only those"
            )
        self._open: dict[str, Any] = {}
        if reading == "mapped":
            self._open = {name: self._mapped(name) for name in names}

    def __len__(self) -> int:
        return len(self._where)

    @property
    def keys(self) -> tuple[str, ...]:
        """Of all samples, shard by shard in the order of writing."""
        return tuple(self._where)

    def __getitem__(self, key: str) -> Sample:
        """One sample.

        Raises:
            ValueError: It is not in the cache; the message says why, if that is known.
        """
        if key not in self._where:
            reason = self.failed.get(key, "it was never written")
            raise ValueError(f"{self.folder} has no sample {key}: {reason}")
        name, (start, length, json_start, json_length) = self._where[key]
        content = self._bytes(name, start, json_start + json_length)
        try:
            tensors = load(content[:length])
        except SafetensorError as error:
            raise ValueError(f"{self.folder}/{name}.tar: sample {key} is damaged: {error}") from error
        return Sample(key, tensors, json.loads(content[json_start - start :]))

    def __iter__(self) -> Iterator[Sample]:
        """All samples from first to last, which reads each shard once from end to end."""
        return (self[key] for key in self._where)

    def close(self) -> None:
        """Close the files."""
        self._files.close()
        self._open = {}

    def _bytes(self, name: str, start: int, stop: int) -> bytes:
        if self._reading == "mapped":
            return self._open[name][start:stop]
        with open(self.folder / f"{name}.tar", "rb") as file:
            file.seek(start)
            return file.read(stop - start)

    def _mapped(self, name: str) -> mmap.mmap:
        with open(self.folder / f"{name}.tar", "rb") as file:
            return self._files.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _read_index(path: Path) -> dict[str, Any]:
    index = _read_json(path)
    if not {"sha256", "bytes", "samples", "failed"} <= set(index):
        raise CheckpointError(f"{path} is damaged: delete it with its .tar, and write the cache again")
    return index


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} is damaged: it holds no object")
    return found
