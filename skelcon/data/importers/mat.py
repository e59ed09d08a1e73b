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


def read_mat(path: Path, variable: str | None, largest: int) -> dict[str, NDArray[Any]]:
    """The arrays of a file by their names: all, or only ``variable``.

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
        _check_elements(path.read_bytes(), largest)
        found = io.loadmat(path, variable_names=None if variable is None else [variable])
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


def _check_elements(content: bytes, largest: int) -> None:
    """Refuse element types that scipy's reader trusts blindly: a wrong one ends the process."""
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise ValueError("no level 5 MAT header")
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
        unknown = {inner for inner, _ in _elements(data, order)} - _NUMERIC
        if unknown:
            raise ValueError(f"unknown element type {min(unknown)}")
