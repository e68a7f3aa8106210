"""A pickle reader that builds tensors and containers and nothing else.

A pickle is a program for a small stack machine, and two of its instructions call whatever the file names.
This module is such a machine in which nothing can be called: names stay names (``Global``), calls become
records (``Stub``), and only the rows of a fixed table (``_BUILDERS``) turn into tensors, dicts and the like.
No class of the file is imported, no ``__reduce__`` or ``__setstate__`` runs. A pickled module is therefore
read without its code, and its weights are found in the recorded state (see ``module_tensors``).

Instructions are parsed by ``pickletools.genops`` of the standard library, which executes nothing.

Source: the documentation of ``pickletools``; the layout of torch's own files.
"""

import math
import mmap
import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import torch
from torch import Tensor

from rufous.core.errors import CheckpointError

MAX_MODULES = 20_000  # far above any network; ends the walk of a module that contains itself many times
MAX_DEPTH = 64  # nesting of modules; published networks have about 10

LoadStorage = Callable[[torch.dtype, str, int], Tensor]
"""``load(dtype, key, num_elements)`` gives a flat tensor of that length, or raises CheckpointError."""


@dataclass(frozen=True)
class Global:
    """A name that the file mentions; never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, repr=False)
class Stub:
    """An object that the file would have made by calling ``kind``; only a record of what it was given."""

    kind: Any
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)
    entries: dict[Any, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"record of {_brief(self.kind)}"

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes that the object would have had, as far as its state is a dict."""
        parts = self.state if isinstance(self.state, tuple) else (self.state,)
        return {
            key: value
            for part in parts
            if isinstance(part, dict)
            for key, value in part.items()
            if isinstance(key, str)
        }


class _Mark:
    """Where a group of stack values begins."""


_MARK = _Mark()

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}


def read_pickle(data: bytes | IO[bytes] | mmap.mmap, load_storage: LoadStorage, *, where: str) -> Any:
    """The object that a torch pickle describes, as tensors, containers, ``Global`` and ``Stub`` records.

    Args:
        data: Bytes of one pickle, or a file that is then left just behind it.
        load_storage: Gives the contents of a storage that the pickle refers to.
        where: Named in errors.

    Raises:
        CheckpointError: The pickle is damaged, or uses an instruction that torch never writes.
    """
    machine = _Machine(load_storage)
    try:
        for opcode, argument, _ in pickletools.genops(data):  # type: ignore[arg-type]  # a mapped file reads alike
            if opcode.name == "STOP":
                return machine.pop()
            machine.run(opcode.name, argument)
    except CheckpointError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{where} is damaged: {error}") from error
    raise CheckpointError(f"{where} is truncated: its pickle has no end")


