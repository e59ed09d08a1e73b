"""The finished units of another results directory, copied whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from ablation.canonical import digest
from ablation.store.housekeeping import TEMPORARY_NAME, try_lock
from ablation.store.store import Store
from ablation.store.unit_files import (
    APPENDED,
    CLAIM,
    CONFIG,
    DONE,
    LOCK,
    PROVENANCE,
    RESULT,
    TEMPORARY,
    UnitFiles,
)
from skelcon.errors import UserError

NOT_COPIED = (*TEMPORARY, CLAIM, LOCK)


@dataclass
class Merged:
    """What became of the finished units of another results directory, as lists of keys.

    Attributes:
        copied: were missing here.
        there: were here already, with the same result.
        conflicts: were here with other numbers, which were kept.
        damaged: were refused: (key, why).
        busy: were left, as a process works on the unit here.
    """

    copied: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)


def merge(into: Store, source: Store) -> Merged:
    """Copy the finished units of ``source`` that ``into`` lacks.

    Raises:
        UserError: if ``source`` holds no units, or both are the same directory.
    """
    if not source.units.is_dir():
        raise UserError(f"'{source.results}' holds no units: give a results directory")
    into.check_writable()
    if source.units.samefile(into.units):
        raise UserError(f"'{source.results}' and '{into.results}' are the same directory")
    merged = Merged()
    for directory in sorted(source.units.iterdir()):
        files = UnitFiles(directory)
        if files.key.startswith(".") or not files.is_done:
            continue
        problem = _problem(source, files)
        if problem:
            merged.damaged.append((files.key, problem))
        elif into.is_done(files.key):
            if into.files(files.key).read_or_none(RESULT) == files.read_or_none(RESULT):
                merged.there.append(files.key)
            else:
                merged.conflicts.append(files.key)
        elif _copy_unit(into, directory):
            merged.copied.append(files.key)
        else:
            merged.busy.append(files.key)
    return merged


def _problem(store: Store, files: UnitFiles) -> str:
    """What is wrong with a finished unit; "" if nothing."""
    config = files.read_or_none(CONFIG)
    if config is None:
        return "config.json is missing or damaged"
    if digest(config) != files.key:
        return f"its config.json is that of {digest(config)}"
    for name in (RESULT, PROVENANCE):
        if files.read_or_none(name) is None:
            return f"{name} is missing or damaged"
    return store.damage(files.key, thorough=True) or ""


def _copy_unit(into: Store, directory: Path) -> bool:
    """Copy one unit to its place by one rename; False if a process works on the unit there."""
    key = directory.name
    temporary = into.units / f".{key}.merge-{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        _copy_files(directory, temporary)
        place = into.directory(key)
        if not place.is_dir():
            temporary.rename(place)
            return True
        with try_lock(place) as held:  # started or failed here: replaced by the finished one
            if not held or into.is_done(key):
                return False
            replaced = into.units / f".{key}.merged-{os.getpid()}.tmp"
            place.rename(replaced)
            temporary.rename(place)
        shutil.rmtree(replaced)
        return True
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _copy_files(directory: Path, target: Path) -> None:
    """The files of a finished unit, its DONE marker last."""
    paths = [
        path
        for path in sorted(directory.iterdir())
        if path.is_file()
        and path.name not in NOT_COPIED
        and not TEMPORARY_NAME.fullmatch(path.name)
    ]
    for path in sorted(paths, key=lambda each: each.name == DONE):
        _link_or_copy(path, target / path.name)


def _link_or_copy(source: Path, target: Path) -> None:
    """A second name costs no space, but files that are written in place must not be shared."""
    if source.name not in APPENDED:
        with contextlib.suppress(OSError):  # another file system, or one without links
            os.link(source, target)
            return
    shutil.copy2(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())
