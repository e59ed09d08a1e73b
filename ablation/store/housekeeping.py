"""What a results directory no longer needs.

Nothing outside ``units/`` is touched, nor any unit that a process has locked: its directory is
locked here while it is deleted. A directory is renamed before it is deleted, so that what a killed
`clean` leaves behind is never half a unit.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ablation.canonical import digest
from ablation.store.locks import hold, is_held
from ablation.store.store import Store
from ablation.store.unit_files import CHECKPOINT, CONFIG, KEY, UnitFiles
from ablation.units import RECIPE

Reason = Literal["orphan", "leftover", "superseded", "checkpoint", "failed", "started"]

REASONS: dict[Reason, str] = {
    "orphan": "no unit that a study could find: config.json is missing, or of another unit",
    "leftover": "temporary files of a process that was killed",
    "superseded": f"units of an older recipe than {RECIPE}: studies run them again from scratch",
    "checkpoint": "checkpoints of finished units",
    "failed": "units that failed: studies retry them",
    "started": "units that were started and not finished: studies resume them",
}

SETTLED = 600.0
"""Seconds that a temporary file, or a directory without config.json, is left alone: it may be
about to be used by a process that has no lock on it."""

TEMPORARY_NAME = re.compile(r"\..*\.tmp|\.probe-\d+")


@dataclass(frozen=True)
class Item:
    """What `clean` would delete: a unit's directory or a file in it."""

    reason: Reason
    path: Path
    size: int

    @classmethod
    def of(cls, reason: Reason, path: Path) -> Item:
        """``path``, with its size."""
        return cls(reason, path, size_of(path))


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
        started: include units that were started and not finished.
        now: seconds since 1970.
    """
    items: list[Item] = []
    busy: list[Path] = []
    for entry in sorted(store.units.iterdir()) if store.units.is_dir() else []:
        found = [
            item
            for item in _of_entry(store, entry, now())
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
    if TEMPORARY_NAME.fullmatch(entry.name):
        return [Item.of("leftover", entry)] if _is_settled(entry, now) else []
    if not entry.is_dir():
        return []
    reason = _reason(store, entry, now)
    if reason is not None:
        return [Item.of(reason, entry)]
    found = [
        Item.of("leftover", path)
        for path in sorted(entry.iterdir())
        if TEMPORARY_NAME.fullmatch(path.name) and not path.is_symlink() and _is_settled(path, now)
    ]
    files = UnitFiles(entry)
    if files.is_done and files.has_checkpoint:
        found.append(Item.of("checkpoint", files.path(CHECKPOINT)))
    return found


def _is_settled(path: Path, now: float) -> bool:
    return now - path.stat().st_mtime > SETTLED


def _reason(store: Store, directory: Path, now: float) -> Reason | None:
    """Why the whole directory of a unit may be deleted."""
    files = UnitFiles(directory)
    config = files.read_or_none(CONFIG)
    if config is None and not files.has(CONFIG):
        named_as_ours = KEY.fullmatch(directory.name) is not None
        return "orphan" if named_as_ours and _is_settled(directory, now) else None
    if config is None or digest(config) != directory.name:
        return "orphan"
    recipe = config.get("recipe")
    if isinstance(recipe, int) and recipe < RECIPE:
        return "superseded"
    state = store.state(directory.name)
    return state if state in ("failed", "started") else None


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a directory."""
    if path.is_dir() and not path.is_symlink():
        return UnitFiles(path).size()
    return path.lstat().st_size


@contextlib.contextmanager
def try_lock(directory: Path) -> Iterator[bool]:
    """Lock a unit's directory without waiting; gives whether that succeeded.

    Its modification time stays what it was.
    """
    before = directory.stat()
    with hold(directory, wait=False) as held:
        os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
        yield held


def delete(store: Store, items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Delete ``items`` as far as they are still what they were and nobody has them locked.

    Returns:
        What was deleted, and what was left.
    """
    deleted: list[Item] = []
    left: list[Item] = []
    for item in items:
        if _delete(store, item):
            deleted.append(item)
        else:
            left.append(item)
    return deleted, left


def _delete(store: Store, item: Item) -> bool:
    """Whether ``item`` could be deleted."""
    unit = item.path if item.path.parent == store.units else item.path.parent
    try:
        if not unit.is_dir():
            item.path.unlink()
            return True
        with try_lock(unit) as held:
            if not held or item.path not in [i.path for i in _of_entry(store, unit, time.time())]:
                return False
            _remove(store, item.path)
            return True
    except FileNotFoundError:  # somebody else was faster
        return False


def _remove(store: Store, path: Path) -> None:
    if not path.is_dir():
        path.unlink()
        return
    moved = path
    if not TEMPORARY_NAME.fullmatch(path.name):
        moved = store.units / f".{path.name}.clean-{os.getpid()}.tmp"
        path.rename(moved)
    shutil.rmtree(moved)
