"""Foreign pickles, read without running anything in them.

Labels and annotations of skeleton data sets circulate as pickles, and a pickle is a program.
Python's own unpickler runs it here, with a `find_class` that knows plain containers and what
numpy arrays are written with, and nothing else.

Two things that the libraries promise are not enough, and are done here instead:

- numpy's ``_reconstruct``, ``dtype.__setstate__`` and ``ndarray.__setstate__`` trust shapes, flags
  and (of a crafted object array) pointers. `PlainArray` and `_Dtype` check them.
- `pickle` sets the state of whatever is on its stack, functions and classes included. What
  `find_class` returns has no state that can be set.

A pickle can still ask for much memory or time, or nest so deep that the process crashes. It is
therefore read in a process of limited memory and time (`processes.isolated`).
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16|[US]\d{0,6}|O[48]?)")


class RefusedError(ValueError):
    """A pickle that is not damaged, but asks for more than plain data."""


def load_plain(path: Path) -> Any:
    """The content of the pickle ``path``, of any protocol, written by Python 2 or 3.

    Arrays of numbers, booleans and strings are read-only, scalars of numpy become Python's, an
    OrderedDict a dict, and strings of Python 2 are read as Latin-1.

    Raises:
        ValueError: if the file is not a whole pickle, or asks for anything else; in one line.
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        try:
            return _PlainUnpickler(file, encoding="latin1").load()
        except RefusedError as error:
            raise ValueError(f"{error}: refused") from None
        except (OSError, MemoryError):
            raise
        except Exception as error:  # a damaged pickle raises errors of many kinds
            reason = _shown(str(error) or type(error).__name__, 200)
            raise ValueError(f"not a whole pickle ({reason})") from None


class _PlainUnpickler(pickle.Unpickler):
    """Finds what is in `_KNOWN`, and imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            what = _shown(f"{module}.{name}")
            raise RefusedError(
                f"needs {what}, which is neither a numpy array nor a plain container"
            )
        return _KNOWN[module, name]


def _shown(text: str, most: int = 80) -> str:
    """``text`` in one line of printable characters."""
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: most + 1])
    return plain if len(text) <= most else plain[:most] + "..."


class _Function:
    """A function that a pickle may call, and whose state it cannot set."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: object) -> None:
        raise RefusedError("sets the state of a function")


class _Dtype:
    """A dtype of numbers, booleans, strings or objects; its state is a byte order and no more."""

    __slots__ = ("dtype",)

    def __init__(self, code: object, *_: object) -> None:
        if type(code) is not str or not _DTYPE.fullmatch(code):
            raise RefusedError(f"needs the dtype {_shown(str(code), 30)}, which is not plain")
        self.dtype: np.dtype[Any] = np.dtype("O" if "O" in code else code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, *structure = state[:5]
        if any(part is not None for part in structure):
            raise RefusedError("needs a dtype of fields, which is not plain")
        if order not in ("<", ">", "=", "|"):
            raise ValueError("a dtype without a byte order")
        if self.dtype.kind != "O":
            self.dtype = self.dtype.newbyteorder(order)


class PlainArray(np.ndarray[Any, np.dtype[Any]]):
    """An array whose state is checked before numpy sets it."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        if not self.flags.writeable:
            raise RefusedError("sets the state of an array twice")
        if type(content) is str:  # Python 2's bytes
            content = content.encode("latin1")
        plain = _dtype_of(dtype)
        _check_values(content, plain, shape)
        state = 1, shape, plain, bool(fortran), content
        super().__setstate__(state)
        self.flags.writeable = False


def _dtype_of(dtype: object) -> np.dtype[Any]:
    if type(dtype) is not _Dtype:
        raise ValueError("an array without a dtype")
    return dtype.dtype


def _check_values(values: Any, dtype: np.dtype[Any], shape: Any) -> None:
    """Refuse what is not exactly the values of an array: its bytes, or a list of its objects."""
    if type(shape) is not tuple or len(shape) > 32:
        raise ValueError("an array without a shape")
    if not all(type(n) is int and 0 <= n < 1 << 40 for n in shape):
        raise ValueError("an array of a shape that cannot be")
    if dtype.kind == "O":
        if type(values) is not list:
            raise RefusedError("needs an array of pointers to objects")
        whole = len(values) == math.prod(shape)
    elif type(values) in (bytes, bytearray):
        whole = len(values) == math.prod(shape) * dtype.itemsize
    else:
        raise ValueError("an array whose values are not bytes")
    if not whole or (not dtype.itemsize and shape):
        raise ValueError(f"an array {shape} of {dtype} in {len(values)} bytes or objects")
    if dtype.kind == "U":
        points = np.frombuffer(values, np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if (points > 0x10FFFF).any():
            raise ValueError("an array of strings that are not text")


# What a pickle gets when it names numpy's functions.


def _reconstruct(kind: object, shape: object, _: object) -> PlainArray:
    if kind is not _NDARRAY or shape != (0,):
        raise RefusedError("makes an array of another class")
    return PlainArray((0,), np.int8)


def _scalar(dtype: object, raw: object) -> object:
    return _ndarray((), dtype, raw.encode("latin1") if type(raw) is str else raw)[()].item()


def _ndarray(shape: Any, dtype: object, raw: Any) -> NDArray[Any]:
    plain = _dtype_of(_Dtype(dtype) if type(dtype) is str else dtype)
    if plain.kind == "O":
        raise RefusedError("needs an array of pointers to objects")
    _check_values(raw, plain, shape)
    array: NDArray[Any] = np.ndarray(shape, plain, raw) if raw else np.zeros(shape, plain)
    array.flags.writeable = False
    return array


def _frombuffer(
    raw: Any, dtype: object, shape: Any, order: object = "C", axes: Any = None
) -> NDArray[Any]:
    array = _ndarray(shape, dtype, raw)
    if order == "F":
        return array.reshape(-1).reshape(shape, order="F")
    return array.transpose(axes) if order == "K" else array


def _encode(text: object, codec: object) -> bytes:
    if type(text) is not str or codec not in ("latin1", "latin-1"):
        raise RefusedError("needs _codecs.encode with another codec than Latin-1")
    return text.encode("latin1")


def _bytearray(raw: Any = b"", codec: object = "latin-1") -> bytearray:
    return bytearray(_encode(raw, codec) if type(raw) is str else raw)


_NDARRAY = _Function(_ndarray)
_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Function(_Dtype),
    ("collections", "OrderedDict"): dict,
    ("_codecs", "encode"): _Function(_encode),
}
"""Module and name, as numpy 1 and 2 and Python 2 and 3 write them. (No state of a built-in class
can be set, and none of these calls anything.)"""
for _core in ("numpy.core", "numpy._core"):
    _KNOWN[f"{_core}.multiarray", "_reconstruct"] = _Function(_reconstruct)
    _KNOWN[f"{_core}.multiarray", "scalar"] = _Function(_scalar)
    _KNOWN[f"{_core}.numeric", "_frombuffer"] = _Function(_frombuffer)
for _builtins in ("builtins", "__builtin__"):
    for _class in (list, set, frozenset, complex):
        _KNOWN[_builtins, _class.__name__] = _class
    _KNOWN[_builtins, "bytes"] = _Function(lambda: b"")
    _KNOWN[_builtins, "bytearray"] = _Function(_bytearray)
