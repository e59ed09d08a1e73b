"""One long table: a line for each joint of each body in each frame of each clip.

A CSV file is read once to index the lines of each clip, and clips are then read from their lines: a
table of any size takes little memory. The lines of a clip may be anywhere in the file. A Parquet
file is read as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.own.columns import CONFIDENCE, Columns
from skelcon.data.importers.own.description import SYNONYMS, TableDescription
from skelcon.data.importers.own.facts import (
    ClipFacts,
    facts_from,
    plain,
    whole_number,
)
from skelcon.data.importers.own.frame_files import MOST_BODIES
from skelcon.data.importers.own.readers import number_of
from skelcon.data.importers.own.source import OwnSource
from skelcon.data.importers.own.table_index import Index, index_of_csv, index_of_parquet
from skelcon.data.importers.own.tables import (
    NO_TEXT,
    PARQUET,
    TABLES,
    column_names,
    csv_lines,
    manifest_path,
    not_utf8,
    read_header,
    read_parquet,
    read_rows,
    wrong_count,
)
from skelcon.data.importers.source import BadLineError, Note, RawClip, SkippedFile
from skelcon.errors import UserError, nearest

_MOST_FRAMES = 4
"""Frames of a clip for each that is in the table; more are damage, or no numbers of frames."""
_COORDINATES = ("x", "y", "z")
_COMMON = ("clip", "frame", "joint", *_COORDINATES)


class OwnTable(OwnSource[TableDescription]):
    """A long table, CSV or Parquet, and perhaps a manifest with a line a clip."""

    family = "table"
    title = "a table of own recordings"
    batch = 16

    @classmethod
    def of(cls, description: TableDescription, path: Path, base: Path) -> OwnTable:
        """The table, and its manifest."""
        manifest = None
        if description.manifest is not None:
            manifest = manifest_path(description.manifest, base, path)
        if path.is_dir():
            inside = [each for each in sorted(path.iterdir()) if each.suffix in TABLES]
            inside = [each for each in inside if manifest is None or not each.samefile(manifest)]
            if len(inside) != 1:
                raise UserError(f"'{path}' has {len(inside)} tables: give the path of one")
            (path,) = inside
        files = [path] if manifest is None else [path, manifest]
        return cls(path, files, description, base)

    def __getstate__(self) -> dict[str, Any]:
        # A worker reads its own.
        return {name: value for name, value in self.__dict__.items() if name != "_whole"}

    @property
    def settings(self) -> str:
        """As of :class:`OwnSource`, and how numbers of frames and joints are read."""
        return f"{super().settings} steps"

    @cached_property
    def _called(self) -> dict[str, str]:
        """What the table holds -> its column; ``UserError`` if one is missing."""
        names = column_names(self.path)
        needed = {*_COMMON} - ({"z"} if self.layout.dimensions == 2 else set())
        called = {}
        for key in self.description.takes:
            try:
                name = self.description.find_key(key, names, required=key in needed)
            except ValueError as error:
                raise UserError(f"'{self.path}': {error}") from None
            if name is not None:
                called[key] = name
        return called

    @cached_property
    def _index(self) -> Index:
        if self.path.suffix in PARQUET:
            index = index_of_parquet(self.path, self._whole, self._called)
        else:
            index = index_of_csv(self.path, self._called)
        if not index.clips:
            raise UserError(f"'{self.path}' has no clip")
        return index

    @cached_property
    def _whole(self) -> dict[str, list[str]]:
        """The columns of a Parquet file."""
        return read_parquet(self.path)

    def _facts(self) -> list[ClipFacts]:
        called = {key: self._called[key] for key in SYNONYMS if key in self._called}
        measured = {self._called[key] for key in self._called if key not in SYNONYMS}
        listed = self._listed
        facts = []
        for name, lines in self._index.clips.items():
            values = dict(zip(self._index.columns, lines.first, strict=False))
            values = {column: text for column, text in values.items() if column not in measured}
            values = {column: text for column, text in values.items() if NO_TEXT not in text}
            fact = facts_from(name, values, called)
            if listed is not None and name in listed:
                fact = ClipFacts(name, {**fact.values, **listed[name].values}, listed[name].bad)
            elif listed is not None:
                fact = ClipFacts(name, fact.values, "is not in the manifest")
            facts.append(fact)
        return facts

    @cached_property
    def _listed(self) -> dict[str, ClipFacts] | None:
        """What the manifest says of each clip."""
        if len(self.files) == 1:
            return None
        columns, rows = read_rows(self.files[1])
        called = {}
        for key in ("clip", *SYNONYMS):
            words = self.description.names_of(key) if key != "name" else ()
            if found := next((word for word in words if word in columns), None):
                called[key] = found
        if "clip" not in called:
            raise UserError(
                f"'{self.files[1]}' has no column '{self.description.names_of('clip')[0]}'"
            )
        column = called.pop("clip")
        out = {}
        for row in rows:
            name = row.values.get(column, "")
            out[name] = facts_from(
                name, {k: v for k, v in row.values.items() if k != column}, called, row.bad
            )
        return out

    @cached_property
    def items(self) -> Sequence[str]:
        """The clips' names, in the order in which they begin."""
        return tuple(self._index.clips)

    @cached_property
    def _joint_of(self) -> dict[str, int]:
        """What the table calls a joint -> its index: a name, or a number from 0 or from 1."""
        names = self.layout.joints
        called = self.description.joints
        out = {called.get(name, name): at for at, name in enumerate(names)}
        return {**{str(at + self._base[0]): at for at in range(len(names))}, **out}

    @cached_property
    def _base(self) -> tuple[int, str]:
        """The number of the first joint, 0 or 1, and a note if that is a guess."""
        names = self.layout.joints
        stated = {
            int(text) - names.index(name)
            for name, text in self.description.joints.items()
            if name in names and whole_number(text) is not None
        }
        if stated in ({0}, {1}):
            return stated.pop(), ""
        numbers = {n for text in self._index.joints if (n := whole_number(plain(text))) is not None}
        if 0 in numbers or not numbers:
            return 0, ""
        if len(names) in numbers:
            return 1, ""
        return 1, (
            f"joints are numbered {min(numbers)} to {max(numbers)}, without 0 and {len(names)}: "
            f"taken as from 1, so that 1 is {names[0]}; if 0 is, say joints: {{{names[0]}: 0}} in "
            "a description"
        )

    def read(self, item: str) -> Iterator[RawClip | SkippedFile]:
        """The one clip of that name."""
        fact = self.catalogue.by_name[item]
        rows = _Rows(self._called, self._lines_of(item))
        rows.check_texts()  # first: the facts leave such texts out
        self.catalogue.info(fact)
        labels = rows.texts("label") if "label" in self._called else []
        for number, label in zip(rows.numbers, labels, strict=False):
            if label != labels[0]:
                raise BadLineError("has two labels", number)
        frames = _places_of_frames(rows, self._index.step)
        bodies = rows.codes("body") if "body" in self._called else np.zeros(len(rows), np.int64)
        if bodies.max(initial=0) >= MOST_BODIES:
            raise ValueError(f"has {bodies.max() + 1} bodies")
        joints = self._joints(rows)
        keys = [
            key
            for key in (*_COORDINATES[: self.layout.dimensions], CONFIDENCE)
            if key in self._called
        ]
        shape = int(bodies.max()) + 1, int(frames.max()) + 1, self.layout.num_joints
        at = np.ravel_multi_index((bodies, frames, joints), shape)
        if len(np.unique(at)) < len(at):
            _, first = np.unique(at, return_index=True)
            twice = int(np.setdiff1d(np.arange(len(at)), first)[0])
            raise BadLineError("a joint of a frame appears twice", rows.numbers[twice])
        values = np.full((*shape, len(keys)), np.nan)
        values.reshape(-1, len(keys))[at] = np.stack([rows.floats(key) for key in keys], axis=-1)
        yield self.clip(fact, values, Columns(tuple(keys)))

    def _joints(self, rows: _Rows) -> NDArray[np.int64]:
        known = self._joint_of
        found = [known.get(text, known.get(plain(text), -1)) for text in rows.texts("joint")]
        if -1 in found:
            at = found.index(-1)
            text = rows.texts("joint")[at]
            raise BadLineError(
                f"unknown joint {text[:40]!a}: {nearest(text, self.layout.joints)}",
                rows.numbers[at],
            )
        return np.array(found, np.int64)

    def _lines_of(self, item: str) -> Iterator[tuple[int, dict[str, str]]]:
        """(line, values) of each line of a clip."""
        names = self._index.columns
        lines = self._index.clips[item]
        if self.path.suffix in PARQUET:
            table = self._whole
            for _, first, count in lines.runs:
                for row in range(first - 1, first - 1 + count):
                    yield row + 1, {name: table[name][row] for name in names}
            return
        _, delimiter = read_header(self.path)
        with self.path.open("rb") as file:
            for offset, first, count in lines.runs:
                file.seek(offset)
                for number, _, values in islice(csv_lines(file, delimiter, first), count):
                    if len(values) != len(names):
                        raise BadLineError(wrong_count(values, names), number)
                    yield number, dict(zip(names, map(str.strip, values), strict=True))

    def notes(self, infos: Sequence[Any]) -> Iterator[Note]:
        """Lines that belong to no clip, clips that only the manifest has, and what was guessed."""
        if self._index.step > 1:
            text = f"frames are numbered in steps of {self._index.step:,}: taken as one by one"
            yield Note("frames", text)
        if self._base[1]:
            yield Note("joints", self._base[1])
        if unread := self._index.unread:
            lines = tuple(f"line {number}" for number in unread[:20])
            yield Note("files", f"{len(unread):,} lines of '{self.path.name}' name no clip", lines)
        if self._listed is not None and (lost := sorted({*self._listed} - {*self._index.clips})):
            yield Note("labels", f"{len(lost):,} of the manifest are not in the table", tuple(lost))


