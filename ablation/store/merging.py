"""The finished units of another results directory, copied whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from ablation.canonical import digest
from ablation.store.housekeeping import try_lock
from ablation.store.store import Store
from ablation.store.unit_files import APPENDED, CONFIG, COPIED, PROVENANCE, RESULT, UnitFiles
from skelcon.errors import UserError


@dataclass
class Merged:
    """The finished units of another results directory, as lists of keys.

    Attributes:
        copied: were missing here.
        there: were here already, with the same result.
        conflicts: were here with other numbers, which were kept.
        damaged: were not copied: (key, why).
        busy: were not copied, as a process works on the unit here.
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
        files, ours = UnitFiles(directory), into.files(directory.name)
        if directory.name.startswith(".") or not files.is_done:
            continue
        problem = _problem(source, files)
        if problem is not None:
            merged.damaged.append((files.key, problem))
        elif not ours.is_done:
            outcome = merged.copied if _copy_unit(into, files) else merged.busy
            outcome.append(files.key)
        elif ours.read_or_none(RESULT) == files.read_or_none(RESULT):
            merged.there.append(files.key)
        else:
            merged.conflicts.append(files.key)
    return merged


def _problem(store: Store, files: UnitFiles) -> str | None:
    """What is wrong with a finished unit; None if nothing is."""
    for name in (CONFIG, RESULT, PROVENANCE):
        values = files.read_or_none(name)
        if values is None:
            return f"{name} is missing or damaged"
        if name == CONFIG and digest(values) != files.key:
            return f"its config.json is of the unit {digest(values)}"
    return store.damage(files.key, thorough=True)


def _copy_unit(into: Store, files: UnitFiles) -> bool:
    """Copy one unit, which appears by a rename; False if a process works on the unit there."""
    place = into.directory(files.key)
    temporary, replaced = (
        into.units / f".{files.key}.{word}-{os.getpid()}.tmp" for word in ("merge", "merged")
    )
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        for name in COPIED:
            if files.has(name):
                _link_or_copy(files.path(name), temporary / name)
        if not place.is_dir():
            try:
                temporary.rename(place)
            except OSError:
                if not place.is_dir():  # else another command has made it in the meantime
                    raise
            else:
                return True
        with try_lock(place) as held:  # started or failed here: replaced by the finished one
            if not held or into.is_done(files.key):
                return False
            place.rename(replaced)
            temporary.rename(place)
        shutil.rmtree(replaced)
        return True
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _link_or_copy(source: Path, target: Path) -> None:
    """Link a file, which costs no space, but copy one that is appended to."""
    if source.name not in APPENDED:
        with contextlib.suppress(OSError):  # another file system, or one without links
            os.link(source, target)
            return
    try:
        shutil.copy2(source, target)
    except OSError as error:
        if error.filename2 is not None:  # the target; the first is the source, also if it is full
            raise OSError(error.errno, error.strerror, error.filename2) from None
        raise
    with target.open("rb") as file:
        os.fsync(file.fileno())
