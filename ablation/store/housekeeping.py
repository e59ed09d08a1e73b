"""What a results directory no longer needs, and the units of another one that it lacks.

Nothing outside ``units/`` is touched, nor any unit that a process has locked: its directory is
locked here while it is deleted or replaced. A directory is renamed before it is deleted, so that
what a killed `clean` leaves behind is never half a unit.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ablation.plan import RECIPE, unit_key
from ablation.store.locks import LOCK, hold, is_held
from ablation.store.store import PASSING, Store
from skelcon.errors import UserError

Reason = Literal["orphan", "leftover", "superseded", "checkpoint", "failed", "started"]

REASONS: dict[Reason, str] = {
    "orphan": "no unit that a study could find: no config.json, or not that of its name",
    "leftover": "temporary files of a process that was killed",
    "superseded": f"units of an older recipe than {RECIPE}: studies run them anew",
    "checkpoint": "checkpoints of finished units",
    "failed": "units that failed: studies try them again",
    "started": "units that were begun and not finished: studies go on with them",
}

SETTLED = 600.0
"""Seconds that a temporary file, or a directory without config.json, is left alone: it may be
about to be used by a process that has no lock on it."""

KEY = re.compile(r"[0-9a-f]{16,64}")
TEMPORARY = re.compile(r"\..*\.tmp|\.probe-\d+")


@dataclass(frozen=True)
class Item:
    """What `clean` would delete: a unit's directory or a file in it."""

    reason: Reason
    path: Path
    size: int


def find(
    store: Store,
    keep_failed: bool = False,
    started: bool = False,
    now: Callable[[], float] = time.time,
) -> tuple[list[Item], list[Path]]:
    """What there is to delete, and the units that are left alone as a process has them locked.

    Args:
        store: where to look.
        keep_failed: leave failed units.
        started: take units that were begun and not finished as well.
        now: seconds since 1970.
    """
    items: list[Item] = []
    busy: list[Path] = []
    for entry in sorted(store.units.iterdir()) if store.units.is_dir() else []:
        found = _of_entry(store, entry, now())
        found = [
            item
            for item in found
            if not (item.reason == "failed" and keep_failed)
            and not (item.reason == "started" and not started)
        ]
        if found and entry.is_dir() and is_held(entry):
            busy.append(entry)
        else:
            items += found
    return items, busy


def _of_entry(store: Store, entry: Path, now: float) -> list[Item]:
    """What to delete of an entry of units/; [] for what is not ours or still of use."""
    if entry.is_symlink():
        return []
    settled = now - entry.stat().st_mtime > SETTLED
    if TEMPORARY.fullmatch(entry.name):
        return [_item("leftover", entry)] if settled else []
    if not entry.is_dir():
        return []
    reason = _reason(store, entry, settled)
    if reason is not None:
        return [_item(reason, entry)]
    found = [
        _item("leftover", path)
        for path in sorted(entry.iterdir())
        if TEMPORARY.fullmatch(path.name)
        and not path.is_symlink()
        and now - path.stat().st_mtime > SETTLED
    ]
    checkpoint = entry / "checkpoint.pt"
    if store.is_done(entry.name) and checkpoint.exists():
        found.append(_item("checkpoint", checkpoint))
    return found


def _reason(store: Store, directory: Path, settled: bool) -> Reason | None:
    """Why the whole directory of a unit may go."""
    config = config_of(directory)
    if config is None and not (directory / "config.json").exists():
        named_as_ours = KEY.fullmatch(directory.name) is not None
        return "orphan" if named_as_ours and settled else None
    if config is None or unit_key(config) != directory.name:
        return "orphan"
    recipe = config.get("recipe")
    if isinstance(recipe, int) and recipe < RECIPE:
        return "superseded"
    state = store.state(directory.name)
    return state if state in ("failed", "started") else None


def _item(reason: Reason, path: Path) -> Item:
    return Item(reason, path, size_of(path))


