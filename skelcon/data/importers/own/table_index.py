"""The index of a long table: the lines of each clip, found in one pass before any clip is read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from skelcon.data.importers.own.tables import NO_TEXT, csv_lines, not_utf8, read_header
from skelcon.errors import UserError

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


def index_of_csv(path: Path, called: Mapping[str, str]) -> Index:
    """The index of a CSV file.

    Args:
        path: the file.
        called: what the table holds (clip, frame, joint, x, ...) -> the name of its column.

    Raises:
        UserError: if texts are not UTF-8.
    """
    columns, delimiter = read_header(path)
    with path.open("rb") as file:
        file.readline()
        return _index(path, columns, csv_lines(file, delimiter, 2), called)


def index_of_parquet(
    path: Path, table: Mapping[str, list[str]], called: Mapping[str, str]
) -> Index:
    """The index of a table in memory, column by column; see :func:`index_of_csv`."""
    rows = enumerate(zip(*table.values(), strict=True), 1)
    return _index(path, list(table), ((number, 0, list(row)) for number, row in rows), called)


def _index(
    path: Path,
    columns: list[str],
    lines: Iterable[tuple[int, int, list[str]]],
    called: Mapping[str, str],
) -> Index:
    """The index of ``lines``: (number, offset in the file, values) of each."""
    at, at_joint, at_frame = (columns.index(called[key]) for key in ("clip", "joint", "frame"))
    places = {columns.index(name) for key, name in called.items() if key not in _MEASURED}
    clips: dict[str, Lines] = {}
    joints: set[str] = set()
    unread: list[int] = []
    damaged: dict[int, str] = {}
    steps = _Steps()
    for number, offset, values in lines:
        if NO_TEXT in "".join(values):
            texts = (text for place, text in enumerate(values) if place in places)
            if text := next((text for text in texts if NO_TEXT in text), None):
                damaged[number] = text
        name = values[at].strip() if at < len(values) else ""
        if not name or not name.isprintable():
            unread.append(number)
            continue
        clip = clips.get(name)
        if clip is None:
            clip = clips[name] = Lines([value.strip() for value in values])
        if clip.runs and clip.runs[-1][1] + clip.runs[-1][2] == number:
            clip.runs[-1][2] += 1
        else:
            clip.runs.append([offset, number, 1])
        if at_joint < len(values):
            joints.add(values[at_joint].strip())
        if at_frame < len(values):
            steps.add(name, values[at_frame])
    _refuse(path, damaged)
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
