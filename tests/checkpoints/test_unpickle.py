import os
import pickle
import struct
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rufous.checkpoints.unpickle import Global, Stub, module_tensors, read_pickle
from rufous.core.errors import CheckpointError


def no_storage(dtype: torch.dtype, key: str, count: int) -> Tensor:
    raise CheckpointError("no storage here")


def read(data: bytes) -> Any:
    return read_pickle(data, no_storage, where="test.pkl")


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[Path]:
    """A file that every attack below would make; its absence shows that nothing ran."""
    path = tmp_path / "executed"
    yield path
    assert not path.exists()


class Calls:
    """Pickles as a call of anything with any arguments, and optionally a state for the result."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.function, self.arguments, self.state = function, arguments, state

    def __reduce__(self) -> tuple[Any, ...]:
        return (self.function, self.arguments, self.state) if self.state else (self.function, self.arguments)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_os_system_is_recorded_and_not_called(sentinel: Path, protocol: int):
    content = read(pickle.dumps({"weights": Calls(os.system, f"touch {sentinel}")}, protocol=protocol))
    assert isinstance(content["weights"], Stub)
    assert content["weights"].kind == Global("posix", "system")
    assert content["weights"].arguments == (f"touch {sentinel}",)


@pytest.mark.parametrize(
    "function", [eval, exec, getattr, __import__, open, compile, type], ids=lambda f: f.__name__
)
def test_no_builtin_is_called(sentinel: Path, function: Any):
    argument = f"open({str(sentinel)!r}, 'w')" if function is not open else str(sentinel)
    more = ("w",) if function is open else ()
    assert isinstance(read(pickle.dumps(Calls(function, argument, *more))), Stub)


def test_a_chain_of_getattr_leads_nowhere(sentinel: Path):
    # the callee of the last call is itself the result of a call
    chain = (
        b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S'touch "
        + str(sentinel).encode()
        + b"'\ntR."
    )
    assert isinstance(read(chain).kind, Stub)


def test_the_opcodes_inst_and_obj_call_nothing(sentinel: Path):
    command = f"touch {sentinel}".encode()
    assert isinstance(read(b"(S'" + command + b"'\nios\nsystem\n."), Stub)
    assert isinstance(read(b"(cos\nsystem\nS'" + command + b"'\no."), Stub)


def test_state_is_recorded_and_no_setstate_runs(sentinel: Path):
    state = Calls(os.system, f"touch {sentinel}")
    content = read(pickle.dumps(Calls(nn.Module, state={"__setstate__": state, "__class__": state})))
    assert set(content.attributes) == {"__setstate__", "__class__"}


@pytest.mark.parametrize(
    "state_of",
    [b"cos\nsystem\n", b"]", b"(t", b"K\x01", b"X\x01\x00\x00\x00a"],
    ids=["global", "list", "tuple", "int", "text"],
)
def test_state_of_anything_but_an_object_is_refused(state_of: bytes):
    with pytest.raises(CheckpointError, match="sets the state of"):
        read(state_of + b"}S'__code__'\nK\x01sb.")


def test_names_of_torch_functions_are_not_functions():
    content = read(b"ctorch.hub\nload\n(S'evil/repo'\nS'model'\ntR.")
    assert content.kind == Global("torch.hub", "load")


@pytest.mark.parametrize(
    "data",
    [b"\x82\x01.", b"Pname\n.", b"\x97.", b"\x98."],
    ids=["extension registry", "text id", "out-of-band buffer", "read-only buffer"],
)
def test_instructions_that_torch_never_writes_are_refused(data: bytes):
    with pytest.raises(CheckpointError):
        read(data)


@pytest.mark.parametrize(
    "reference",
    [
        b"K\x01",
        b"(S'storage'\ncos\nsystem\nS'0'\nS'cpu'\nK\x01t",
        b"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nJ\xff\xff\xff\xfft",
        b"(S'storage'\nctorch\nFloatStorage\n]S'cpu'\nK\x01t",
    ],
    ids=["number", "foreign class", "negative length", "list as key"],
)
def test_persistent_ids_name_storages_only(reference: bytes):
    with pytest.raises(CheckpointError, match="storage"):
        read(reference + b"Q.")


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((10**9, 10**9), (0, 0), 0),
        ((2**40, 2**40), (0, 0), 0),
        ((5,), (1,), 0),
        ((4,), (1,), 1),
        ((-1,), (1,), 0),
    ],
)
def test_a_tensor_stays_inside_its_storage(size: tuple[int, ...], stride: tuple[int, ...], offset: int):
    rebuild = Calls(torch._utils._rebuild_tensor, "STORAGE", offset, size, stride)
    marker = pickle.dumps("STORAGE", protocol=0)[:-1].split(b"\n")[0] + b"\n"
    data = pickle.dumps(rebuild, protocol=0)
    reference = b"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI4\ntQ"
    assert marker in data
    with pytest.raises(CheckpointError):
        read_pickle(data.replace(marker, reference), lambda dtype, key, count: torch.zeros(count), where="x")


def test_nested_tuples_are_no_keys_since_hashing_them_could_take_forever():
    data = b"}(K\x01K\x02t" + b"2\x86" * 60 + b"K\x01s."
    with pytest.raises(CheckpointError, match="nested tuples"):
        read(data)


def test_a_value_that_doubles_a_hundred_times_is_read_as_references():
    assert len(read(b"]" + b"2\x86" * 100 + b".")) == 2


@pytest.mark.parametrize("cut", [1, 5, 20, 40])
def test_a_truncated_pickle_is_refused(cut: int):
    data = pickle.dumps({"a": [1, 2, "three"], "b": (4.0, None)})
    with pytest.raises(CheckpointError):
        read(data[: -min(cut, len(data) - 2)])


def test_random_bytes_are_refused_or_read_but_never_run():
    generator = torch.Generator().manual_seed(0)
    good = pickle.dumps(OrderedDict(a=[1, 2, (3, "x")], b=Calls(os.getpid)), protocol=2)
    for _ in range(300):
        data = bytearray(good)
        for position in torch.randint(0, len(data), (3,), generator=generator).tolist():
            data[position] = int(torch.randint(0, 256, (1,), generator=generator))
        try:
            read(bytes(data))
        except CheckpointError:
            continue


def test_plain_values_arrive_as_they_were():
    value = {
        "n": None, "t": (True, False), "i": [0, -1, 2**40, 2**200], "f": 1.5, "s": "text \u00e9",
        "b": b"bytes", "set": {1, 2}, "frozen": frozenset({"a"}), "order": OrderedDict(z=1, a=2),
        "many": tuple(range(10)), "size": torch.Size([2, 3]),
    }  # fmt: skip
    for protocol in range(2, 6):
        assert read(pickle.dumps(value, protocol=protocol)) == value


def test_a_module_that_contains_itself_is_refused():
    root = Stub(Global("lost", "Net"))
    root.state = {"_parameters": {}, "_buffers": {}, "_modules": {"inner": root}}
    with pytest.raises(CheckpointError, match="contains itself"):
        module_tensors(root)


def test_a_module_of_doubling_references_is_refused():
    module = Stub(Global("lost", "Net"), state={"_parameters": {}, "_buffers": {}, "_modules": {}})
    for _ in range(40):
        outer = {"_parameters": {}, "_buffers": {}, "_modules": {"a": module, "b": module}}
        module = Stub(Global("lost", "Net"), state=outer)
    with pytest.raises(CheckpointError, match="contains itself"):
        module_tensors(module)


def test_an_object_that_is_no_module_holds_no_weights():
    with pytest.raises(CheckpointError, match=r"lost\.Thing.* no torch module"):
        module_tensors(Stub(Global("lost", "Thing"), state={"weights": torch.zeros(2)}))


def test_non_persistent_buffers_are_not_weights():
    state = {
        "_parameters": {"weight": torch.zeros(2), "bias": None},
        "_buffers": {"kept": torch.zeros(1), "mask": torch.zeros(3)},
        "_non_persistent_buffers_set": {"mask"},
        "_modules": {"absent": None},
    }
    assert list(module_tensors(Stub(Global("lost", "Net"), state=state))) == ["weight", "kept"]


def test_a_giant_declared_text_is_a_truncation_and_takes_no_memory():
    with pytest.raises(CheckpointError):
        read(b"X" + struct.pack("<I", 2**32 - 1) + b"short")
    with pytest.raises(CheckpointError):
        read(b"\x8e" + struct.pack("<Q", 2**60) + b"short")
