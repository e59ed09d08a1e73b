"""What a plain pickle asks for by name, made here from checked values.

Nothing is left to numpy's own unpickling, which trusts shapes, flags and object pointers.
"""

from __future__ import annotations

import math
import re
from enum import Enum, auto
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Call(Enum):
    """What a pickle may ask for, as an opaque value: there is nothing in it to call or to set."""

    RECONSTRUCT = auto()
    NDARRAY = auto()
    DTYPE = auto()
    SCALAR = auto()
    FROM_BUFFER = auto()
    ENCODE = auto()
    LIST = auto()
    DICT = auto()
    SET = auto()
    FROZENSET = auto()
    BYTES = auto()
    BYTEARRAY = auto()
    COMPLEX = auto()


KNOWN: dict[tuple[str, str], Call] = {
    ("numpy", "ndarray"): Call.NDARRAY,
    ("numpy", "dtype"): Call.DTYPE,
    ("collections", "OrderedDict"): Call.DICT,
    ("_codecs", "encode"): Call.ENCODE,
}
"""Module and name, as numpy 1.x and 2.x and Python 2 and 3 write them."""
for _core in ("numpy.core", "numpy._core"):
    KNOWN[f"{_core}.multiarray", "_reconstruct"] = Call.RECONSTRUCT
    KNOWN[f"{_core}.multiarray", "scalar"] = Call.SCALAR
    KNOWN[f"{_core}.numeric", "_frombuffer"] = Call.FROM_BUFFER
for _builtins in ("builtins", "__builtin__"):
    for _name in ("list", "set", "frozenset", "bytes", "bytearray", "complex"):
        KNOWN[_builtins, _name] = Call[_name.upper()]

_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16|[US]\d{0,6}|O[48]?)")
_ATOMS = (str, bytes, int, float, bool, complex, type(None))
_SLACK = 1 << 16


class RefusedError(Exception):
    """A pickle that is not damaged, but asks for more than plain data."""


def shown(text: str, most: int = 80) -> str:
    """``text`` in one line of printable characters."""
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: most + 1])
    return plain if len(text) <= most else plain[:most] + "..."


class Unbuilt:
    """An array or a dtype whose state is still to come, and where in the memo it stands."""

    __slots__ = ("dtype", "places")

    def __init__(self, dtype: np.dtype[Any] | None = None) -> None:
        self.dtype = dtype
        self.places: list[int] = []


class Budget:
    """Copies of what a file of ``size`` bytes holds, not more of them than it is large.

    A pickle can name a value again and again; what is made of it each time adds up.
    """

    def __init__(self, size: int) -> None:
        self._left = size + _SLACK

    def spend(self, size: int) -> None:
        """Account for a copy of ``size`` bytes or items."""
        self._left -= size
        if self._left < 0:
            raise RefusedError("makes more of its content than the file holds: refused")

    def raw(self, raw: object) -> bytes:
        """Bytes; those of Python 2 are strings."""
        if type(raw) is str:
            self.spend(len(raw))
            return raw.encode("latin1")
        if type(raw) is not bytes:
            raise ValueError("values that are no bytes")
        return raw

    def key(self, value: Any) -> Any:
        """``value``, if to hash it takes no time to speak of, and no depth."""
        parts = value if type(value) is tuple else (value,)
        self.spend(len(parts) - 1)
        for part in parts:
            if type(part) is int and part.bit_length() > 64:
                raise RefusedError("an integer of more than 64 bits as a key: refused")
            if type(part) not in _ATOMS:
                raise RefusedError(f"a key of type {type(part).__name__}: refused")
        return value


def value_of(call: Call, arguments: tuple[Any, ...], budget: Budget) -> object:
    """The value of one of the calls that plain data is written with.

    Raises:
        ValueError, RefusedError: for other arguments than those that a plain pickle has.
    """
    match call, arguments:
        case Call.RECONSTRUCT, (Call.NDARRAY, (0,), _):
            return Unbuilt()
        case Call.DTYPE, (str(code), *rest) if len(rest) <= 2:
            return Unbuilt(_plain_dtype(code))
        case Call.SCALAR, (np.dtype() as dtype, raw):
            return _array_of_bytes(budget.raw(raw), dtype, ())[()].item()
        case Call.FROM_BUFFER, (bytes() | bytearray() as raw, np.dtype() as dtype, shape, *rest):
            return _array_of_buffer(raw, dtype, shape, *rest)
        case Call.ENCODE, (str(text), "latin1" | "latin-1"):
            return budget.raw(text)
        case Call.NDARRAY, (tuple(shape), str(code), bytes() | bytearray() as raw):
            return _array_of_bytes(raw, _plain_dtype(code), shape)
        case Call.LIST, ():
            return []
        case Call.DICT, ():
            return {}
        case Call.DICT, (list(pairs),):
            budget.spend(len(pairs))
            return {budget.key(key): value for key, value in pairs}
        case Call.SET, (list(items),):
            budget.spend(len(items))
            return {budget.key(item) for item in items}
        case Call.FROZENSET, (list(items),):
            budget.spend(len(items))
            return frozenset(budget.key(item) for item in items)
        case Call.BYTES, ():
            return b""
        case Call.BYTEARRAY, ():
            return bytearray()
        case Call.BYTEARRAY, (bytes(raw),):
            budget.spend(len(raw))
            return bytearray(raw)
        case Call.BYTEARRAY, (str(text), "latin-1"):
            return bytearray(budget.raw(text))
        case Call.COMPLEX, (float(real), float(imaginary)):
            return complex(real, imaginary)
    raise ValueError(f"{call.name.lower()} of arguments that it does not take")


