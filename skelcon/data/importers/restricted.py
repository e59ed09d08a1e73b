"""Foreign pickles, read without running anything in them.

Labels and annotations of skeleton data sets circulate as pickles. A pickle is a program; this is
an interpreter of the part of its language that plain data needs. It calls nothing: a name that a
pickle asks for is looked up in a table of the few that numpy arrays and plain containers are
written with, and what those mean is done here, from checked values (numpy's own ``_reconstruct``
and ``__setstate__`` trust what they are given, flags and object pointers included).

Python's own unpickler under a restricted ``find_class`` would not do: nine bytes (a large index
of its memo) make it fill 32 GB, and a megabyte (a deeply nested key) ends the process.
"""

from __future__ import annotations

import mmap
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

from skelcon.data.importers.files import check_file
from skelcon.data.importers.restricted_values import (
    KNOWN,
    Budget,
    Call,
    RefusedError,
    Unbuilt,
    built,
    shown,
    value_of,
)

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.|$)", re.DOTALL)
_BYTES_OF_A_SET = 200
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "r": "\r", "t": "\t"}


def load_plain(path: Path) -> object:
    """The content of the pickle ``path``, of any protocol, written by Python 2 or 3.

    Arrays of numbers, booleans and strings come back as read-only arrays, object arrays as such;
    numpy's scalars as Python's; an OrderedDict as a dict; strings of Python 2 as Latin-1. Python's
    plain values and containers are themselves.

    Raises:
        ValueError: if the file is no whole pickle, or asks for anything else; in one line.
        OSError: if it cannot be read.
    """
    check_file(path)
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise ValueError("is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            machine = _Machine(content)
            try:
                return machine.run()
            except RefusedError as error:
                raise ValueError(str(error)) from None
            except Exception as error:  # whatever a damaged program leads to
                reason = shown(str(error) or type(error).__name__, 200)
                raise ValueError(f"no whole pickle (byte {machine.at}: {reason})") from None


class _Machine:
    """The stack machine of pickle, less all that makes objects of classes."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content = content
        self.size = len(content)
        self.at = 0
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.unbuilt = 0
        self.budget = Budget(self.size)

    def run(self) -> object:
        """The value that the program leaves on its stack."""
        content, size = self.content, self.size
        handlers = [MethodType(handler, self) for handler in _HANDLERS]
        while self.at < size:
            code = content[self.at]
            self.at += 1
            if code == _STOP:
                if self.unbuilt:
                    raise ValueError("an array without its values")
                return self.stack.pop()
            handlers[code]()
        raise ValueError("the file ends before its pickle does")

    # Reading.

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        end = self.at + count
        if end > self.size:
            raise ValueError(f"{count} bytes are announced and {self.size - self.at} are left")
        taken = self.content[self.at : end]
        self.at = end
        return taken

    def skip(self, count: int) -> None:
        self.at += count

    def push(self, value: object) -> None:
        """Behind :meth:`marked`, which changes what the stack is."""
        self.stack.append(value)

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def line(self) -> bytes:
        end = self.content.find(b"\n", self.at)
        if end < 0:
            raise ValueError("the file ends within a line")
        taken = self.content[self.at : end]
        self.at = end + 1
        return taken

    # Opcodes: numbers and strings.

    def int_line(self) -> None:
        text = self.line()
        self.stack.append(
            {b"00": False, b"01": True}[text] if text in (b"00", b"01") else int(text)
        )

    def signed(self) -> None:
        self.stack.append(int.from_bytes(self.take(4), "little", signed=True))

    def long_line(self) -> None:
        self.stack.append(int(self.line().removesuffix(b"L")))

    def long(self, width: int) -> None:
        self.stack.append(int.from_bytes(self.take(self.number(width)), "little", signed=True))

    def float_line(self) -> None:
        self.stack.append(float(self.line()))

    def float_of_bytes(self) -> None:
        self.stack.append(struct.unpack(">d", self.take(8))[0])

    def string_line(self) -> None:
        """A string literal of Python 2, as its repr() writes it."""
        text = self.line().strip().decode("latin1")
        if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"":
            raise ValueError("a string without its quotes")
        self.stack.append(_ESCAPE.sub(_unescaped, text[1:-1]))

    def string(self, width: int) -> None:
        self.stack.append(self.take(self.number(width)).decode("latin1"))

    def unicode_line(self) -> None:
        text = self.line().decode("raw_unicode_escape")
        text.encode()  # a lone surrogate is no text
        self.stack.append(text)

    def unicode(self, width: int) -> None:
        self.stack.append(self.take(self.number(width)).decode())

    def binary(self, width: int) -> None:
        self.stack.append(self.take(self.number(width)))

    def byte_array(self) -> None:
        self.stack.append(bytearray(self.take(self.number(8))))

    # Opcodes: containers.

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        """What stands above the last mark; the mark is gone."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise ValueError("a tuple of more than there is")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise ValueError("an item for what is no list")
        target.extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise ValueError("an item for what is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self.budget.key(key)] = value

    def dict_of(self) -> None:
        items = self.marked()
        self.stack.append({})
        self.update(items)

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.update([key, value])

    def empty_set(self) -> None:
        self.budget.spend(_BYTES_OF_A_SET)  # one byte of the file
        self.stack.append(set())

    def add(self) -> None:
        items = self.marked()
        target = self.stack[-1]
        if type(target) is not set:
            raise ValueError("an item for what is no set")
        target.update(self.budget.key(item) for item in items)

    # Opcodes: the memo.

    def put(self, index: int) -> None:
        value = self.stack[-1]
        if type(value) is Unbuilt:
            value.places.append(index)
        self.memo[index] = value

    def get(self, index: int) -> None:
        value = self.memo[index]
        if type(value) is Unbuilt:
            raise RefusedError("an array that holds itself: refused")
        self.stack.append(value)

    # Opcodes: names, and what they stand for.

    def name(self, module: str, name: str) -> None:
        known = KNOWN.get((module, name))
        if known is None:
            raise RefusedError(
                f"needs {shown(f'{module}.{name}')}, which is neither a numpy array nor a plain "
                "container: refused"
            )
        self.stack.append(known)

    def name_lines(self) -> None:
        self.name(self.line().decode(), self.line().decode())

    def name_on_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise ValueError("a name that is no string")
        self.name(module, name)

    def instance(self) -> None:
        """Python 2 writes these for objects alone: it is read for what it names."""
        self.name_lines()
        raise RefusedError("makes an instance: refused")

    def reduce(self) -> None:
        """A name and its arguments become what they stand for."""
        arguments, call = self.stack.pop(), self.stack.pop()
        if type(arguments) is not tuple or type(call) is not Call:
            raise ValueError("a call of what cannot be called")
        value = value_of(call, arguments, self.budget)
        self.unbuilt += type(value) is Unbuilt
        self.stack.append(value)

    def build(self) -> None:
        """The state of an array or a dtype makes it whole, wherever it stands."""
        state, target = self.stack.pop(), self.stack.pop()
        if type(target) is not Unbuilt or type(state) is not tuple:
            raise RefusedError("sets the state of an object: refused")
        whole = built(target, state, self.budget)
        self.unbuilt -= 1
        self.stack.append(whole)
        for index in target.places:
            self.memo[index] = whole


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if len(code) == 3 else _ESCAPES[code]


Handler = Callable[[_Machine], None]


def _refusal(code: int) -> Handler:
    def refuse(machine: _Machine) -> None:
        raise RefusedError(f"pickle opcode {bytes([code])!r} makes no plain value: refused")

    return refuse


def _pushing(value: object) -> Handler:
    return lambda m: m.stack.append(value)


_STOP = pickle.STOP[0]
_SOME: dict[bytes, Handler] = {
    pickle.PROTO: lambda m: m.skip(1),
    pickle.FRAME: lambda m: m.skip(8),
    pickle.NONE: _pushing(None),
    pickle.NEWTRUE: _pushing(True),
    pickle.NEWFALSE: _pushing(False),
    pickle.INT: _Machine.int_line,
    pickle.BININT: _Machine.signed,
    pickle.BININT1: lambda m: m.stack.append(m.number(1)),
    pickle.BININT2: lambda m: m.stack.append(m.number(2)),
    pickle.LONG: _Machine.long_line,
    pickle.LONG1: lambda m: m.long(1),
    pickle.LONG4: lambda m: m.long(4),
    pickle.FLOAT: _Machine.float_line,
    pickle.BINFLOAT: _Machine.float_of_bytes,
    pickle.STRING: _Machine.string_line,
    pickle.BINSTRING: lambda m: m.string(4),
    pickle.SHORT_BINSTRING: lambda m: m.string(1),
    pickle.UNICODE: _Machine.unicode_line,
    pickle.SHORT_BINUNICODE: lambda m: m.unicode(1),
    pickle.BINUNICODE: lambda m: m.unicode(4),
    pickle.BINUNICODE8: lambda m: m.unicode(8),
    pickle.SHORT_BINBYTES: lambda m: m.binary(1),
    pickle.BINBYTES: lambda m: m.binary(4),
    pickle.BINBYTES8: lambda m: m.binary(8),
    pickle.BYTEARRAY8: _Machine.byte_array,
    pickle.MARK: _Machine.mark,
    pickle.POP: _Machine.pop,
    pickle.POP_MARK: lambda m: m.marked().clear(),
    pickle.EMPTY_TUPLE: _pushing(()),
    pickle.TUPLE: lambda m: m.push(tuple(m.marked())),
    pickle.TUPLE1: lambda m: m.tuple_of(1),
    pickle.TUPLE2: lambda m: m.tuple_of(2),
    pickle.TUPLE3: lambda m: m.tuple_of(3),
    pickle.EMPTY_LIST: lambda m: m.stack.append([]),
    pickle.LIST: lambda m: m.push(m.marked()),
    pickle.APPEND: lambda m: m.extend([m.stack.pop()]),
    pickle.APPENDS: lambda m: m.extend(m.marked()),
    pickle.EMPTY_DICT: lambda m: m.stack.append({}),
    pickle.DICT: _Machine.dict_of,
    pickle.SETITEM: _Machine.set_item,
    pickle.SETITEMS: lambda m: m.update(m.marked()),
    pickle.EMPTY_SET: _Machine.empty_set,
    pickle.ADDITEMS: _Machine.add,
    pickle.FROZENSET: lambda m: m.push(frozenset(map(m.budget.key, m.marked()))),
    pickle.PUT: lambda m: m.put(int(m.line())),
    pickle.BINPUT: lambda m: m.put(m.number(1)),
    pickle.LONG_BINPUT: lambda m: m.put(m.number(4)),
    pickle.MEMOIZE: lambda m: m.put(len(m.memo)),
    pickle.GET: lambda m: m.get(int(m.line())),
    pickle.BINGET: lambda m: m.get(m.number(1)),
    pickle.LONG_BINGET: lambda m: m.get(m.number(4)),
    pickle.GLOBAL: _Machine.name_lines,
    pickle.STACK_GLOBAL: _Machine.name_on_stack,
    pickle.INST: _Machine.instance,
    pickle.REDUCE: _Machine.reduce,
    pickle.BUILD: _Machine.build,
}
_HANDLERS: list[Handler] = [_SOME.get(bytes([code]), _refusal(code)) for code in range(256)]
