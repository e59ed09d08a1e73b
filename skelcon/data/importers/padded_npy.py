"""Padded arrays in ``.npy`` files: the layouts of 2s-AGCN, of ST-GCN, and of 50 resized frames.

Each is ``{train,val}_*.npy`` (N, 3, T, V, M) with ``{train,val}_label.pkl`` beside it, in one
directory per protocol (``xview``, ``xsub``, ...). The path is such a directory, a directory of such
directories, or one of the arrays, which means its directory.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.arrays import StoredArray
from skelcon.data.importers.files import check_file, folders_in, text_of
from skelcon.data.importers.labels import Labels, array_labels, pickled_labels
from skelcon.data.importers.naming import protocol_in
from skelcon.data.importers.padded import PaddedSource
from skelcon.data.importers.padding import given_length, replayed_length, zero_padded_length
from skelcon.data.importers.sides import STRETCH, Frames, Side, opened
from skelcon.data.importers.source import RawClip, Source
from skelcon.data.layouts import KINECT_V2
from skelcon.data.normalise import Normalisation, normalise
from skelcon.data.record import FILE, LARGEST, Record
from skelcon.data.splits import TEST, TRAIN
from skelcon.errors import UserError

PARTS = {"train": TRAIN, "val": TEST}


LAYOUT = "layout.txt"
"""Beside the arrays: the name of their layout. Only an export of skelcon writes it."""
AS_THEY_ARE = "_as_they_are.npy"
"""Beside normalised arrays of an export: the coordinates without what was done for the layout."""
SAME = 1e-4
"""Metres between what an array has and what an export has written there."""


class PaddedNpy(PaddedSource):
    """One such layout; ``array``, ``labels`` and ``lengths`` are the ends of its files' names."""

    array: ClassVar[str]
    labels: ClassVar[tuple[str, ...]] = ("_label.pkl",)
    lengths: ClassVar[str | None] = None

    @classmethod
    def find(cls, path: Path) -> Source | None:
        """The arrays and their labels in a directory, or in the directories in it.

        Raises:
            UserError: if labels are missing, or directories do not belong together.
        """
        if not path.is_dir():
            ours = {f"{part}{cls.array}" for part in PARTS}
            return cls.find(path.parent) if path.name in ours else None
        places = (
            [path]
            if cls._has_array(path)
            else [place for place in folders_in(path) if cls._has_array(place)]
        )
        files = [file for place in places for file in cls._files(place)]
        if len(places) > 1:
            names = [place.name for place in places]
            protocols = [
                place.name if (place / FILE).is_file() else protocol_in(place.name)
                for place in places
            ]
            if None in protocols or len(set(protocols)) < len(protocols):
                raise UserError(
                    f"'{path}' holds several directories of clips ({', '.join(names)}) that are "
                    "not one for each protocol: give the path of one of them"
                )
            if nameless := [file.name for file in files if file.name.endswith("_label.npy")]:
                raise UserError(
                    f"'{path}' holds the clips of several protocols ({', '.join(names)}) without "
                    f"names to join them by ({nameless[0]}): give the path of one of them"
                )
        return cls(path, files) if files else None

    @classmethod
    def _has_array(cls, place: Path) -> bool:
        """Whether there is an array of the family in a directory."""
        return any(os.path.lexists(place / f"{part}{cls.array}") for part in PARTS)

    @classmethod
    def _files(cls, place: Path) -> Iterator[Path]:
        """The files of one directory that are imported; ``UserError`` if one is missing."""
        present = {file.name for file in place.iterdir()}
        for part in PARTS:
            array = f"{part}{cls.array}"
            labels = [name for end in cls.labels if (name := f"{part}{end}") in present]
            if array not in present:
                # (Nothing is missing where another family has the labels' array.)
                if labels and not any(re.match(f"{part}_(data|position).*npy", n) for n in present):
                    raise UserError(f"'{place / labels[0]}' has no clips: {array} is not beside it")
                continue
            if not labels:
                wanted = " or ".join(f"{part}{end}" for end in cls.labels)
                raise UserError(f"'{place / array}' has no labels: {wanted} is not beside it")
            yield place / array
            yield place / labels[0]
            if cls.lengths is not None and f"{part}{cls.lengths}" in present:
                yield place / f"{part}{cls.lengths}"
            if f"{part}{AS_THEY_ARE}" in present:
                yield place / f"{part}{AS_THEY_ARE}"
        yield from (place / name for name in (LAYOUT, FILE) if name in present)

    @property
    def _place(self) -> Path:
        return self.files[0].parent

    def _stated_layout(self) -> str | None:
        for file in self.files:
            if file.name == LAYOUT and file.is_file() and file.stat().st_size < 1000:
                return text_of(file).decode(errors="replace").strip()
        return None

    def _sides(self) -> list[Side]:
        """The sides of each directory, in the order of their files."""
        ours = {f"{part}{self.array}": part for part in PARTS}
        return [self._side(file, ours[file.name]) for file in self.files if file.name in ours]

    @cached_property
    def _exported(self) -> dict[Path, Record]:
        """What an export wrote in each directory; none if not in all of them."""
        files = [file for file in self.files if file.name == FILE]
        for file in files:
            check_file(file, LARGEST)
        records = {file.parent: Record.read(file.read_bytes()) for file in files}
        if files and (
            len(files) < len({file.parent for file in self.files})
            or len({record.of_protocol("").model_dump_json() for record in records.values()}) > 1
        ):
            raise ValueError(f"the directories are not of one export, or {FILE} is missing in some")
        return records

    def _read_record(self) -> Record | None:
        return next(iter(self._exported.values()), None)

    def _protocol(self, place: Path) -> str | None:
        with contextlib.suppress(ValueError, OSError):
            if self._exported:
                return self._exported[place].protocol
        return protocol_in(place.absolute().name)

    def _side(self, array: Path, part: str) -> Side:
        where = os.path.relpath(array, self.path if self.path.is_dir() else array.parent)
        beside = {file.name: file for file in self.files if file.parent == array.parent}
        label = next(beside[name] for end in self.labels if (name := f"{part}{end}") in beside)
        side = Side(
            protocol=self._protocol(array.parent),
            part=PARTS[part],
            clips=opened(partial(StoredArray, array, where)),
            labels=_labels(label, _beside(where, label)),
            prefix=part,
            where=where,
        )
        lengths = beside.get(f"{part}{self.lengths}")
        if lengths is None:
            return side
        name = _beside(where, lengths)
        return side.with_lengths(name, partial(StoredArray, lengths, lengths.name))

    def _frames(self, shape: tuple[int, ...]) -> Frames:
        if len(shape) != 5 or shape[1] != 3 or 0 in shape[1:]:
            raise ValueError(f"has shape {shape}, not (N, 3, T, V, M)")
        return Frames(shape[2], shape[3], shape[4])

    def _arranged(self, stored: NDArray[Any], frames: Frames) -> NDArray[Any]:
        return stored.transpose(3, 1, 2, 0)


