"""CTR-GCN and its descendants: one ``.npz`` of padded arrays per protocol.

Keys ``x_train``, ``y_train``, ``x_test``, ``y_test``: x is (N, T, M * V * 3), padded with zeros,
y one-hot (N, classes) or class indices (N,). The clips' names are lost, unless the file has
``names_train`` and ``names_test`` (text, (N,)). ``num_frame_train`` and ``num_frame_test`` are the
lengths, if they exist. The protocol is in the file's name (``NTU60_CS.npz``), or in ``protocol``
(text, (1,)); ``layout`` is the name of the joints' layout.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import ClipInfo
from skelcon.data.importers.arrays import StoredArray, archive_members
from skelcon.data.importers.labels import Labels, array_labels
from skelcon.data.importers.naming import dataset_in, protocol_in
from skelcon.data.importers.padded import PaddedSource
from skelcon.data.importers.padding import given_length, zero_padded_length
from skelcon.data.importers.sides import Frames, Side, opened
from skelcon.data.importers.source import Note, SkippedFile, Source, single_file
from skelcon.data.record import DAMAGED, KEY, Record
from skelcon.data.splits import TEST, TRAIN
from skelcon.errors import UserError
from skelcon.printable import counted

PARTS = {"train": TRAIN, "test": TEST}
WIDTHS = {150: (2, 25), 120: (2, 20), 75: (1, 25), 60: (1, 20)}
"""The numbers of a frame -> bodies and joints."""
_LONGEST_NAME = 1 << 12
"""Bytes of a clip's name."""


class CtrgcnNpz(PaddedSource):
    """One ``.npz`` of one protocol, with both sides of it or one."""

    family = "ctrgcn-npz"
    title = "CTR-GCN npz"

    @classmethod
    def find(cls, path: Path) -> Source | None:
        """The file, whatever it is called if it has their keys, or the only one in a directory.

        In a directory a file of another name than theirs (``NTU120_CSub.npz``, ``PKUv1_XSub.npz``)
        counts if its table of contents, a few bytes at its end, has their keys.

        Raises:
            UserError: if a directory has several.
        """
        if not path.is_dir():
            return cls(path, [path]) if path.suffix == ".npz" or _has_keys(path) else None
        found = [file for file in path.glob("*.npz") if _is_one(file)]
        return cls(path, single_file(path, found)) if found else None

    @property
    def _place(self) -> Path:
        return self.files[0]

    @cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        """The arrays of the file; ``UserError`` if it cannot be read."""
        (file,) = self.files
        try:
            return archive_members(file)
        except (ValueError, OSError) as error:
            raise UserError(f"'{file}' cannot be read: {error}") from None

    def _sides(self) -> list[Side]:
        (file,) = self.files
        members = self._members
        parts = [part for part in PARTS if {f"x_{part}", f"y_{part}"} <= set(members)]
        if not parts:
            raise UserError(
                f"'{file}' has neither x_train and y_train nor x_test and y_test; if it is a "
                "recording of your own, say which joints it has: --layout NAME"
            )
        return [self._side(file, members, part) for part in parts]

    def _side(self, file: Path, members: dict[str, zipfile.ZipInfo], part: str) -> Side:
        def array(key: str, kinds: str = "fiu") -> StoredArray:
            return StoredArray(file, f"{key} of {file.name}", members[key], kinds)

        try:
            labels = array_labels(array(f"y_{part}", "biuf"))
        except (ValueError, OSError) as error:
            raise UserError(f"y_{part} of '{file}' cannot be read: {error}") from None
        notes: tuple[SkippedFile, ...] = ()
        names, lengths = f"names_{part}", f"num_frame_{part}"
        if names in members:
            try:
                labels = _named(labels, array(names, "U"))
            except (ValueError, OSError) as error:
                reason = f"{error}: clips are numbered"
                notes = (SkippedFile(f"{names} of {file.name}", reason, clips=0),)
        stated = _text(file, members, "protocol") or ""
        own = stated if KEY in members else None
        side = Side(
            protocol=protocol_in(file.stem) or protocol_in(stated) or own,
            part=PARTS[part],
            clips=opened(lambda: array(f"x_{part}")),
            labels=labels,
            prefix=part,
            where=f"x_{part} of {file.name}",
            notes=notes,
        )
        if lengths not in members:
            return side
        return side.with_lengths(f"{lengths} of {file.name}", lambda: array(lengths))

    def notes(self, infos: Sequence[ClipInfo]) -> Iterator[Note]:
        """Also the arrays of the file that are not used."""
        yield from super().notes(infos)
        (file,) = self.files
        members = self._members
        used = {"layout", "protocol"}
        for part in PARTS:
            if {f"x_{part}", f"y_{part}"} <= set(members):
                used |= {f"{key}_{part}" for key in ("x", "y", "names", "num_frame")}
        if others := sorted(members.keys() - used):
            arrays = counted(len(others), "array")
            text = f"{arrays} of '{file.name}' not used: only train and test are"
            yield Note("arrays", text, tuple(others))

    def _stated_layout(self) -> str | None:
        return _text(self.files[0], self._members, "layout")

    def _read_record(self) -> Record | None:
        if KEY not in self._members:
            return None
        array = StoredArray(self.files[0], KEY, self._members[KEY], "u")
        if array.header.dtype != np.uint8 or array.header.shape[:-1] != (1,):
            raise ValueError(f"{DAMAGED} ({array.header.dtype} {array.header.shape})")
        return Record.read(b"".join(row.tobytes() for row in array.rows(0, 1)))

    def _frames(self, shape: tuple[int, ...]) -> Frames:
        if self.record is not None and len(shape) == 3:
            joints = self.record.skeleton.num_joints
            bodies, rest = divmod(shape[2], joints * 3)
            if not rest and bodies >= self.record.bodies:
                return Frames(shape[1], joints, bodies)
        if len(shape) != 3 or not shape[1] or shape[2] not in WIDTHS:
            known = ", ".join(str(width) for width in WIDTHS)
            raise ValueError(
                f"has shape {shape}, not (N, T, D) with D one of {known}; for other joints say "
                "--layout"
            )
        bodies, joints = WIDTHS[shape[2]]
        return Frames(shape[1], joints, bodies)

    def _arranged(self, stored: NDArray[Any], frames: Frames) -> NDArray[Any]:
        by_frame = stored.reshape(frames.frames, frames.bodies, frames.joints, 3)
        return by_frame.transpose(1, 0, 2, 3)

    def _length(self, clip: NDArray[Any], given: int | None) -> int:
        return zero_padded_length(clip) if given is None else given_length(given, clip)


