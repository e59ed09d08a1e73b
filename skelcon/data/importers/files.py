"""Files on a disk, where a name may be anything: a pipe, a broken link, a directory."""

from __future__ import annotations

import codecs
import json
import os
import re
from pathlib import Path
from typing import Any


def check_file(path: Path, largest: int | None = None) -> None:
    """``ValueError`` if ``path`` is not a file (a pipe would block) or is too large."""
    if not path.is_file():
        raise ValueError("is not a file")
    if largest is not None and path.stat().st_size > largest:
        raise ValueError(f"is larger than {largest >> 20} MiB, as no clip is")


def starts_with(path: Path, magic: tuple[bytes, ...]) -> bool:
    """Whether the content of a file starts with one of ``magic``; not if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(max(map(len, magic))).startswith(magic)
    except OSError:
        return False


def text_of(path: Path) -> bytes:
    """The content of a text file, without the mark that some editors put before it."""
    return path.read_bytes().removeprefix(codecs.BOM_UTF8)


def read_json(path: Path, **hooks: Any) -> Any:
    """The value in a JSON file; ``ValueError``, in one line, if it is damaged.

    All numbers are floats, as large as they may be; ``hooks`` are other arguments of `json.loads`.
    """
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"), parse_int=float, **hooks)
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not whole JSON ({error.msg}, line {error.lineno})") from None
    except RecursionError:
        raise ValueError("is nested too deep") from None


def files_named(path: Path, pattern: re.Pattern[str]) -> list[Path]:
    """The files in a directory whose whole names match, in any order; none if it is a file."""
    try:
        return [Path(entry.path) for entry in os.scandir(path) if pattern.fullmatch(entry.name)]
    except OSError:  # no directory, or we may not read it
        return []


def numbers_in(name: str, pattern: re.Pattern[str]) -> tuple[int, ...]:
    """The numbers that the groups of ``pattern`` match in the name of one of `files_named`."""
    match = pattern.fullmatch(name)
    assert match is not None
    return tuple(map(int, match.groups()))


def folders_in(path: Path) -> list[Path]:
    """The directories in a directory, by name; none if we may not read it."""
    try:
        with os.scandir(path) as entries:
            return sorted(Path(entry.path) for entry in entries if is_folder(entry))
    except OSError:
        return []


def is_folder(entry: os.DirEntry[str] | Path) -> bool:
    """Whether it is a directory, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def read_class_names(data: str) -> tuple[str, ...]:
    """The names of the classes of a data set, in the order of its labels."""
    path = Path(__file__).with_name("class_names") / f"{data}.txt"
    return tuple(path.read_text(encoding="utf-8").splitlines())