class AgcnNpy(PaddedNpy):
    """2s-AGCN, and what is made after it: ``{train,val}_data_joint.npy``.

    Padded by replaying the clip; centred and turned by its makers. ``{train,val}_num_frame.npy``
    holds the lengths, if it exists (the paper's public code writes it, 2s-AGCN does not).
    """

    family = "agcn-npy"
    title = "AGCN npy"
    array = "_data_joint.npy"
    lengths = "_num_frame.npy"

    @property
    def normalised(self) -> Normalisation:
        """All steps; of an export those that its data set had, whose coordinates are given."""
        return Normalisation() if self.record is None else self.record.normalisation

    def _length(self, clip: NDArray[Any], given: int | None) -> int:
        return replayed_length(clip) if given is None else given_length(given, clip)

    def _clip(self, side: Side, at: int, clip: NDArray[Any]) -> RawClip:
        found = super()._clip(side, at, clip)
        if self.record is None:
            return found
        steps = Normalisation().without(self.record.normalisation)
        if not any(wanted for _, wanted in steps):
            return found
        kept = self._as_it_was(side, at)
        again = normalise(kept, self.layout, steps)
        if again.shape != found.coordinates.shape or not np.allclose(
            again, found.coordinates, rtol=SAME, atol=SAME
        ):
            raise ValueError(
                f"has other coordinates than when it was exported: remove {FILE} to import "
                "them as any others"
            )
        return replace(found, coordinates=kept)

    def _as_it_was(self, side: Side, at: int) -> NDArray[Any]:
        """(M, T, V, 3): the coordinates of a clip that its export did not normalise."""
        assert self.record is not None
        assert side.recorded is not None
        place = (self.path if self.path.is_dir() else self.path.parent) / side.where
        file = place.with_name(f"{side.prefix}{AS_THEY_ARE}")
        stored = StoredArray(file, file.name)
        lengths = np.array(self.record.length)[side.recorded] * self.record.bodies
        start, stop = int(lengths[:at].sum()), int(lengths[: at + 1].sum())
        shape = self.layout.num_joints, 3
        if stored.header.shape[1:] != shape or stored.header.dtype != np.float32:
            raise ValueError(f"{file.name} has shape {stored.header.shape}, not (rows, *{shape})")
        rows = list(stored.rows(start, stop))
        if len(rows) < stop - start:
            raise ValueError(f"{file.name} ends before it: the file is truncated")
        return np.stack(rows).reshape(self.record.bodies, -1, *shape)


