"""A *side*: one array of padded clips and their labels, who trains or tests in one protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.arrays import StoredArray
from skelcon.data.importers.labels import Labels, read_lengths
from skelcon.data.importers.source import SkippedFile


class Frames(NamedTuple):
    """How the clips of an array are laid out: frames, joints and bodies of each."""

    frames: int
    joints: int
    bodies: int


@dataclass(frozen=True)
class Side:
    """Who trains (``part`` 0) or tests (1) in a protocol (None if nothing says which it is).

    Attributes:
        clips: their padded coordinates, or why these cannot be read at all.
        labels: their labels, and their names if there are any.
        lengths: the frames of each clip, where a file has them.
        notes: what was not used of the side, beside clips.
        prefix: what clips without a name are called by (``train``).
        where: what messages call its array.
    """

    protocol: str | None
    part: int
    clips: StoredArray | str
    labels: Labels
    prefix: str
    where: str
    lengths: NDArray[np.int64] | None = None
    notes: tuple[SkippedFile, ...] = ()

    @cached_property
    def names(self) -> list[str]:
        """The name of each clip for which there is a label."""
        stored = self.labels.names or [None] * self.count
        return [
            name.removesuffix(".skeleton")
            if name and name.isprintable()
            else f"{self.prefix}-{at:05d}"
            for at, name in enumerate(stored[: self.count])
        ]

    @property
    def count(self) -> int:
        """How many clips the side has: as many as labels can be read, or are in the array."""
        whole = self.clips.whole if isinstance(self.clips, StoredArray) else 0
        return max(len(self.labels.values), min(self.labels.count, whole))

    def with_lengths(self, where: str, open_array: Callable[[], StoredArray]) -> Side:
        """The side with the lengths of an array, or with a note that they cannot be used."""
        lengths = read_lengths(open_array, self.labels.count)
        if isinstance(lengths, str):
            return replace(self, notes=(*self.notes, SkippedFile(where, lengths, clips=0)))
        return replace(self, lengths=lengths)


def opened(open_array: Callable[[], StoredArray]) -> StoredArray | str:
    """An array, or why it cannot be read."""
    try:
        return open_array()
    except (ValueError, OSError) as error:
        return str(error)
