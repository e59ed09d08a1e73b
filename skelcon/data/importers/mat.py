"""Level 5 MAT files, read without trusting them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Element types of a level 5 MAT file.
_ARRAY, _COMPRESSED, _NUMERIC = 14, 15, {1, 2, 3, 4, 5, 6, 7, 9, 12, 13}
_NUMBERS = range(6, 16)
"""Classes of arrays that hold numbers; others are cells, structures and texts."""
_COMPLEX = 0x800
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PARTS = 4
"""Elements of an array of real numbers: its class and flags, its shape, its name, its numbers."""


def read_mat(path: Path, variable: str | None, largest: int) -> dict[str, NDArray[Any]]:
    """The arrays of numbers in a file by their names: all, or only ``variable``.

    Args:
        path: the file.
        variable: the name of an array.
        largest: bytes; more is refused.

    Raises:
        ValueError: if the file is damaged.
        OSError: if it cannot be read.
    """
    from scipy import io  # takes a quarter of a second, which other commands need not spend

    try:
        names = _checked_names(path.read_bytes(), largest)
        wanted = [name for name in names if variable in (None, name)]
        found = io.loadmat(path, variable_names=wanted)
    except OSError:
        raise
    except Exception as error:  # scipy lets many kinds of error through for a damaged file
        raise ValueError(f"not a readable .mat file ({error})") from None
    return {
        name: values
        for name, values in found.items()
        if isinstance(values, np.ndarray) and not name.startswith("__")
    }


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """The (type, data) of each element of a level 5 MAT file, or of one of its arrays."""
    at = 0
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        if kind >> 16:  # a small element: its data is in its tag
            yield kind & 0xFFFF, content[at + 4 : at + 4 + min(kind >> 16, 4)]
            at += 8
            continue
        if at + 8 + size > len(content):
            raise ValueError("an element is longer than the file")
        yield kind, content[at + 8 : at + 8 + size]
        at += 8 + size + (0 if kind == _COMPRESSED else -size % 8)


def _checked_names(content: bytes, largest: int) -> list[str]:
    """The names of the arrays of numbers in a file; cells, structures and texts are passed over.

    Element types that scipy's reader trusts blindly are refused: a wrong one ends the process.
    """
    if content.startswith(b"MATLAB 7.3") or _HDF5 in (content[:8], content[512:520]):
        raise ValueError("version 7.3 is HDF5: save it with -v7 in MATLAB")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise ValueError("no level 5 MAT header")
    names = []
    for outer, packed in _elements(content[128:], order):
        element = outer, packed
        if outer == _COMPRESSED:
            unpacked = zlib.decompressobj().decompress(packed, largest + 1)
            if len(unpacked) > largest:
                raise ValueError(f"holds more than the {largest >> 20} MiB of any clip")
            element = next(_elements(unpacked, order))
        kind, data = element
        if kind != _ARRAY:
            raise ValueError(f"unknown element type {kind}")
        inner = list(_elements(data, order))
        flags = _flags(inner[0][1], order) if inner else 0
        of_numbers = flags & 0xFF in _NUMBERS
        unknown = {kind for kind, _ in (inner if of_numbers else inner[:3])} - _NUMERIC
        if unknown:
            raise ValueError(f"unknown element type {min(unknown)}")
        if of_numbers and (len(inner) != _PARTS or flags & _COMPLEX):
            raise ValueError(f"an array of {len(inner)} elements does not hold real numbers")
        if of_numbers:
            names.append(inner[2][1].decode("latin1"))
    return names


def _flags(content: bytes, order: str) -> int:
    """The class (the lowest byte) and the flags of an array, by the first of its elements."""
    return int(struct.unpack_from(f"{order}I", content.ljust(4, b"\0"))[0])