class _Rows:
    """The lines of one clip, column by column."""

    def __init__(
        self, called: Mapping[str, str], lines: Iterator[tuple[int, dict[str, str]]]
    ) -> None:
        self._called = called
        self.numbers: list[int] = []
        self._columns: dict[str, list[str]] = {name: [] for name in called.values()}
        for number, values in lines:
            self.numbers.append(number)
            for name, column in self._columns.items():
                column.append(values[name])

    def __len__(self) -> int:
        return len(self.numbers)

    def texts(self, key: str) -> list[str]:
        return self._columns[self._called[key]]

    def check_texts(self) -> None:
        """:class:`BadLineError` for a text that is not UTF-8."""
        for column in self._columns.values():
            for number, text in zip(self.numbers, column, strict=True):
                if NO_TEXT in text:
                    raise BadLineError(not_utf8(text), number)

    def floats(self, key: str) -> NDArray[np.float64]:
        """The numbers of a column, NaN for an empty text; :class:`BadLineError` for other texts."""
        values = []
        for number, text in zip(self.numbers, self.texts(key), strict=True):
            try:
                values.append(number_of(text))
            except ValueError:
                reason = f"{key} is {text[:24]!a}, which is not a number"
                raise BadLineError(reason, number) from None
        return np.array(values)

    def codes(self, key: str) -> NDArray[np.int64]:
        """Texts as numbers from 0, by their first appearance."""
        seen: dict[str, int] = {}
        return np.array([seen.setdefault(plain(text), len(seen)) for text in self.texts(key)])


def _places_of_frames(rows: _Rows, step: int) -> NDArray[np.int64]:
    """The frame of each line, from 0: by number, in steps of ``step``, or times by their order."""
    values = rows.floats("frame")
    if np.isnan(values).any():
        raise BadLineError("has no frame", rows.numbers[int(np.isnan(values).argmax())])
    times, places = np.unique(values, return_inverse=True)
    if not np.array_equal(times, np.round(times)):
        return np.asarray(places.reshape(-1), np.int64)
    if times[-1] - times[0] >= step * max(_MOST_FRAMES * len(times), 1000):
        raise ValueError(f"its {len(times)} frames go from {times[0]:g} to {times[-1]:g}")
    return np.asarray((values - times[0]) / step, np.int64)
