import os
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from rufous.checkpoints.torch_files import read_torch_file
from rufous.checkpoints.unpickle import Stub, module_tensors
from rufous.core.errors import CheckpointError

TENSORS = {
    "fp32": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "bf16": torch.arange(4).bfloat16(),
    "fp16": torch.arange(4).half(),
    "int64": torch.arange(3),
    "bool": torch.tensor([True, False]),
    "scalar": torch.tensor(1.5),
    "empty": torch.zeros(0, 4),
    "transposed": torch.arange(6.0).reshape(2, 3).T,
    "parameter": nn.Parameter(torch.ones(2)),
}


def rewrite(path: Path, change: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> Path:
    """The same archive with other contents under some names (by their ends)."""
    target = path.with_name("changed.pt")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w", compression) as out:
        for entry in source.infolist():
            end = next((end for end in change if entry.filename.endswith(end)), None)
            out.writestr(entry.filename, source.read(entry) if end is None else change[end])
    return target


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.save({"state_dict": TENSORS}, tmp_path / "model.pt")
    return tmp_path / "model.pt"


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_tensors_of_every_dtype_arrive_as_they_were(zipped: bool, tmp_path: Path):
    torch.save({"state_dict": TENSORS}, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    found = read_torch_file(tmp_path / "m.pt")["state_dict"]
    assert list(found) == list(TENSORS)
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor.detach())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_pickled_module_gives_its_state_dict(zipped: bool, tmp_path: Path):
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.ModuleDict({"a": nn.Linear(3, 2)}))
    torch.save(network, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    found, wanted = module_tensors(read_torch_file(tmp_path / "m.pt")), network.state_dict()
    assert list(found) == list(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("content", [b"hello world\n", b"[1]", b"\x93\xe6\x00" * 99, b"\x80\x02", b"."])
def test_any_other_file_is_told_apart_from_a_damaged_one(content: bytes, tmp_path: Path):
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"neither a file of torch\.save nor a safetensors file"):
        read_torch_file(tmp_path / "other")


def test_tensors_that_share_memory_are_read_once(tmp_path: Path):
    base = torch.arange(8.0)
    torch.save([base, base[2:4]], tmp_path / "m.pt")
    whole, part = read_torch_file(tmp_path / "m.pt")
    assert part.data_ptr() == whole.data_ptr() + 8


def test_a_malicious_file_executes_nothing(tmp_path: Path):
    sentinel = tmp_path / "executed"

    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {sentinel}",)

    for zipped in (True, False):
        content = {"state_dict": {"w": torch.ones(2)}, "hook": Attack()}
        torch.save(content, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
        found = read_torch_file(tmp_path / "m.pt")
        assert isinstance(found["hook"], Stub)
        assert torch.equal(found["state_dict"]["w"], torch.ones(2))
    assert not sentinel.exists()


def test_changes_to_a_tensor_never_reach_the_file(saved: Path):
    before = saved.read_bytes()
    read_torch_file(saved)["state_dict"]["fp32"].zero_()
    assert saved.read_bytes() == before


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_truncated_file_is_refused(zipped: bool, keep: float, tmp_path: Path):
    torch.save({"w": torch.ones(1000)}, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    data = (tmp_path / "m.pt").read_bytes()
    (tmp_path / "m.pt").write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(CheckpointError, match=r"m\.pt"):
        read_torch_file(tmp_path / "m.pt")


def test_a_storage_of_another_length_than_declared_is_refused(saved: Path):
    with pytest.raises(CheckpointError, match="should hold 24 bytes, but has 4"):
        read_torch_file(rewrite(saved, {"data/0": b"\0" * 4}))


def test_compressed_entries_are_refused_so_that_a_small_file_cannot_grow(saved: Path):
    with pytest.raises(CheckpointError, match="compressed"):
        read_torch_file(rewrite(saved, {"data/0": b"\0" * 10**6}, compression=zipfile.ZIP_DEFLATED))


def test_paths_in_the_archive_reach_no_file(saved: Path, tmp_path: Path):
    target = tmp_path / "changed.pt"
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(target, "w") as out:
        for entry in source.infolist():
            out.writestr(entry.filename, source.read(entry))
        out.writestr("../../../escaped", b"evil")
        out.writestr("/absolute", b"evil")
    before = set(tmp_path.rglob("*"))
    assert torch.equal(read_torch_file(target)["state_dict"]["fp32"], TENSORS["fp32"])
    assert set(tmp_path.rglob("*")) == before


def test_two_entries_of_one_name_are_refused(saved: Path, tmp_path: Path):
    target = tmp_path / "changed.pt"
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(target, "w") as out:
        entries = source.infolist()
        for entry in entries:
            out.writestr(entry.filename, source.read(entry))
        with pytest.warns(UserWarning, match="Duplicate name"):
            out.writestr(entries[0].filename, b"another")
    with pytest.raises(CheckpointError, match="two entries of one name"):
        read_torch_file(target)


def test_a_storage_key_is_a_name_in_the_archive_and_nothing_else(saved: Path):
    with zipfile.ZipFile(saved) as source:
        pickle = source.read("model/data.pkl")
    # the key "0" of the first storage, as text of one byte, becomes another path
    changed = pickle.replace(b"X\x01\x00\x00\x000", b"X\x0b\x00\x00\x00../data.pkl", 1)
    assert changed != pickle
    with pytest.raises(CheckpointError, match="storage"):
        read_torch_file(rewrite(saved, {"data.pkl": changed}))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"hello world", "damaged|neither"), (b"PK\x05\x06" + b"\0" * 18, "not one that")],
)
def test_other_files_are_named_as_such(content: bytes, message: str, tmp_path: Path):
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_torch_file(tmp_path / "m.pt")


def test_a_missing_file_and_a_big_endian_one_are_refused(saved: Path, tmp_path: Path):
    with pytest.raises(CheckpointError, match="missing"):
        read_torch_file(tmp_path / "absent.pt")
    with pytest.raises(CheckpointError, match="big-endian"):
        read_torch_file(rewrite(saved, {"byteorder": b"big"}))