class _Machine:
    """The stack, the memo and the instructions."""

    def __init__(self, load_storage: LoadStorage) -> None:
        self.load_storage = load_storage
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, name: str, argument: Any) -> None:
        if name in _IGNORED:
            return
        if name in _PUSHED:
            self.stack.append(argument)
        elif name in _MADE:
            self.stack.append(_MADE[name]())
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        else:
            raise CheckpointError(f"the pickle instruction {name} has no place in a file of weights")

    def pop(self) -> Any:
        if not self.stack:
            raise ValueError("the pickle takes more values than it gave")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        for start in range(len(self.stack) - 1, -1, -1):
            if self.stack[start] is _MARK:
                values = self.stack[start + 1 :]
                del self.stack[start:]
                return values
        raise ValueError("the pickle ends a group that it did not begin")

    def top(self) -> Any:
        if not self.stack:
            raise ValueError("the pickle fills a value that it did not make")
        return self.stack[-1]

    def reduce(self, _: Any) -> None:
        """A call: a row of the table, or a record of what would have been called."""
        arguments, called = self.pop(), self.pop()
        self.stack.append(self.call(called, arguments))

    def call(self, called: Any, arguments: Any) -> Any:
        if not isinstance(arguments, tuple):
            raise ValueError("the pickle calls something without a tuple of arguments")
        builder = _BUILDERS.get((called.module, called.name)) if isinstance(called, Global) else None
        return builder(*arguments) if builder else Stub(called, arguments)

    def new_object(self, _: Any) -> None:
        arguments, kind = self.pop(), self.pop()
        self.stack.append(self.call(kind, arguments))

    def new_object_with_keywords(self, _: Any) -> None:
        keywords, arguments, kind = self.pop(), self.pop(), self.pop()
        self.stack.append(Stub(kind, (*arguments, keywords)))

    def object_from_group(self, _: Any) -> None:
        kind, *arguments = self.pop_to_mark()
        self.stack.append(self.call(kind, tuple(arguments)))

    def instance(self, argument: str) -> None:
        self.stack.append(self.call(_global(argument), tuple(self.pop_to_mark())))

    def build(self, _: Any) -> None:
        """State of an object: recorded on a stub; of a tensor or dict it is mere attributes, dropped."""
        state, target = self.pop(), self.top()
        if isinstance(target, Stub):
            target.state = state
        elif not isinstance(target, Tensor | dict):
            raise ValueError(f"the pickle sets the state of a {type(target).__name__}")

    def append(self, values: list[Any]) -> None:
        target = self.top()
        if isinstance(target, Stub):
            target.items.extend(values)
        elif isinstance(target, list):
            target.extend(values)
        else:
            raise ValueError(f"the pickle appends to a {type(target).__name__}")

    def set_items(self, values: list[Any]) -> None:
        target = self.top()
        entries = target.entries if isinstance(target, Stub) else target
        if not isinstance(entries, dict):
            raise ValueError(f"the pickle sets items of a {type(target).__name__}")
        entries.update(_pairs(values))

    def add_items(self, _: Any) -> None:
        values, target = self.pop_to_mark(), self.top()
        if not isinstance(target, set):
            raise ValueError(f"the pickle adds to a {type(target).__name__}")
        target.update(map(_key, values))

    def persistent(self, _: Any) -> None:
        """torch refers to a storage by ``("storage", type, key, location, number of elements)``."""
        reference = self.pop()
        if isinstance(reference, tuple) and len(reference) == 4 and reference[0] == "module":
            self.stack.append(reference[1])  # a class with its source code, in files of before torch 1.6
            return
        if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
            raise ValueError("the pickle refers to something that is no storage")
        _, kind, key, _, count = reference[:5]
        dtype = _STORAGES.get(kind.name) if isinstance(kind, Global) and kind.module in _TORCH else None
        if dtype is None or not isinstance(key, str) or not isinstance(count, int) or count < 0:
            raise ValueError(f"the pickle refers to a storage of an unknown kind: {_brief(kind)}")
        self.stack.append(_Storage(self.load_storage(dtype, key, count)))

    def stack_global(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("the pickle names something by a value that is no text")
        self.stack.append(Global(module, name))

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def put(self, index: int) -> None:
        self.memo[index] = self.top()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise ValueError("the pickle takes more values than it gave")
        values = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        self.stack.append(values)


@dataclass(frozen=True, eq=False)
class _Storage:
    """Flat contents of a storage; becomes a tensor through ``_tensor``."""

    values: Tensor


_TORCH = ("torch", "torch.storage", "torch.cuda")
_IGNORED = {"PROTO", "FRAME"}
_PUSHED = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_MADE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_ACTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "GLOBAL": lambda machine, argument: machine.push(_global(argument)),
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.new_object,
    "NEWOBJ_EX": _Machine.new_object_with_keywords,
    "OBJ": _Machine.object_from_group,
    "INST": _Machine.instance,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "ADDITEMS": _Machine.add_items,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "LIST": lambda machine, _: machine.push(machine.pop_to_mark()),
    "DICT": lambda machine, _: machine.push(dict(_pairs(machine.pop_to_mark()))),
    "FROZENSET": lambda machine, _: machine.push(frozenset(map(_key, machine.pop_to_mark()))),
    "POP": lambda machine, _: machine.pop(),
    "POP_MARK": lambda machine, _: machine.pop_to_mark(),
    "DUP": lambda machine, _: machine.push(machine.top()),
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
}


def _global(argument: str) -> Global:
    module, _, name = argument.partition(" ")
    return Global(module, name)