def _is_one(file: Path) -> bool:
    """Whether a file is of this family, by its name or else by its keys."""
    return bool(protocol_in(file.stem) and dataset_in(Path("/") / file.stem)) or _has_keys(file)


def _has_keys(file: Path) -> bool:
    try:
        members = archive_members(file)
    except (ValueError, OSError):
        return False
    return any({f"x_{part}", f"y_{part}"} <= set(members) for part in PARTS)


def _text(file: Path, members: dict[str, zipfile.ZipInfo], key: str) -> str | None:
    """The text that is the member ``key``, if the file has one."""
    try:
        array = StoredArray(file, key, members[key], "U")
        if array.header.shape[:-1] != (1,) or array.header.row_bytes > _LONGEST_NAME:
            return None
        (text,) = _texts(array, 1)
    except (KeyError, ValueError, OSError):
        return None
    return text


def _texts(array: StoredArray, count: int) -> list[str]:
    """The first ``count`` texts of an array of them, of which a row is the code points."""
    return ["".join(map(chr, row.tolist())).rstrip("\0") for row in array.rows(0, count)]


def _named(labels: Labels, names: StoredArray) -> Labels:
    """``labels`` with the names of an array; ``ValueError`` if it has not one each."""
    if names.header.shape[:-1] != (labels.count,) or names.header.row_bytes > _LONGEST_NAME:
        raise ValueError(f"has shape {names.header.shape[:-1]} for {labels.count} clips")
    texts = _texts(names, labels.count)
    if len(texts) < labels.count:
        raise ValueError("is truncated")
    return Labels(labels.where, labels.values, labels.count, texts, labels.columns)
