from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rufous.checkpoints.tensor_files import ALIGNMENT, read_header, read_tensors, write_tensors
from rufous.core.errors import CheckpointError

TENSORS = {
    "odd": torch.arange(3, dtype=torch.int8),
    "matrix": torch.arange(64.0).reshape(4, 16),
    "half": torch.arange(5).half(),
    "transposed": torch.arange(6.0).reshape(2, 3).T,
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
    "flags": torch.tensor([True, False]),
}


def test_the_library_reads_what_is_written(tmp_path: Path):
    write_tensors(tmp_path / "m.safetensors", TENSORS, metadata={"kind": "test"})
    found = load_file(tmp_path / "m.safetensors")
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())
    assert read_header(tmp_path / "m.safetensors").metadata == {"kind": "test"}


def test_what_the_library_writes_is_read(tmp_path: Path):
    tensors = {name: tensor.contiguous() for name, tensor in TENSORS.items()}
    save_file(tensors, tmp_path / "m.safetensors")
    found = read_tensors(tmp_path / "m.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_only_floating_point_tensors_are_cast(tmp_path: Path):
    write_tensors(tmp_path / "m.safetensors", TENSORS, dtype=torch.bfloat16)
    header = read_header(tmp_path / "m.safetensors")
    assert header.dtypes["matrix"] == torch.bfloat16
    assert header.dtypes["odd"] == torch.int8
    assert header.num_parameters == 64 + 5 + 6 + 1
    assert read_tensors(tmp_path / "m.safetensors", dtype=torch.float32)["half"].dtype == torch.float32


def test_large_tensors_begin_at_whole_lines(tmp_path: Path):
    tensors = {"b": torch.zeros(3), "a": torch.zeros(16), "c": torch.zeros(32)}
    write_tensors(tmp_path / "m.safetensors", tensors)
    found = read_tensors(tmp_path / "m.safetensors")
    assert found["a"].data_ptr() % ALIGNMENT == found["c"].data_ptr() % ALIGNMENT == 0


def test_equal_tensors_make_equal_files(tmp_path: Path):
    write_tensors(tmp_path / "a.safetensors", TENSORS)
    write_tensors(tmp_path / "b.safetensors", dict(reversed(TENSORS.items())))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_weights_in_8_bits_come_back_to_within_half_a_level(tmp_path: Path):
    torch.manual_seed(0)
    wide, convolution = 3 * torch.randn(32, 64), torch.randn(8, 4, 3, 3, 3)
    wide[5] = 0.0
    wide[6] *= 1e-6  # a channel of its own scale loses nothing beside large ones
    tensors = {"a.weight": wide, "b.weight": convolution, "a.bias": torch.randn(32), "odd": TENSORS["odd"]}
    write_tensors(tmp_path / "m.safetensors", tensors, dtype=torch.int8)
    found = read_tensors(tmp_path / "m.safetensors", dtype=torch.float32)
    assert found.keys() == tensors.keys()
    for name in ("a.weight", "b.weight"):
        error, largest = (found[name] - tensors[name]).abs().flatten(1), tensors[name].abs().flatten(1)
        assert bool((error.amax(1) <= 0.5001 * largest.amax(1) / 127).all())
        assert float(error.max()) > 0.0
    assert torch.equal(found["a.bias"], tensors["a.bias"].bfloat16().float())
    assert torch.equal(found["odd"], tensors["odd"])
    header = read_header(tmp_path / "m.safetensors")
    assert header.dtypes["b.weight"] is torch.int8
    assert header.num_parameters == sum(tensors[name].numel() for name in tensors if name != "odd")
    assert load_file(tmp_path / "m.safetensors")["a.weight"].dtype is torch.int8
    asked = read_tensors(tmp_path / "m.safetensors")  # one dtype for the whole network, that of its biases
    assert {asked[name].dtype for name in tensors} == {torch.bfloat16, torch.int8}


def test_what_is_not_finite_is_not_stored_in_8_bits(tmp_path: Path):
    with pytest.raises(
        CheckpointError, match=r"'a\.weight' cannot be stored in 8 bits: a weight is not finite"
    ):
        write_tensors(
            tmp_path / "m.safetensors", {"a.weight": torch.full((2, 2), torch.nan)}, dtype=torch.int8
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [0, 4, 8, 40, -1])
def test_a_truncated_file_is_refused(length: int, tmp_path: Path):
    write_tensors(tmp_path / "m.safetensors", TENSORS)
    data = (tmp_path / "m.safetensors").read_bytes()
    (tmp_path / "m.safetensors").write_bytes(data[:length])
    with pytest.raises(CheckpointError, match=r"m\.safetensors"):
        read_tensors(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"X7","shape":[1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1]}}',
        b'["a"]',
        b'{"a":3}',
        b"{" * 50_000,
    ],
)
def test_a_header_that_contradicts_itself_is_refused(header: bytes, tmp_path: Path):
    content = len(header).to_bytes(8, "little") + header + b"\0" * 4
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"m\.safetensors"):
        read_header(tmp_path / "m.safetensors")


def test_a_header_longer_than_the_file_takes_no_memory(tmp_path: Path):
    (tmp_path / "m.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match="truncated"):
        read_header(tmp_path / "m.safetensors")


def test_complex_numbers_are_not_stored(tmp_path: Path):
    with pytest.raises(CheckpointError, match="complex64"):
        write_tensors(tmp_path / "m.safetensors", {"z": torch.zeros(2, dtype=torch.complex64)})
    assert not list(tmp_path.iterdir())