def _pairs(values: list[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(map(_key, values[::2]), values[1::2], strict=True)


def _key(value: Any) -> Any:
    """``value`` as a key, unless hashing could take forever: each level of tuples hashes the next again."""
    if isinstance(value, tuple | frozenset) and any(isinstance(part, tuple | frozenset) for part in value):
        raise ValueError("the pickle has nested tuples as keys")
    return value


def _brief(value: Any) -> str:
    """A value in an error message; printing a container could take forever."""
    return str(value)[:200] if isinstance(value, Global | str) else type(value).__name__


def _tensor(
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor:
    """A strided view of a storage; torch checks that it lies inside."""
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor is made of something that is no storage")
    count = storage.values.numel()
    if not all(type(length) is int and length >= 0 for length in size) or math.prod(size) > count:
        raise ValueError(f"a tensor of {len(size)} axes does not fit its storage of {count} elements")
    return storage.values.as_strided(size, stride, offset)


def _tensor_of_dtype(
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any
) -> Tensor:
    """The same over untyped bytes; the dtype comes after ``requires_grad`` and the hooks."""
    name = rest[2]
    dtype = getattr(torch, name.name, None) if isinstance(name, Global) and name.module == "torch" else None
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"a tensor has the unknown dtype {_brief(name)}")
    return _tensor(_Storage(storage.values.view(dtype)), offset, size, stride)


def _parameter(data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise ValueError("a parameter is made of something that is no tensor")
    return data


def _subclass(function: Any, _: Any, arguments: Any, state: Any) -> Tensor:
    """A tensor with attributes or of a subclass: the tensor alone."""
    builder = _BUILDERS.get((function.module, function.name)) if isinstance(function, Global) else None
    if builder is None:
        raise ValueError(f"a tensor is made by the unknown {_brief(function)}")
    return _parameter(builder(*arguments))


def _ordered(items: Any = ()) -> dict[Any, Any]:
    return {_key(key): value for key, value in items}


def _encode(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes."""
    if encoding != "latin1":
        raise ValueError(f"bytes are encoded as {encoding}")
    return text.encode("latin1")


_BUILDERS: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_of_dtype,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _subclass,
    ("torch", "Size"): lambda values=(): tuple(values),
    ("collections", "OrderedDict"): _ordered,
    ("builtins", "set"): lambda values=(): set(map(_key, values)),
    ("__builtin__", "set"): lambda values=(): set(map(_key, values)),
    ("builtins", "frozenset"): lambda values=(): frozenset(map(_key, values)),
    ("__builtin__", "frozenset"): lambda values=(): frozenset(map(_key, values)),
    ("_codecs", "encode"): _encode,
}


def module_tensors(root: Stub) -> dict[str, Tensor]:
    """The state dict of a pickled ``nn.Module``, from the recorded state of it and of the modules in it.

    Raises:
        CheckpointError: ``root`` is no module, or holds more modules than a network can.
    """
    if not {"_parameters", "_buffers", "_modules"} <= root.attributes.keys():
        raise CheckpointError(f"the pickled {_brief(root.kind)} is no torch module and holds no weights")
    tensors: dict[str, Tensor] = {}
    pending: list[tuple[str, int, Any]] = [("", 0, root)]
    visited = 0
    while pending:
        prefix, depth, module = pending.pop()
        visited += 1
        if visited > MAX_MODULES or depth > MAX_DEPTH:
            raise CheckpointError("the pickled module contains itself: it is damaged or made to do harm")
        if not isinstance(module, Stub):
            continue  # an absent submodule is stored as None
        attributes = module.attributes
        skipped = attributes.get("_non_persistent_buffers_set") or ()
        tensors |= _direct(attributes, "_parameters", prefix, ())
        tensors |= _direct(attributes, "_buffers", prefix, skipped)
        children = _named(attributes, "_modules")
        pending += [(f"{prefix}{name}.", depth + 1, child) for name, child in reversed(children.items())]
    return tensors


def is_scripted(root: Stub) -> bool:
    """Whether the record is of a module that torchscript saved: its class is named after no real one."""
    return isinstance(root.kind, Global) and root.kind.module.startswith("__torch__")


def scripted_tensors(root: Stub) -> dict[str, Tensor]:
    """The state dict of a torchscript archive: tensors and modules are plain attributes there.

    Raises:
        CheckpointError: It holds more modules than a network can.
    """
    tensors: dict[str, Tensor] = {}
    pending: list[tuple[str, int, Stub]] = [("", 0, root)]
    visited = 0
    while pending:
        prefix, depth, module = pending.pop()
        visited += 1
        if visited > MAX_MODULES or depth > MAX_DEPTH:
            raise CheckpointError("the scripted module contains itself: it is damaged or made to do harm")
        for name, value in module.attributes.items():
            if isinstance(value, Tensor):
                tensors[prefix + name] = value
            elif isinstance(value, Stub) and is_scripted(value):
                pending.append((f"{prefix}{name}.", depth + 1, value))
    return tensors


def _direct(attributes: Mapping[str, Any], key: str, prefix: str, skipped: Any) -> dict[str, Tensor]:
    named = _named(attributes, key)
    return {prefix + k: v for k, v in named.items() if isinstance(v, Tensor) and k not in skipped}


def _named(attributes: Mapping[str, Any], key: str) -> dict[str, Any]:
    values = attributes.get(key)
    values = values.entries if isinstance(values, Stub) else values
    return {k: v for k, v in values.items() if isinstance(k, str)} if isinstance(values, dict) else {}
