"""What comes with padded clips: labels, in arrays or in pickles, and lengths.

A label that cannot be used is kept as the reason, in words, so that its clip alone is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.arrays import StoredArray
from skelcon.data.importers.plain_pickle import load_plain
from skelcon.data.importers.processes import isolated

Label = int | str
"""A class index, counted from 0, or why there is none."""
LARGEST_CLASS = 1000
"""A label beyond it is damage, not a class."""

_MOST_LABELS = 1 << 22
_LONGEST = 1 << 40
"""Frames: more is damage, not a length."""


@dataclass(frozen=True)
class Labels:
    """The labels of the clips of one array.

    Attributes:
        where: what messages call their file.
        values: one a clip, as far as they can be read.
        names: the clips' names; None if they are lost.
        count: how many there should be.
        columns: the number of classes, where the labels are one-hot rows.
    """

    where: str
    values: Sequence[Label]
    count: int
    names: Sequence[str | None] | None = None
    columns: int | None = None


def label_of(value: object) -> Label:
    """The class index that a value is; whether there is such a class is not checked here."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return f"its label is {type(value).__name__}, not a number"
    if not -LARGEST_CLASS <= value <= LARGEST_CLASS:
        return "its label is beyond all classes"
    return int(value) if value == int(value) else f"its label is {value}"


def one_hot(row: NDArray[np.number]) -> Label:
    """The class index of a row of zeros and a single 1."""
    (marked,) = np.nonzero(row)
    if len(marked) != 1:
        return f"its one-hot label marks {len(marked)} classes"
    if row[marked[0]] != 1:
        return f"its one-hot label holds {row[marked[0]]}"
    return int(marked[0])


def array_labels(array: StoredArray) -> Labels:
    """The labels (N,) or (N, 1) of an array, or its one-hot rows (N, classes).

    Raises:
        ValueError: if it has another shape.
    """
    shape = array.header.shape
    columns = shape[1] if len(shape) == 2 and shape[1] > 1 else None
    if len(shape) > 2 or (columns or 0) > LARGEST_CLASS:
        raise ValueError(f"has shape {shape}: labels are (N,), or one-hot (N, classes)")
    if array.count > _MOST_LABELS:
        raise ValueError(f"has shape {shape}: no data set has as many clips")
    values: list[Label] = []
    damage = "its label cannot be read: the file is truncated"
    try:
        for row in array.rows(0, array.count):
            values.append(one_hot(row) if columns else label_of(row.reshape(-1)[0]))
    except (ValueError, OSError) as error:
        damage = f"its label cannot be read ({error})"
    values += [damage] * (min(array.count, array.whole) - len(values))
    return Labels(array.where, values, array.count, columns=columns)


def pickled_labels(path: Path, where: str) -> Labels:
    """The labels of a pickled pair (names, labels), or of pickled labels alone.

    Raises:
        ValueError, OSError: if the file is damaged, or holds anything else.
    """
    ((names, values),) = isolated(_names_and_labels, path)
    return Labels(where, values, len(values), names)


def _names_and_labels(path: Path) -> Iterator[tuple[list[str | None] | None, list[Label]]]:
    content = load_plain(path)
    names = None
    if isinstance(content, (tuple, list)) and len(content) == 2:
        first, second = (_listed(half) for half in content)
        if first is not None and second is not None:
            names, content = first, second
    values = _listed(content)
    if values is None:
        raise ValueError("holds no (names, labels)")
    if names is not None and len(names) != len(values):
        raise ValueError(f"holds {len(names)} names and {len(values)} labels")
    texts = None if names is None else [str(x) if isinstance(x, str) else None for x in names]
    yield texts, [label_of(value) for value in values]


def _listed(values: object) -> list[object] | None:
    """The entries of a list, a tuple or an array of one axis; None of anything else."""
    if isinstance(values, np.ndarray):
        return list(values.reshape(-1)) if values.size == len(np.atleast_1d(values)) else None
    return list(values) if isinstance(values, (list, tuple)) else None


def read_lengths(open_array: Callable[[], StoredArray], count: int) -> NDArray[np.int64] | str:
    """The numbers of frames of ``count`` padded clips, or why they cannot be used.

    They help, and are not needed: without them the padding itself says where a clip ends.
    """
    try:
        array = open_array()
        if array.header.shape not in ((count,), (count, 1)):
            raise ValueError(f"has shape {array.header.shape} for {count} clips")
        rows = [row.reshape(-1)[0] for row in array.rows(0, count)]
        if len(rows) < count:
            raise ValueError("is truncated")
        if not all(-_LONGEST < row < _LONGEST and row == int(row) for row in rows):
            raise ValueError("holds values that are not numbers of frames")
    except (ValueError, OSError) as error:
        return f"{error}: the clips' lengths are taken from their padding instead"
    return np.array([int(row) for row in rows], np.int64)