class StgcnNpy(PaddedNpy):
    """ST-GCN: ``{train,val}_data.npy``, metres as the sensor has them, padded with zeros."""

    family = "stgcn-npy"
    title = "ST-GCN npy"
    array = "_data.npy"

    def _length(self, clip: NDArray[Any], given: int | None) -> int:
        return zero_padded_length(clip)


class Frame50Npy(PaddedNpy):
    """CrosSCLR and what is made after it: ``{train,val}_position.npy``, clips of 50 (64) frames.

    All frames count. The makers' own tools leave labels without names, ``_label.npy`` (N, 1).
    """

    family = "frame50-npy"
    title = "frame50 npy"
    array = "_position.npy"
    labels = ("_label.pkl", "_label.npy")

    @cached_property
    def normalised(self) -> Normalisation:
        """Whether the clips are centred, judged by the first of them.

        The makers' tools centre each body, frame by frame, on its joint between the shoulders. That
        joint is then zero, as if it were absent, and would not move with the others.
        """
        if self.record is not None:
            return self.record.normalisation
        first = islice(chain.from_iterable(map(self.read, self.items[:1])), STRETCH)
        clips = [clip.coordinates for clip in first if isinstance(clip, RawClip)]
        between = KINECT_V2.joints.index("spine_shoulder")
        centres = {*self.layout.at_origin, between} if clips else set()
        for clip in clips:
            main = clip[clip.any(axis=(1, 2, 3)).argmax()]
            centres &= set(np.flatnonzero(~main.any(axis=(0, 2))).tolist())
        return Normalisation(centre=bool(centres), spine_to_z=False, shoulders_to_x=False)

    def _length(self, clip: NDArray[Any], given: int | None) -> int:
        return clip.shape[1] if clip.any() else 0


def _beside(where: str, file: Path) -> str:
    """What messages call a file in the directory of the array that they call ``where``."""
    return str(Path(where).with_name(file.name))


def _labels(path: Path, where: str) -> Labels:
    """The labels in a file; ``UserError`` if there are none that can be read."""
    try:
        if path.suffix == ".npy":
            return array_labels(StoredArray(path, where))
        return pickled_labels(path, where)
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the labels '{path}' cannot be read: {reason}") from None
