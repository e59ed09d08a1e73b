"""Sides: the training or the test clips of one protocol, in one array, and their labels.

Where skelcon's export made the arrays a side knows which clips of the export's record it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.arrays import StoredArray
from skelcon.data.importers.labels import Labels, read_lengths
from skelcon.data.importers.source import SkippedFile
from skelcon.data.record import UNUSED, Record

STRETCH = 64
"""Clips that are one item."""
RECORDED = -1


class Frames(NamedTuple):
    """How the clips of an array are laid out: frames, joints and bodies of each."""

    frames: int
    joints: int
    bodies: int


class Stretch(NamedTuple):
    """The clips of one side from ``start`` up to ``stop``; of a record if ``side`` is RECORDED."""

    side: int
    start: int
    stop: int


@dataclass(frozen=True)
class Side:
    """The training clips (``part`` 0) or test clips (1) of a protocol (None if it is not known).

    Attributes:
        clips: their padded coordinates, or why these cannot be read at all.
        labels: their labels, and their names if there are any.
        lengths: the frames of each clip, where a file has them.
        notes: what was not used of the side, beside clips.
        prefix: what clips without a name are called by (``train``).
        where: what messages call its array.
        recorded: which clips of the source's record they are, if it has one.
    """

    protocol: str | None
    part: int
    clips: StoredArray | str
    labels: Labels
    prefix: str
    where: str
    lengths: NDArray[np.int64] | None = None
    notes: tuple[SkippedFile, ...] = ()
    recorded: NDArray[np.int64] | None = None

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


def recorded(sides: list[Side], read: Callable[[], Record | None], where: str) -> list[Side]:
    """The sides with the places of their clips in the record that ``read`` gives.

    Where there is no record, or one that is damaged or of other clips, they have none, and a note
    about ``where`` says why.
    """
    try:
        record = read()
        if record is None:
            return sides
        found = [replace(x, recorded=record.side(x.protocol or "", x.part)) for x in sides]
        if any(len(side.recorded) != side.count for side in found if side.recorded is not None):
            raise ValueError("what skelcon's export wrote is of other clips")
    except (ValueError, OSError) as error:
        note = SkippedFile(where, f"{error}: {UNUSED}", clips=0)
        return [replace(sides[0], notes=(*sides[0].notes, note)), *sides[1:]]
    return found


def places_of(sides: Sequence[Side]) -> list[tuple[int, int]]:
    """(side, position) of each clip in the record's order.

    Empty if there is no record, or an array cannot be read from the middle.
    """
    places: dict[int, tuple[int, int]] = {}
    for number, side in enumerate(sides):
        whole = isinstance(side.clips, StoredArray) and side.clips.seekable
        if side.recorded is None or not whole:
            return []
        for at, clip in enumerate(side.recorded.tolist()):
            places.setdefault(clip, (number, at))
    return [places[clip] for clip in sorted(places)]


def stretches(side: int, count: int, step: int = STRETCH) -> list[Stretch]:
    """All of ``count`` clips, in stretches of ``step``."""
    return [Stretch(side, at, min(at + step, count)) for at in range(0, count, step)]


def runs(places: Sequence[tuple[int, int]]) -> Iterator[Stretch]:
    """Places (side, clip) as stretches of clips that follow each other."""
    start = 0
    for at in range(1, len(places) + 1):
        side, first = places[start]
        if at == len(places) or places[at] != (side, first + at - start):
            yield Stretch(side, first, first + at - start)
            start = at