def config_of(directory: Path) -> dict[str, Any] | None:
    """A unit's configuration; None where there is none that can be read."""
    try:
        config = json.loads((directory / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) else None


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a directory."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    return sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir())


@contextlib.contextmanager
def try_lock(directory: Path) -> Iterator[bool]:
    """Lock a unit's directory if nobody has it, without waiting; whether that succeeded.

    Its time of change stays what it was.
    """
    before = directory.stat()
    with hold(directory, wait=False) as free:
        os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
        yield free


def delete(store: Store, items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Delete ``items`` as far as they are still what they were and nobody has them locked.

    Returns:
        What was deleted, and what was left.
    """
    gone: list[Item] = []
    left: list[Item] = []
    for item in items:
        unit = item.path if item.path.parent == store.units else item.path.parent
        try:
            if not unit.is_dir():
                item.path.unlink()
                gone.append(item)
                continue
            with try_lock(unit) as free:
                still = free and item.path in [i.path for i in _of_entry(store, unit, time.time())]
                if still:
                    _remove(store, item.path)
                (gone if still else left).append(item)
        except FileNotFoundError:
            left.append(item)  # somebody else was faster
    return gone, left


def _remove(store: Store, path: Path) -> None:
    if not path.is_dir():
        path.unlink()
        return
    aside = path
    if not TEMPORARY.fullmatch(path.name):
        aside = store.units / f".{path.name}.clean-{os.getpid()}.tmp"
        path.rename(aside)
    shutil.rmtree(aside)


# -- merging --------------------------------------------------------------------------------

APPENDED = ("log.txt", "metrics.jsonl", "begun.jsonl")
"""Files that are written to in place, so that two directories must not share them."""


@dataclass
class Merged:
    """What became of the finished units of another results directory, as lists of keys.

    Attributes:
        copied: were missing and are there now.
        there: were there, with the same result.
        conflicts: were there with other numbers, which were kept.
        damaged: were refused: (key, why).
        busy: were left, as a process works on the one that is there.
    """

    copied: list[str]
    there: list[str]
    conflicts: list[str]
    damaged: list[tuple[str, str]]
    busy: list[str]


def merge(into: Store, source: Store) -> Merged:
    """Copy the finished units of ``source`` that ``into`` lacks, each whole or not at all.

    Raises:
        UserError: if ``source`` holds no units, or both are the same directory.
    """
    if not source.units.is_dir():
        raise UserError(f"'{source.results}' holds no units: give a results directory")
    into.check_writable()
    if source.units.samefile(into.units):
        raise UserError(f"'{source.results}' and '{into.results}' are the same directory")
    merged = Merged([], [], [], [], [])
    for directory in sorted(source.units.iterdir()):
        key = directory.name
        if key.startswith(".") or not source.is_done(key):
            continue
        problem = _problem(source, key)
        if problem:
            merged.damaged.append((key, problem))
        elif into.is_done(key):
            same = _result(into, key) == _result(source, key)
            (merged.there if same else merged.conflicts).append(key)
        else:
            (merged.copied if _take(into, directory) else merged.busy).append(key)
    return merged


def _problem(store: Store, key: str) -> str:
    """What is wrong with a finished unit; "" if nothing."""
    config = config_of(store.directory(key))
    if config is None:
        return "config.json is missing or damaged"
    if unit_key(config) != key:
        return f"its config.json is that of {unit_key(config)}"
    for name, read in (("result.json", store.result), ("provenance.json", store.provenance)):
        try:
            read(key)
        except UserError:
            return f"{name} is missing or damaged"
    return store.damage(key, thorough=True) or ""


def _result(store: Store, key: str) -> dict[str, Any] | None:
    try:
        return store.result(key)
    except UserError:
        return None


def _take(into: Store, directory: Path) -> bool:
    """Copy one unit and put it in place by one rename; False if its place is being worked on."""
    key = directory.name
    temporary = into.units / f".{key}.merge-{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        names = [path for path in sorted(directory.iterdir()) if path.is_file()]
        for path in sorted(names, key=lambda each: each.name == "DONE"):
            if not TEMPORARY.fullmatch(path.name) and path.name not in (*PASSING, "claim", LOCK):
                _link_or_copy(path, temporary / path.name)
        place = into.directory(key)
        if not place.is_dir():
            temporary.rename(place)
            return True
        with try_lock(place) as free:  # begun or failed here: the finished one takes its place
            if not free or into.is_done(key):
                return False
            aside = into.units / f".{key}.merged-{os.getpid()}.tmp"
            place.rename(aside)
            temporary.rename(place)
        shutil.rmtree(aside)
        return True
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _link_or_copy(source: Path, target: Path) -> None:
    if source.name not in APPENDED:
        with contextlib.suppress(OSError):  # another file system, or one without links
            os.link(source, target)
            return
    shutil.copy2(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())
