"""Arrays of clips: one ``.npz``, or an ``.npy`` file with its labels beside it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.arrays import StoredArray, archive_members
from skelcon.data.importers.labels import one_hot
from skelcon.data.importers.own.axes import OF_CLIPS, Axes, fitting
from skelcon.data.importers.own.columns import Columns
from skelcon.data.importers.own.description import SYNONYMS, ArraysDescription
from skelcon.data.importers.own.facts import (
    MOST_CLASSES,
    ClipFacts,
    facts_from,
    plain,
    unique,
    whole_number,
)
from skelcon.data.importers.own.source import OwnSource
from skelcon.data.importers.own.tables import NO_TEXT, not_utf8
from skelcon.data.importers.padding import given_length, replayed_length
from skelcon.data.importers.sides import STRETCH, Stretch, stretches
from skelcon.data.importers.source import Note, RawClip, SkippedFile
from skelcon.errors import UserError, nearest
from skelcon.printable import counted

_PARTS = ("train", "val", "test")
_MOST_TEXT = 1 << 12


class ArrayPart(NamedTuple):
    """One array of clips.

    Attributes:
        suffix: the end of its keys, such as ``_train``.
        array: the clips.
        first: the position of its first clip among the clips of all arrays.
    """

    suffix: str
    array: StoredArray
    first: int


class OwnArrays(OwnSource[ArraysDescription]):
    """One array of all clips, or one for each side: ``x``, or ``x_train`` and ``x_test``."""

    family = "arrays"
    title = "arrays of own recordings"

    @classmethod
    def of(cls, description: ArraysDescription, path: Path, base: Path) -> OwnArrays:
        """The ``.npz`` or ``.npy`` file, and the files that ``keys`` name."""
        if path.is_dir():
            inside = sorted(path.glob("*.npz")) or sorted(path.glob("*.npy"))
            if len(inside) != 1:
                raise UserError(f"'{path}' has {len(inside)} arrays: give the path of one")
            (path,) = inside
        if path.suffix not in (".npz", ".npy"):
            raise UserError(f"'{path}' is no .npz or .npy file: kind '{description.kind}'")
        stated = description.keys.values()
        beside = [path.parent / name for name in stated if Path(name).suffix in (".npy", ".txt")]
        return cls(path, [path, *beside], description, base)

    @cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        try:
            return archive_members(self.path) if self.path.suffix == ".npz" else {}
        except (ValueError, OSError) as error:
            raise UserError(f"'{self.path}' cannot be read: {error}") from None

    def _open(self, key: str, kinds: str = "fiu") -> StoredArray:
        """The array that is called ``key``: a member of the archive, or a file beside."""
        if self.path.suffix == ".npz" and key in self._members:
            return StoredArray(self.path, f"{key} of {self.path.name}", self._members[key], kinds)
        return StoredArray(self.path.parent / key, key, kinds=kinds)

    def _open_values(self, key: str) -> tuple[StoredArray, bool]:
        """An array of one entry a clip, and whether they are texts."""
        try:
            return self._open(key, "U"), True
        except ValueError:
            return self._open(key, "biuf"), False

    def _key(self, key: str, suffix: str) -> str | None:
        """What the files call ``key`` in a part; ``UserError`` if it is stated and not there."""
        stated = self.description.keys.get(key)
        if stated is not None and Path(stated).suffix in (".npy", ".txt"):
            return stated
        own = [name.removesuffix(suffix) for name in self._members if name.endswith(suffix)]
        try:
            found = self.description.find_key(key, own)
        except ValueError as error:
            raise UserError(f"'{self.path}': {error}") from None
        return None if found is None else found + suffix

    @cached_property
    def parts(self) -> list[ArrayPart]:
        """The arrays of clips; ``UserError`` if there is none."""
        if self.path.suffix == ".npy":
            suffixes, keys = [""], [self.path.name]
        else:
            names = self.description.names_of("x")
            found = [
                (suffix, name + suffix)
                for suffix in ("", *(f"_{part}" for part in _PARTS))
                for name in names
                if name + suffix in self._members
            ]
            found = [each for each in found if each[0] == found[0][0] or found[0][0]]
            suffixes, keys = [suffix for suffix, _ in found], [key for _, key in found]
            if not keys:
                hint = nearest(names[0], self._members) if self._members else "it is empty"
                raise UserError(
                    f"'{self.path}' has no array '{names[0]}' of clips: {hint}; say --key x=NAME"
                )
        out: list[ArrayPart] = []
        for suffix, key in zip(suffixes, keys, strict=True):
            try:
                array = self._open(key)
            except (ValueError, OSError) as error:
                raise UserError(f"'{self.path}': {key}: {error}") from None
            first = out[-1].first + out[-1].array.count if out else 0
            out.append(ArrayPart(suffix, array, first))
        return out

    @cached_property
    def _axes(self) -> tuple[Axes, Columns]:
        """The axes of the arrays, and the columns of a joint; ``UserError`` if they do not fit."""
        shape = self.parts[0].array.header.shape
        joints = self.layout.num_joints
        stated = self.description.axes
        try:
            if stated is not None:
                axes = Axes.parse(stated)
            else:
                sizes = [len(columns.names) for columns in self.possible_columns]
                axes = fitting(OF_CLIPS, shape, joints, sizes)
            for columns in self.possible_columns:
                if _fits(axes, shape, {"V": joints, "C": len(columns.names)}):
                    return axes, columns
            return axes, self.columns_with(axes.sizes(shape, {"V": joints})["C"])
        except ValueError as error:
            raise UserError(f"'{self.path}': {self.parts[0].array.where}: {error}") from None

    def _column(self, key: str, part: ArrayPart) -> list[str] | None:
        """A text for each clip of a part; None if the files have none."""
        name = self._key(key, part.suffix)
        if name is None:
            return None
        count = part.array.count
        try:
            if name.endswith(".txt"):
                path = self.path.parent / name
                values = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
            else:
                values = _texts(*self._open_values(name))
        except (ValueError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"'{self.path}': {name}: {reason}") from None
        damaged = next((at for at, text in enumerate(values) if NO_TEXT in text), None)
        if damaged is not None:
            place = f"line {damaged + 1} of {name}" if name.endswith(".txt") else name
            raise UserError(f"'{self.path}': {place}: {not_utf8(values[damaged])}")
        if len(values) > count or (len(values) < count and count == part.array.whole):
            raise UserError(
                f"'{self.path}': {name} has {len(values)} entries for {count} clips: they cannot "
                "be matched"
            )
        values += [""] * (count - len(values))
        return values if key == "name" else list(map(plain, values))

    @cached_property
    def _columns(self) -> dict[str, list[str]]:
        """What is known of all clips, text for text; what is not known in a part is empty."""
        columns: dict[str, list[str]] = {}
        for part in self.parts:
            for key in SYNONYMS:
                values = self._column(key, part)
                if values is None and key == "split" and part.suffix:
                    values = [part.suffix.removeprefix("_")] * part.array.count
                if values is not None:
                    columns.setdefault(key, [""] * part.first).extend(values)
            for texts in columns.values():
                texts.extend([""] * (part.first + part.array.count - len(texts)))
        if "group" in columns and "setup" in columns:
            raise UserError(
                f"'{self.path}' has both a setup and a group, which mean the same: rename one"
            )
        return columns

    def _facts(self) -> list[ClipFacts]:
        count = self.parts[-1].first + self.parts[-1].array.count
        names = unique(self._columns.get("name", [""] * count))
        known = {key: texts for key, texts in self._columns.items() if key != "name"}
        return [
            facts_from(name, {key: texts[at] for key, texts in known.items()}, {})
            for at, name in enumerate(names)
        ]

    @cached_property
    def _lengths(self) -> list[list[str] | None]:
        lengths = [self._column("lengths", part) for part in self.parts]
        if self.description.padding == "lengths" and None in lengths:
            raise UserError(
                f"'{self.path}': padding lengths, but there are none: --key lengths=NAME"
            )
        return lengths

    def check(self) -> None:
        """As :meth:`OwnSource.check`, and that the arrays have the stated axes."""
        assert self._axes
        assert self._lengths
        super().check()

    @cached_property
    def items(self) -> Sequence[Stretch]:
        """Stretches of clips; a whole part where its array is compressed."""
        out = []
        for at, part in enumerate(self.parts):
            step = STRETCH if part.array.seekable else max(part.array.count, 1)
            out += stretches(at, part.array.count, step)
        return out

    def clips_in(self, item: Stretch) -> int:
        """How many clips a stretch has."""
        return item.stop - item.start

    def name_of(self, item: Stretch) -> str:
        """What a stretch is called where it is bad as a whole."""
        return f"{self.parts[item.side].array.where}, clips {item.start} to {item.stop - 1}"

    def read(self, item: Stretch) -> Iterator[RawClip | SkippedFile]:
        """The clips of a stretch; after damage in the array all that follow are skipped."""
        part, lengths = self.parts[item.side], self._lengths[item.side]
        rows = part.array.rows_or_faults(item.start, item.stop)
        for at, row in enumerate(rows, item.start):
            fact = self.catalogue.facts[part.first + at]
            try:
                if isinstance(row, str):
                    raise ValueError(row)
                yield self._clip(fact, row, lengths, at)
            except ValueError as error:
                yield SkippedFile(fact.name, str(error))

    def _clip(
        self, fact: ClipFacts, row: NDArray[Any], lengths: list[str] | None, at: int
    ) -> RawClip:
        axes, columns = self._axes
        known = {"V": self.layout.num_joints, "C": len(columns.names)}
        values = axes.of_each.arranged(row, known)
        values = values[:, : self._length(columns.coordinates(values), lengths, at)]
        return self.clip(fact, values, columns)

    def _length(self, clip: NDArray[Any], lengths: list[str] | None, at: int) -> int:
        """How many frames of a clip (M, T, V, 2 or 3) are not padding."""
        padding = self.description.padding
        if lengths is not None and padding in (None, "lengths"):
            text = lengths[at]
            length = whole_number(text)
            if length is None:
                raise ValueError(f"its length is '{text}'" if text else "has no length")
            return given_length(length, clip)
        if padding == "replay":
            return replayed_length(clip)
        padded = {
            "zero": clip == 0,
            "nan": np.isnan(clip),
            None: (clip == 0) | np.isnan(clip),
        }[padding if padding != "lengths" else None]
        (there,) = np.nonzero(~padded.all(axis=(0, 2, 3)))
        if not len(there):
            raise ValueError("no body is present in any frame")
        return int(there[-1]) + 1

    def notes(self, infos: Sequence[Any]) -> Iterator[Note]:
        """What was not used: names that say nothing, and arrays."""
        names = self._columns.get("name", [])
        changed = [
            fact.name
            for name, fact in zip(names, self.catalogue.facts, strict=False)
            if name != fact.name
        ]
        if changed:
            reason = "appear twice or cannot be printed: these clips get numbers"
            if len(changed) == 1:
                reason = "appears twice or cannot be printed: this clip gets a number"
            yield Note("names", f"{len(changed):,} {reason}", tuple(changed))
        used = {
            self._key(key, part.suffix) for part in self.parts for key in self.description.takes
        }
        if others := sorted(self._members.keys() - used):
            yield Note("arrays", f"not used: {counted(len(others), 'array')}", tuple(others))


def _fits(axes: Axes, shape: Sequence[int], known: dict[str, int]) -> bool:
    try:
        return bool(axes.sizes(shape, known))
    except ValueError:
        return False


def _texts(array: StoredArray, text: bool) -> list[str]:
    """An array of N numbers or texts, or of one-hot rows, as texts; what is bad is empty.

    Raises:
        ValueError: if it has another shape.
    """
    shape = array.header.shape
    axes = shape[:-1] if text else shape
    if len(axes) > 2 or (text and array.header.row_bytes > _MOST_TEXT):
        raise ValueError(f"has shape {shape}: one entry a clip is wanted")
    columns = axes[1] if len(axes) == 2 and axes[1] > 1 else 0
    if columns > MOST_CLASSES or (columns and text):
        raise ValueError(f"has shape {shape}: one entry a clip is wanted, or one-hot rows")
    out = []
    for row in array.rows(0, array.count):
        if text:
            flat = row.reshape(-1).tolist()
            out.append("".join(map(_character, flat)).rstrip("\0"))
        elif columns:
            label = one_hot(row)
            out.append(str(label) if isinstance(label, int) else "")
        else:
            out.append(_number(row.reshape(-1)[0]))
    return out


def _character(code: int) -> str:
    return chr(code) if code < 0x110000 else "\ufffd"


def _number(value: Any) -> str:
    """A number as text; empty for what can be no label, subject or length."""
    whole = np.isfinite(value) and value == int(value)
    return str(int(value)) if whole else ""
