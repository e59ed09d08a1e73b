"""What the layouts of padded arrays share: sides of protocols, and clips cut to their length.

A clip of several protocols is read from the first of them; the others only name it on a side.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import ClipInfo
from skelcon.data.importers import ntu_facts
from skelcon.data.importers.arrays import StoredArray
from skelcon.data.importers.labels import LARGEST_CLASS
from skelcon.data.importers.naming import (
    BY_JOINTS,
    NTU,
    PKUMMD1,
    PKUMMD2,
    dataset_in,
    layout_of,
    own_name,
)
from skelcon.data.importers.ntu_facts import NTU60, NTU120, ntu_info_or_none
from skelcon.data.importers.sides import (
    RECORDED,
    STRETCH,
    Frames,
    Side,
    Stretch,
    places_of,
    recorded,
    runs,
    stretches,
)
from skelcon.data.importers.source import Note, RawClip, SkippedFile, Source
from skelcon.data.layouts import SkeletonLayout
from skelcon.data.record import KEY, Record
from skelcon.data.splits import PROTOCOLS
from skelcon.errors import UserError
from skelcon.printable import counted

CLASSES = {NTU60: 60, NTU120: 120, PKUMMD1: 51, PKUMMD2: 51}


class PaddedSource(Source):
    """Sides of protocols, each an array of padded clips.

    A protocol that no name states is the one of NTU RGB+D with the same sides, if the clips have
    NTU's names, and ``xsub`` otherwise.
    """

    @property
    @abstractmethod
    def _place(self) -> Path:
        """The file or the directory whose name may state the data set."""

    @abstractmethod
    def _sides(self) -> list[Side]:
        """The sides, ordered by protocol."""

    @abstractmethod
    def _frames(self, shape: tuple[int, ...]) -> Frames:
        """What the shape of an array of clips means; ``ValueError`` if it cannot be one."""

    @abstractmethod
    def _arranged(self, stored: NDArray[Any], frames: Frames) -> NDArray[Any]:
        """A clip (M, T, V, 3) as the array has it, padding and all."""

    @abstractmethod
    def _length(self, clip: NDArray[Any], given: int | None) -> int:
        """How many frames of ``clip`` are not padding; ``given`` is what a file of lengths says."""

    @cached_property
    def sides(self) -> list[Side]:
        """All sides; their labels are read when this is first asked for.

        Raises:
            UserError: if an array and its labels cannot be matched, or cannot be read.
        """
        sides = self._sides()
        for side in sides:
            if isinstance(side.clips, StoredArray) and side.clips.count != side.labels.count:
                raise UserError(
                    f"'{self.path}': {side.where} holds {side.clips.count} clips, and there are "
                    f"{side.labels.count} labels for them ({side.labels.where}): they cannot "
                    "be matched"
                )
        return recorded(sides, self._read_record, f"{KEY} of {self._place.name}")

    def _read_record(self) -> Record | None:
        """What skelcon's export wrote beside the arrays; ``ValueError`` if it is damaged."""
        return None

    @cached_property
    def record(self) -> Record | None:
        """What skelcon's export wrote of the data, if these are its clips."""
        return self._read_record() if self.sides[0].recorded is not None else None

    @cached_property
    def layout(self) -> SkeletonLayout:
        """The stated layout, or by the number of joints in the array with most whole clips.

        Raises:
            UserError: if no array can be read, or none has a known number of joints.
        """
        best, found, reasons = -1, None, []
        for side in self.sides:
            try:
                array, frames = self._array(side)
            except ValueError as error:
                reasons.append(str(error))
                continue
            if self.record is not None:
                return self.record.skeleton
            layout = layout_of(frames.joints, self._stated_layout())
            if layout is None:
                known = " or ".join(str(number) for number in sorted(BY_JOINTS))
                reasons.append(f"{side.where} has {frames.joints} joints, known are {known}")
            elif array.whole > best:
                best, found = array.whole, layout
        if found is None:
            raise UserError(f"'{self.path}' cannot be imported: {reasons[0]}")
        return found

    def _stated_layout(self) -> str | None:
        """The name of the layout, where a file states it."""
        return None

    def _array(self, side: Side) -> tuple[StoredArray, Frames]:
        """The clips of a side, and how they are laid out; ``ValueError`` if there are none."""
        if isinstance(side.clips, str):
            raise ValueError(f"{side.where}: {side.clips}")
        try:
            return side.clips, self._frames(side.clips.header.shape)
        except ValueError as error:
            raise ValueError(f"{side.where} {error}") from None

    def _whole(self, side: Side) -> int:
        """How many clips, from the first on, an array has that fits the layout."""
        try:
            array, frames = self._array(side)
        except ValueError:
            return 0
        return array.whole if frames.joints == self.layout.num_joints else 0

    @cached_property
    def name(self) -> str:
        """By the clips' names, else by the path, else what the directory is called."""
        if self.record is not None:
            return self.record.name
        stated = dataset_in(self._place)
        if self._ntu is not None:
            return NTU120 if stated == NTU120 else ntu_facts.dataset_name(self._ntu)
        if stated == NTU:
            return NTU120 if self._labelled_classes > CLASSES[NTU60] else NTU60
        return stated or own_name(self._place)

    @cached_property
    def class_names(self) -> Sequence[str]:
        """The actions of NTU RGB+D where the labels are its actions, else ``class 1`` and so on."""
        if self.record is not None:
            return self.record.class_names
        count = self._columns or CLASSES.get(self.name) or self._labelled_classes
        if self.name in (NTU60, NTU120) and count == CLASSES[self.name]:
            return ntu_facts.class_names(self.name)
        return tuple(f"class {number}" for number in range(1, count + 1))

    @cached_property
    def _columns(self) -> int:
        """The number of classes that one-hot labels have; 0 if there are none."""
        return max((side.labels.columns or 0 for side in self.sides), default=0)

    @cached_property
    def _labelled_classes(self) -> int:
        """The number of classes that the labels need."""
        labels = chain.from_iterable(side.labels.values for side in self.sides)
        known = [value for value in labels if isinstance(value, int) and value < LARGEST_CLASS]
        return max(self._columns, max(known, default=0) + 1)

    @cached_property
    def _ntu(self) -> list[ClipInfo] | None:
        """What NTU's names say, of the clips whose label says the same.

        None if most clips have other names.
        """
        found = []
        named = 0
        for side in self.sides:
            for name, label in zip_longest(side.names, side.labels.values):
                info = ntu_info_or_none(name)
                if info is not None:
                    named += 1
                    found += [info] if info.label == label else []
        return found if 2 * named > sum(side.count for side in self.sides) else None

    @cached_property
    def _wanted(self) -> list[NDArray[np.int64]]:
        """For each side, which of its clips are read there: no earlier protocol has them."""
        before: dict[str, str | None] = {}
        out = []
        for side in self.sides:
            wanted = [
                before.setdefault(name, side.protocol) == side.protocol for name in side.names
            ]
            out.append(np.flatnonzero(wanted))
        return out

    @cached_property
    def items(self) -> Sequence[Stretch]:
        """Stretches of clips, side after side; whole sides where an array is not seekable."""
        assert self.layout  # an error is raised before any work is done
        if self._places:
            return stretches(RECORDED, len(self._places))
        found = []
        for at, (side, wanted) in enumerate(zip(self.sides, self._wanted, strict=True)):
            seekable = isinstance(side.clips, str) or side.clips.seekable
            if not seekable or not side.count:
                found.append(Stretch(at, 0, side.count))
                continue
            for block in np.unique(wanted // STRETCH).tolist():
                stop = min((block + 1) * STRETCH, side.count)
                found.append(Stretch(at, block * STRETCH, stop))
        return found

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        return places_of(self.sides)

    def clips_in(self, item: Stretch) -> int:
        """How many clips are read from a stretch."""
        return item.stop - item.start if item.side == RECORDED else len(self._stretch(item))

    def _stretch(self, item: Stretch) -> NDArray[np.int64]:
        """Which of the clips of a stretch are read."""
        wanted = self._wanted[item.side]
        first, last = np.searchsorted(wanted, (item.start, item.stop))
        return wanted[first:last]

    def name_of(self, item: Stretch) -> str:
        """What a stretch is called where it is bad as a whole."""
        where = "" if item.side == RECORDED else f"{self.sides[item.side].where}, "
        return f"{where}clips {item.start} to {item.stop - 1}"

    def read(self, item: Stretch) -> Iterator[RawClip | SkippedFile]:
        """The clips of a stretch; after damage in the array all that follow are skipped."""
        by_record = item.side == RECORDED
        if item.start == 0:
            sides = self.sides if by_record else [self.sides[item.side]]
            yield from chain.from_iterable(side.notes for side in sides)
        if not by_record:
            yield from self._read(item, set(self._stretch(item).tolist()))
        for run in runs(self._places[item.start : item.stop] if by_record else ()):
            yield from self._read(run, range(run.start, run.stop))

    def _read(self, item: Stretch, wanted: Container[int]) -> Iterator[RawClip | SkippedFile]:
        """The wanted clips of a stretch of a side."""
        side = self.sides[item.side]
        try:
            array, frames = self._array(side)
            if frames.joints != self.layout.num_joints:
                raise ValueError(
                    f"{side.where} has {frames.joints} joints, not {self.layout.num_joints}"
                )
        except ValueError as error:
            places = (at for at in range(item.start, item.stop) if at in wanted)
            yield from (SkippedFile(side.names[at], str(error)) for at in places)
            return
        for at, row in enumerate(array.rows_or_faults(item.start, item.stop), item.start):
            if at not in wanted:
                continue
            try:
                if isinstance(row, str):
                    raise ValueError(row)
                yield self._clip(side, at, self._arranged(row, frames))
            except ValueError as error:
                yield SkippedFile(side.names[at], str(error))

    def _clip(self, side: Side, at: int, clip: NDArray[Any]) -> RawClip:
        """The clip ``at`` of a side, cut to its length; ``ValueError`` if it is bad."""
        info = self._info(side, at)
        given = None if side.lengths is None else int(side.lengths[at])
        length = self._length(clip, given)
        if not length:
            raise ValueError("no body is present in any frame")
        most = self.record.bodies if self.record else len(clip)
        return RawClip(info, _floating(clip[:most, :length]))

    def _info(self, side: Side, at: int) -> ClipInfo:
        """What is known of a clip; ``ValueError`` if its label is not one of the classes."""
        name = side.names[at]
        if at >= len(side.labels.values):
            raise ValueError("has no label: the file of labels is truncated")
        label = side.labels.values[at]
        if isinstance(label, str):
            raise ValueError(label)
        if not 0 <= label < len(self.class_names):
            raise ValueError(f"label {label} is not one of 0 to {len(self.class_names) - 1}")
        if self.record is not None and side.recorded is not None:
            return self.record.info(int(side.recorded[at]), label)
        if self._ntu is not None and (info := ntu_info_or_none(name)) is not None:
            if info.label != label:
                raise ValueError(f"label {label} is not the {info.label} of its name")
            return info
        return ClipInfo(name, label)

    def splits(self, infos: Sequence[ClipInfo]) -> dict[str, NDArray[np.int8]]:
        """Each side's own protocol, and with NTU's names the other protocols of NTU as well."""
        if self.record is not None:
            return self.record.splits_of(infos)
        derived = ntu_facts.protocols(infos, self.name) if self._ntu is not None else {}
        rows: dict[str, NDArray[np.int8]] = {}
        for protocol in dict.fromkeys(side.protocol for side in self.sides):
            row = self._parts(infos, protocol)
            rows[protocol or _same(derived, row) or "xsub"] = row
        return {name: row for name, row in ({**derived, **rows}).items() if (row >= 0).any()}

    def notes(self, infos: Sequence[ClipInfo]) -> Iterator[Note]:
        """Also what was not used of the sides, or is not what it seems."""
        yield from super().notes(infos)
        if self._ntu is not None:
            yield from ntu_facts.beyond_note(i for i in self._ntu if i.name not in self.exclude)
        protocols = dict.fromkeys(side.protocol for side in self.sides)
        for protocol in protocols:
            names = [set(side.names) for side in self.sides if side.protocol == protocol]
            if both := sorted(set.intersection(*names)) if len(names) > 1 else []:
                text = f"{counted(len(both), 'name')} on both sides of {protocol or 'the protocol'}"
                yield Note("splits", text, tuple(both))
        if None in protocols:
            derived = ntu_facts.protocols(infos, self.name) if self._ntu is not None else {}
            if _same(derived, self._parts(infos, None)) is None:
                text = "no name says which protocol the sides are of: they are called xsub"
                yield Note("splits", text)

    def _parts(self, infos: Sequence[ClipInfo], protocol: str | None) -> NDArray[np.int8]:
        """(N,) who trains and who tests in a protocol.

        Clips with the same name are distinguished by their order, if they are read from this
        protocol: by the clips before and after them, and by the clips that are known to be lost.
        """
        read_here = protocol == self.sides[0].protocol
        parts: dict[str, list[tuple[int, int]]] = defaultdict(list)
        place = 0
        for side in self.sides:
            if side.protocol != protocol:
                continue
            labels = side.labels.values
            whole = min(self._whole(side), len(labels)) if read_here else side.count
            for at, name in enumerate(side.names[:whole]):
                if not read_here or isinstance(labels[at], int):
                    parts[name].append((place, side.part))
                    place += 1
        row = np.full(len(infos), -1, np.int8)
        seen: Counter[str] = Counter()
        last = -1
        for at, name in enumerate(info.name for info in infos):
            places = parts.get(name)
            if places is None:
                continue
            if len(places) == 1 or not read_here:
                last, row[at] = places[min(seen[name], len(places) - 1)]
            else:
                last, row[at] = next((entry for entry in places if entry[0] > last), places[-1])
            seen[name] += 1
        return row


def _same(derived: Mapping[str, NDArray[np.int8]], row: NDArray[np.int8]) -> str | None:
    """The protocol with the same sides."""
    return next((name for name in PROTOCOLS if np.array_equal(derived.get(name, ()), row)), None)


def _floating(clip: NDArray[Any]) -> NDArray[np.floating]:
    """``clip`` as float32, or as float64 where that is needed to hold its numbers."""
    narrow = clip.dtype.kind == "f" and clip.dtype.itemsize <= 4
    with np.errstate(all="ignore"):  # what overflows is refused as not finite
        out: NDArray[np.floating] = clip.astype(np.float32 if narrow else np.float64)
    return out
