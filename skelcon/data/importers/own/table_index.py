"""The index of a long table: the lines of each clip, found in one pass before any clip is read."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skelcon.data.importers.own.tables import NO_TEXT, cells, not_utf8, read_header
from skelcon.errors import UserError, nearest

_MEASURED = ("frame", "x", "y", "z", "confidence")
_LARGEST = 1e15


@dataclass
class Lines:
    """The lines of one clip.

    Attributes:
        first: the values of its first line.
        runs: (offset in the file, number of the first line, how many lines) of each stretch; the
            offset is 0 in Parquet.
    """

    first: list[str]
    runs: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True)
class Index:
    """The columns of a table, the lines of each clip, and the texts that stand for joints.

    Attributes:
        columns: the names.
        clips: by their names.
        joints: all texts in the column of the joints.
        unread: the numbers of the lines that name no clip.
        step: the largest number that divides all differences of frames within a clip.
    """

    columns: list[str]
    clips: dict[str, Lines]
    joints: frozenset[str]
    unread: list[int]
    step: int


class _Steps:
    """The common divisor of the differences between a clip's frames, over all clips."""

    def __init__(self) -> None:
        self.divisor = 0
        self._first: dict[str, int] = {}

    def add(self, clip: str, text: str) -> None:
        """One line; a text that is not a whole number is ignored."""
        if self.divisor == 1:
            return
        try:
            value = float(text)
        except ValueError:
            return
        if abs(value) < _LARGEST and value.is_integer():
            frame = int(value)
            self.divisor = math.gcd(self.divisor, frame - self._first.setdefault(clip, frame))


def _find(names: Sequence[str], columns: Sequence[str]) -> int | None:
    return next((columns.index(name) for name in names if name in columns), None)


def _place(names: Sequence[str], columns: Sequence[str], what: str, path: Path) -> int:
    at = _find(names, columns)
    if at is None:
        hint = nearest(names[0], columns)
        raise UserError(f"'{path}': there is no '{names[0]}', the {what}: {hint}")
    return at


def index_of_csv(path: Path, names: Mapping[str, Sequence[str]]) -> Index:
    """The index of a CSV file; ``names`` are what its columns may be called.

    Raises:
        UserError: if the column of clips or joints is missing, or texts are not UTF-8.
    """
    columns, delimiter = read_header(path)
    at, at_joint = (_place(names[key], columns, key, path) for key in ("clip", "joint"))
    at_frame = _find(names["frame"], columns)
    places = {_find(words, columns) for key, words in names.items() if key not in _MEASURED}
    clips: dict[str, Lines] = {}
    joints: set[str] = set()
    unread: list[int] = []
    damaged: dict[int, str] = {}
    steps = _Steps()
    with path.open("rb") as file:
        offset = len(file.readline())
        before = None
        for number, raw in enumerate(file, 2):
            start, offset = offset, offset + len(raw)
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if not line.strip():
                before = None
                continue
            found = cells(line, delimiter)
            if NO_TEXT in line:
                texts = (text for place, text in enumerate(found) if place in places)
                if text := next((text for text in texts if NO_TEXT in text), None):
                    damaged[number] = text
            name = found[at].strip() if at < len(found) else ""
            if not name or not name.isprintable():
                unread.append(number)
                before = None
                continue
            lines = clips.get(name)
            if lines is None:
                lines = clips[name] = Lines([value.strip() for value in found])
            if name == before:
                lines.runs[-1][2] += 1
            else:
                lines.runs.append([start, number, 1])
            if at_joint < len(found):
                joints.add(found[at_joint].strip())
            if at_frame is not None and at_frame < len(found):
                steps.add(name, found[at_frame])
            before = name
    _refuse(path, damaged)
    return Index(columns, clips, frozenset(joints), unread, steps.divisor or 1)


def index_of_parquet(
    path: Path, table: Mapping[str, list[str]], names: Mapping[str, Sequence[str]]
) -> Index:
    """The index of a table in memory, column by column; see :func:`index_of_csv`."""
    columns = list(table)
    labels = table[columns[_place(names["clip"], columns, "clip", path)]]
    joints = table[columns[_place(names["joint"], columns, "joint", path)]]
    at_frame = _find(names["frame"], columns)
    places = {_find(words, columns) for key, words in names.items() if key not in _MEASURED}
    damaged: dict[int, str] = {}
    for place in places:
        if place is None:
            continue
        for number, text in enumerate(table[columns[place]], 1):
            if NO_TEXT in text:
                damaged.setdefault(number, text)
    _refuse(path, damaged)
    clips: dict[str, Lines] = {}
    unread: list[int] = []
    rows: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(labels, 1):
        (rows[name] if name and name.isprintable() else unread).append(number)
    steps = _Steps()
    for name, numbers in rows.items():
        lines = clips[name] = Lines([table[column][numbers[0] - 1] for column in columns])
        for number in numbers:
            if at_frame is not None:
                steps.add(name, table[columns[at_frame]][number - 1])
            if lines.runs and sum(lines.runs[-1][1:]) == number:
                lines.runs[-1][2] += 1
            else:
                lines.runs.append([0, number, 1])
    return Index(columns, clips, frozenset(joints), unread, steps.divisor or 1)


def _refuse(path: Path, damaged: Mapping[int, str]) -> None:
    """:class:`UserError` if several lines have a text that is not UTF-8.

    With one such line only the clip of the line is skipped, when it is read.

    Args:
        path: the table.
        damaged: number of a line -> its text.
    """
    if len(damaged) > 1:
        number = min(damaged)
        raise UserError(f"'{path}', line {number}: {not_utf8(damaged[number])}")
