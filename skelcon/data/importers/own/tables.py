"""Tables in files: CSV (or values between semicolons or tabs) line by line, and Parquet."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from skelcon.data.importers.files import check_file
from skelcon.data.importers.own.facts import text_of
from skelcon.errors import UserError

PARQUET = (".parquet", ".pq")
TABLES = (".csv", ".tsv", *PARQUET)
LONGEST_LINE = 1 << 20


@dataclass(frozen=True)
class Row:
    """A row of a table: its number (a CSV file's line), its values, and why it is bad."""

    number: int
    values: dict[str, str]
    bad: str = ""


def _cells(line: str, delimiter: str) -> list[str]:
    """The values of a line of CSV. (A quoted value does not go on in the next line.)"""
    if '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


NO_TEXT = "\ufffd"
"""In a decoded text: a byte that is not UTF-8."""


def not_utf8(text: str) -> str:
    """What is wrong with a text that has :data:`NO_TEXT`, and how to fix it."""
    return f"'{text[:40]}' is not UTF-8 text: save it, or what it was made from, as UTF-8"


def read_header(path: Path) -> tuple[list[str], str]:
    """The names of a CSV file's columns, and the delimiter; ``UserError`` if damaged."""
    try:
        check_file(path)
        with path.open("rb") as file:
            first = file.readline(LONGEST_LINE).decode("utf-8-sig", "replace").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise UserError(f"'{path}' cannot be read: {_reason(error)}") from None
    if not first.strip() and not path.stat().st_size:
        raise UserError(f"'{path}' is empty")
    if NO_TEXT in first:
        raise UserError(f"'{path}', line 1: {not_utf8(first)}")
    delimiter = max(",;\t", key=first.count)
    names = [name.strip() for name in _cells(first, delimiter)]
    if twice := next((name for name in names if name and names.count(name) > 1), None):
        raise UserError(f"'{path}', line 1: column '{twice}' appears twice")
    if not all(names):
        raise UserError(f"'{path}', line 1: '{first[:60]}' has a column without a name")
    return names, delimiter


def read_rows(path: Path) -> tuple[list[str], Iterator[Row]]:
    """The columns of a table and its rows, all values as texts.

    Raises:
        UserError: if the file cannot be read.
    """
    if path.suffix in PARQUET:
        table = read_parquet(path)
        names = list(table)
        rows = (
            _row(number, names, list(values))
            for number, values in enumerate(zip(*table.values(), strict=True), 1)
        )
        return names, rows
    names, delimiter = read_header(path)
    return names, _csv_rows(path, names, delimiter)


def _csv_rows(path: Path, names: Sequence[str], delimiter: str) -> Iterator[Row]:
    with path.open("rb") as file:
        file.readline()
        for number, _, found in csv_lines(file, delimiter, 2):
            values = [text.strip() for text in found]
            bad = "" if len(values) == len(names) else wrong_count(values, names)
            yield _row(number, names, values, bad)


def csv_lines(file: IO[bytes], delimiter: str, first: int) -> Iterator[tuple[int, int, list[str]]]:
    """(number, offset in the file, values) of the lines of CSV that are not blank.

    Args:
        file: it is read from where it is, at the start of a line.
        delimiter: what is between the values.
        first: the number of that line.
    """
    offset = file.tell()
    for number, raw in enumerate(file, first):
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if line and not line.isspace():
            yield number, offset, _cells(line, delimiter)
        offset += len(raw)


def wrong_count(values: Sequence[str], names: Sequence[str]) -> str:
    """What is wrong with a line that has another number of values than the table has columns."""
    return f"{len(values)} values in a table of {len(names)} columns"


def _row(number: int, names: Sequence[str], values: list[str], bad: str = "") -> Row:
    """A row whose ``values`` are good, or without the damaged texts among them."""
    if damaged := next((text for text in values if NO_TEXT in text), None):
        bad = not_utf8(damaged)
        values = ["" if NO_TEXT in text else text for text in values]
    return Row(number, dict(zip(names, values, strict=False)), bad)


def manifest_path(stated: str, base: Path, data: Path) -> Path:
    """Where the manifest ``stated`` is, relative to the description, the data or where we are.

    Raises:
        UserError: if there is no such file.
    """
    directory = data if data.is_dir() else data.parent
    places = (base / stated, directory / stated, Path(stated))
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise UserError(f"there is no manifest '{stated}'")
    return path


def column_names(path: Path) -> list[str]:
    """The names of a table's columns; ``UserError`` if it cannot be read."""
    if path.suffix not in PARQUET:
        return read_header(path)[0]
    with _parquet(path) as file:
        return list(file.schema_arrow.names)


def read_parquet(path: Path) -> dict[str, list[str]]:
    """The columns of a Parquet file, all values as texts; ``UserError`` if it cannot be read."""
    with _parquet(path) as file:
        table = file.read()
        table.validate(full=True)  # also that texts are texts
    return {name: list(map(text_of, table.column(name).to_pylist())) for name in table.column_names}


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    from pyarrow import parquet  # takes a moment that others need not spend

    try:
        check_file(path)
        with parquet.ParquetFile(path) as file:
            yield file
    except Exception as error:  # a damaged file raises errors of many kinds
        raise UserError(f"'{path}' cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
