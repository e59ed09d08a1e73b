"""The numbers in a file of one clip: text, ``.npy``, ``.npz``, ``.mat`` or ``.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.arrays import StoredArray, archive_members
from skelcon.data.importers.files import check_file, read_json
from skelcon.data.importers.mat import read_mat
from skelcon.data.importers.own.columns import CONFIDENCE, CONFIDENCES
from skelcon.data.importers.own.description import FilesDescription
from skelcon.data.importers.source import BadLineError
from skelcon.errors import nearest

LARGEST = 1 << 28
"""Bytes of a file of one clip."""
_LONGEST_LINE = 1 << 20


def read_file(
    path: Path, how: FilesDescription, columns: Sequence[str], *, empty: bool = False
) -> NDArray[np.floating]:
    """The array in a file of one clip, or of one frame.

    Args:
        path: the file.
        how: what the files are.
        columns: the names of a joint's numbers, for objects in .json.
        empty: whether the array may have no numbers.

    Raises:
        ValueError: if it is damaged; :class:`BadLineError` if the line is known.
        OSError: if it cannot be read.
    """
    check_file(path, LARGEST)
    kind = path.suffix.lower()
    if kind == ".json":
        keys = how.path.split(".") if how.path else []
        values: NDArray[Any] = array_of(_at(read_json(path), keys), columns)
    elif kind == ".mat":
        arrays = read_mat(path, how.variable, LARGEST)
        values = arrays[chosen(arrays, how.variable)]
    elif kind == ".npy":
        values = whole(StoredArray(path, path.name))
    elif kind == ".npz":
        members = archive_members(path)
        name = chosen(members, how.variable)
        values = whole(StoredArray(path, name, members[name]))
    else:
        values = _text(path, how)
    if values.dtype.kind not in "fiu" or not (values.size or empty):
        raise ValueError("holds no numbers" if values.size == 0 else f"holds {values.dtype}")
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def _text(path: Path, how: FilesDescription) -> NDArray[np.float64]:
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    numbered = [
        (number, line)
        for number, line in enumerate(content.splitlines(), 1)
        if number > how.skip_rows and line.strip() and not line.lstrip().startswith("#")
    ]
    if not numbered:
        raise ValueError("is empty")
    first = numbered[0][1]
    delimiter = next((mark for mark in ";," if mark in first), None)
    lines = [line for _, line in numbered]
    if delimiter == ";" and "," in first:  # a decimal comma
        lines = [line.replace(",", ".") for line in lines]
    if any(len(line) > _LONGEST_LINE for line in lines):
        raise ValueError("has a line of more than a million characters")
    try:
        values = np.loadtxt(lines, delimiter=delimiter, comments=None, ndmin=2)
    except ValueError:
        values = _by_line(zip((number for number, _ in numbered), lines, strict=True), delimiter)
    return values[:, how.skip_columns :]


def _by_line(lines: Any, delimiter: str | None) -> NDArray[np.float64]:
    """Rows in which a value may be empty; says in which line what is not a number."""
    rows: list[list[float]] = []
    for number, line in lines:
        fields = [field.strip() for field in line.split(delimiter)]
        if rows and len(fields) != len(rows[0]):
            raise BadLineError(f"a line of {len(fields)} numbers, not {len(rows[0])}", number)
        row = []
        for field in fields:
            try:
                row.append(number_of(field))
            except ValueError:
                hint = "" if rows else " (--skip-rows, if it is a head)"
                raise BadLineError(f"{field[:24]!a} is not a number{hint}", number) from None
        rows.append(row)
    return np.array(rows)


def number_of(text: str) -> float:
    """A number, or NaN for nothing; ``ValueError`` for anything else."""
    if not text:
        return float("nan")
    if "_" in text or len(text) > 100:
        raise ValueError("not a number")
    return float(text)


def whole(array: StoredArray) -> NDArray[Any]:
    """All rows of an array; ``ValueError`` if it is truncated."""
    rows = list(array.rows(0, array.count))
    if len(rows) < array.count or not rows:
        raise ValueError("is truncated" if array.count else "holds no numbers")
    return np.stack(rows)


def chosen(names: Mapping[str, Any], stated: str | None) -> str:
    """The stated one of ``names``, or the only one; ``ValueError`` if there is none."""
    if stated is None and len(names) == 1:
        return next(iter(names))
    if not names:
        raise ValueError("holds no array of numbers" if stated is None else f"has no '{stated}'")
    if stated is None:
        raise ValueError(f"holds several arrays ({', '.join(sorted(names))}): say --variable")
    if stated not in names:
        raise ValueError(f"has no variable '{stated}': {nearest(stated, names)}")
    return stated


def _at(value: Any, keys: Sequence[str]) -> Any:
    for at, key in enumerate(keys):
        if key == "*":
            if not isinstance(value, list):
                raise ValueError(f"has no list at '{'.'.join(keys[:at]) or 'its top'}'")
            return [_at(each, keys[at + 1 :]) for each in value]
        if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            known = list(value) if isinstance(value, dict) else []
            hint = nearest(key, known) if known else "there is no object"
            raise ValueError(f"has no '{key}': {hint}")
    return value


def array_of(value: Any, columns: Sequence[str]) -> NDArray[np.float64]:
    """Nested lists as an array; an object is the numbers of a joint, null is NaN.

    Raises:
        ValueError: if they are not an array of numbers.
    """
    shape: list[int] = []
    flat: list[Any] = [value]
    while flat and isinstance(flat[0], list | dict):
        rows = [_numbers_of(each, columns) if isinstance(each, dict) else each for each in flat]
        sizes = {len(row) if isinstance(row, list) else -1 for row in rows}
        if len(sizes) != 1 or -1 in sizes:
            known = "frames" if not shape else "joints"
            raise ValueError(f"has {known} of different sizes: its lists are not an array")
        shape.append(sizes.pop())
        if len(shape) > 6:
            raise ValueError("is nested too deep")
        flat = [each for row in rows for each in row]
    if any(isinstance(each, bool) or not isinstance(each, float | None) for each in flat):
        raise ValueError("a coordinate is not a number")
    numbers = [float("nan") if each is None else each for each in flat]
    return np.array(numbers, np.float64).reshape(shape)


def _numbers_of(joint: Mapping[str, Any], columns: Sequence[str]) -> list[Any]:
    """The numbers of an object such as {"x": 0.1, "y": 0.2, "visibility": 0.9}."""
    out = []
    for name in columns:
        names = CONFIDENCES if name == CONFIDENCE else (name,)
        found = next((joint[each] for each in names if each in joint), ...)
        if found is ...:
            raise ValueError(f"a joint has no '{name}': it has {', '.join(map(ascii, joint))[:60]}")
        out.append(found)
    return out