def built(target: Unbuilt, state: tuple[Any, ...], budget: Budget) -> object:
    """The dtype or the array that ``target`` becomes by its state; errors as `value_of`."""
    if target.dtype is not None:
        return _dtype_of_state(target.dtype, state)
    _, shape, dtype, fortran, content = state
    if not isinstance(dtype, np.dtype) or type(fortran) not in (bool, int):
        raise ValueError("an array of an unknown kind")
    order = "F" if fortran else "C"
    if dtype.kind != "O":
        return _array_of_bytes(budget.raw(content), dtype, shape, order)
    if type(content) is not list:
        raise RefusedError("needs an array of pointers to objects: refused")
    budget.spend(len(content))
    return _array_of_objects(content, shape, order)


def _plain_dtype(code: str) -> np.dtype[Any]:
    """A dtype of numbers, booleans, strings or objects, in the machine's byte order."""
    if not _DTYPE.fullmatch(code):
        raise RefusedError(f"needs the dtype {shown(code, 30)}, which is not plain: refused")
    return np.dtype("O" if "O" in code else code)


def _dtype_of_state(dtype: np.dtype[Any], state: tuple[Any, ...]) -> np.dtype[Any]:
    """``dtype`` in the byte order of its state, of which nothing else is believed."""
    _, order, *structure = state[:5]
    if any(part is not None for part in structure):
        raise RefusedError("needs a dtype of fields, which is not plain: refused")
    if type(order) is not str or order not in ("<", ">", "=", "|"):
        raise ValueError("a dtype of no byte order")
    return dtype if dtype.kind == "O" else dtype.newbyteorder(order)  # type: ignore[arg-type]


def _count(shape: object) -> int:
    """How many values an array of ``shape`` has."""
    if type(shape) is not tuple or len(shape) > 32:
        raise ValueError("an array of no shape")
    if not all(type(size) is int and 0 <= size < 1 << 63 for size in shape):
        raise ValueError("an array of no size")
    return math.prod(shape)


def _array_of_bytes(
    raw: bytes | bytearray, dtype: np.dtype[Any], shape: Any, order: Any = "C"
) -> NDArray[Any]:
    """The array of ``shape`` whose bytes are exactly ``raw``: a read-only view of them."""
    if dtype.kind == "O" or len(raw) != _count(shape) * dtype.itemsize:
        raise ValueError(f"an array {shape} of {dtype} in {len(raw)} bytes")
    if not dtype.itemsize and shape != ():  # numpy would make such strings one character long
        raise ValueError("an array of nothing")
    values = np.frombuffer(raw, dtype) if raw else np.zeros(shape, dtype)
    if raw and dtype.kind == "U":
        points = np.frombuffer(raw, np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if ((points > 0x10FFFF) | (points >> 11 == 0xD800 >> 11)).any():
            raise ValueError("an array of strings that are no text")
    values = values.reshape(shape, order=order)
    values.flags.writeable = False
    return values


def _array_of_buffer(
    raw: bytes | bytearray, dtype: np.dtype[Any], shape: Any, order: Any = "C", axes: Any = None
) -> NDArray[Any]:
    """What numpy writes by protocol 5."""
    if (
        type(order) is not str
        or order not in ("C", "F", "K")
        or (order == "K") != (type(axes) is tuple)
    ):
        raise ValueError("an array of no order")
    values = _array_of_bytes(raw, dtype, shape, "C" if order == "K" else order)
    return values.transpose(axes) if order == "K" else values


def _array_of_objects(items: list[Any], shape: Any, order: Any) -> NDArray[Any]:
    """An object array of a list."""
    if len(items) != _count(shape):
        raise ValueError(f"an array {shape} of {len(items)} objects")
    values = np.empty(len(items), object)
    for at, item in enumerate(items):
        values[at] = item
    return values.reshape(shape, order=order)
