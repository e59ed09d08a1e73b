"""The labels of padded clips: class indices or one-hot rows in arrays, (names, labels) in pickles.

A label that is none is kept as the reason why, in words, so that its clip alone is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.arrays import StoredArray
from skelcon.data.importers.restricted import load_plain

Label = int | str
"""A class index, counted from 0, or why there is none."""
LARGEST_CLASS = 1000
"""A label beyond it is damage, not a class."""

_MOST_LABELS = 1 << 22


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
    names: Sequence[object] | None = None
    columns: int | None = None


def label_of(value: object) -> Label:
    """The class index that one number says; whether there is such a class is not asked here."""
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


def pickled_labels(path: Path) -> Labels:
    """The labels of a pickled pair (names, labels), or of pickled labels alone.

    Raises:
        ValueError, OSError: if the file is damaged, or holds anything else.
    """
    content = load_plain(path)
    names: list[object] | None = None
    if isinstance(content, (tuple, list)) and len(content) == 2:
        first, second = (_listed(half) for half in content)
        if first is not None and second is not None:
            names, content = first, second
    values = _listed(content)
    if values is None:
        raise ValueError("holds no (names, labels)")
    if names is not None and len(names) != len(values):
        raise ValueError(f"holds {len(names)} names and {len(values)} labels")
    return Labels(path.name, [label_of(value) for value in values], len(values), names)


def _listed(values: object) -> list[object] | None:
    """The entries of a list, a tuple or an array; None if it is nothing of these."""
    if isinstance(values, np.ndarray):
        return list(values.reshape(-1)) if values.size == len(np.atleast_1d(values)) else None
    return list(values) if isinstance(values, (list, tuple)) else None
