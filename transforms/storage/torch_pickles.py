"""The pickles of PyTorch's files of weights, read without running anything that they name.

A pickle is a program that calls what it names. Here an interpreter of its own knows the few
operations that PyTorch writes for a dictionary of tensors. The names of functions and classes are
compared with those of a short table and never looked up.

Source: PyTorch 2, torch/_weights_only_unpickler.py and torch/_utils.py; Python's pickletools.
"""

from __future__ import annotations

import math
import pickletools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

LARGEST = 1 << 24  # bytes of a pickle; that of a model of a thousand tensors is a hundredth
_MOST_OPERATIONS = 1 << 22
_LONGEST_NAME = 200
_NUMBERS = {"Double": "F64", "Float": "F32", "Half": "F16", "BFloat16": "BF16", "Long": "I64"}
_NUMBERS |= {"Int": "I32", "Short": "I16", "Char": "I8", "Byte": "U8", "Bool": "BOOL"}


class Refused(ValueError):
    """What a file of tensors does not have."""


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """So many numbers of a type, in a part of the file that has a key."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A view of a storage: `offset` and `strides` in numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def how_to_convert() -> str:
    """How a file becomes one that is read."""
    return (
        'where PyTorch is, convert it: python -c "import torch; from safetensors.torch import'
        " save_file; weights = torch.load('pytorch_model.bin', weights_only=True);"
        " save_file({k: v.contiguous().clone() for k, v in weights.items()}, 'model.safetensors')\""
    )


def run(stream: BinaryIO, storages: dict[str, Storage] | None = None) -> Any:
    """The value of a pickle; `storages` gets those that it names."""
    machine = _Machine({} if storages is None else storages)
    try:
        for _ in range(_MOST_OPERATIONS):
            name = _NAMES.get(stream.read(1), "of no code")
            if name == "STOP":
                return machine.stack.pop()
            read = _ARGUMENTS.get(name)
            machine.do(name, read(stream) if read else None)
    except Refused:
        raise
    except (ValueError, IndexError, KeyError, TypeError, struct.error) as error:
        raise Refused(f"is not a pickle that PyTorch wrote ({error!s:.80})") from error
    raise Refused("its pickle has more operations than that of any model")


class _Name(str):
    """A function or a class that a pickle names."""


class _Machine:
    """A stack, and what is remembered by number."""

    def __init__(self, storages: dict[str, Storage]):
        self.stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memory: dict[int, Any] = {}
        self._storages = storages

    def do(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _OPERATIONS:
            _OPERATIONS[name](self, argument)
        elif name != "PROTO":
            raise Refused(f"its pickle has the operation {name}, which no file of tensors needs")

    def name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        full = f"{module}.{name}"
        kind = name.removesuffix("Storage")
        if full in _CALLS:
            self.stack.append(_Name(full))
        elif module in ("torch", "torch.storage") and f"{kind}Storage" == name and kind in _NUMBERS:
            self.stack.append(_Name(_NUMBERS[kind]))
        else:
            raise Refused(
                f"names {full}, which a file of tensors does not need and which may run a program;"
                " nothing of it was run; use the model's safetensors file, or another model"
            )

    def call(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not _Name or function not in _CALLS or type(arguments) is not tuple:
            raise Refused("its pickle calls what is no function")
        self.stack.append(_CALLS[function](*arguments))

    def storage(self, _: Any) -> None:
        found = self.stack.pop()
        tag, kind, key, _, count, *view = found
        if tag != "storage" or type(kind) is not _Name or kind not in _NUMBERS.values():
            raise Refused("names a part that is no storage of numbers")
        if type(key) is not str or type(count) is not int or count < 0 or any(view):
            raise Refused(f"has a storage of a kind that is not read; {how_to_convert()}")
        self.stack.append(self._storages.setdefault(key, Storage(str(kind), key, count)))

    def build(self, _: Any) -> None:
        """What belongs to a dictionary beside its tensors is not read."""
        self.stack.pop()
        if type(self.stack[-1]) is not dict:
            raise Refused("its pickle sets the state of what is no dictionary")

    def mark(self, _: Any) -> None:
        self._marked.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        found, self.stack = self.stack, self._marked.pop()
        return found

    def tuple_of(self, count: int | None) -> None:
        if count is None:
            items = self.since_mark()
        else:
            items = self.stack[-count:]
            del self.stack[-count:]
        self.stack.append(tuple(items))

    def append(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise Refused("its pickle appends to what is no list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not dict:
            raise Refused("its pickle puts items into what is no dictionary")
        for key, value in zip(items[::2], items[1::2]):
            if type(key) not in (str, int):  # hashing others may take forever
                raise Refused("has a dictionary whose keys are no names")
            self.stack[-1][key] = value

    def remember(self, number: int) -> None:
        self._memory[number] = self.stack[-1]

    def recall(self, number: int) -> None:
        self.stack.append(self._memory[number])


def _number(form: str) -> Callable[[BinaryIO], Any]:
    size = struct.calcsize(form)
    return lambda stream: struct.unpack(form, stream.read(size))[0]


def _bytes(length: str) -> Callable[[BinaryIO], bytes]:
    """So many as the number before them says. Raises `ValueError` where fewer are left."""
    count = _number(length)

    def read(stream: BinaryIO) -> bytes:
        asked = count(stream)
        if not 0 <= asked <= LARGEST or len(found := stream.read(asked)) < asked:
            raise ValueError("a text is cut off")
        return found

    return read


def _line(stream: BinaryIO) -> str:
    return stream.readline(_LONGEST_NAME).decode().removesuffix("\n")


_NAMES = {opcode.code.encode("latin-1"): opcode.name for opcode in pickletools.opcodes}
_LITERALS: Mapping[str, Callable[[BinaryIO], Any]] = {
    "BININT": _number("<i"),
    "BININT1": _number("B"),
    "BININT2": _number("<H"),
    "BINFLOAT": _number(">d"),
    "LONG1": lambda stream: int.from_bytes(_bytes("B")(stream), "little", signed=True),
    "BINUNICODE": lambda stream: _bytes("<I")(stream).decode(),
    "BINSTRING": lambda stream: _bytes("<i")(stream).decode("latin-1"),
    "SHORT_BINSTRING": lambda stream: _bytes("B")(stream).decode("latin-1"),
}
_ARGUMENTS: Mapping[str, Callable[[BinaryIO], Any]] = {
    **_LITERALS,
    "PROTO": _number("B"),
    "GLOBAL": lambda stream: f"{_line(stream)} {_line(stream)}",
    "BINPUT": _number("B"),
    "LONG_BINPUT": _number("<I"),
    "BINGET": _number("B"),
    "LONG_BINGET": _number("<I"),
}
_CONSTANTS: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_OPERATIONS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "GLOBAL": _Machine.name,
    "REDUCE": _Machine.call,
    "BINPERSID": _Machine.storage,
    "BUILD": _Machine.build,
    "MARK": _Machine.mark,
    "TUPLE": lambda machine, _: machine.tuple_of(None),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
}


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    """Raises `Refused` where a tensor is no part of its storage."""
    numbers = [offset, *shape, *strides]
    if type(storage) is not Storage or type(shape) is not tuple or type(strides) is not tuple:
        raise Refused("has a tensor that is none of a storage")
    if any(type(number) is not int or number < 0 for number in numbers):
        raise Refused("has a tensor whose shape is no numbers")
    size = math.prod(shape)
    last = offset + sum((length - 1) * step for length, step in zip(shape, strides))
    inside = last < storage.count and size <= storage.count
    if len(shape) != len(strides) or len(shape) > 32 or (size and not inside):
        raise Refused("has a tensor that is larger than its storage")
    return Tensor(storage, offset, shape, strides)


def _dictionary() -> dict[Any, Any]:
    return {}


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


_CALLS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _dictionary,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": lambda sizes=(): tuple(sizes) if type(sizes) in (list, tuple) else (),
}
