"""What a results directory no longer needs, and how it is deleted.

Nothing outside ``units/`` is touched, nor any unit that a process has locked: its directory is
locked here while it is deleted. A directory is renamed before it is deleted, so that a `clean` that
is killed never leaves half a unit.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ablation.canonical import digest
from ablation.store.locks import hold, is_held
from ablation.store.store import Store
from ablation.store.unit_files import CHECKPOINT, CONFIG, KEY, TEMPORARY, UnitFiles
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
"""Seconds for which a temporary file, or a directory without config.json, is left alone: a process
that has not locked it yet may be about to use it."""

TEMPORARY_NAME = re.compile(r"\..*\.tmp|\.probe-\d+")


@dataclass(frozen=True)
class Item:
    """What `clean` would delete: a unit's directory or a file in it, with its size in bytes."""

    reason: Reason
    path: Path
    size: int


def find(
    store: Store, keep_failed: bool = False, started: bool = False
) -> tuple[list[Item], list[Path]]:
    """What can be deleted, and the units that cannot be, as a process has locked them.

    Args:
        store: where to look.
        keep_failed: leave failed units.
        started: include units that were started and not finished.
    """
    items: list[Item] = []
    busy: list[Path] = []
    for entry in sorted(store.units.iterdir()):
        # Files come and go where units run: such an entry is for the next time.
        with contextlib.suppress(FileNotFoundError):
            found = {
                path: reason
                for path, reason in _useless(entry).items()
                if not (reason == "failed" and keep_failed) and (reason != "started" or started)
            }
            if found and is_held(entry):
                busy.append(entry)
                continue
            items += [Item(reason, path, _size(path)) for path, reason in found.items()]
    return items, busy


def _size(path: Path) -> int:
    return UnitFiles(path).size() if path.is_dir() else path.stat().st_size


def _useless(entry: Path) -> dict[Path, Reason]:
    """What to delete of an entry of units/, and why; nothing if it is not of a unit."""
    if _is_leftover(entry):
        return {entry: "leftover"}
    if entry.is_symlink() or not entry.is_dir():
        return {}
    files = UnitFiles(entry)
    reason = _reason(files)
    if reason is not None:
        return {entry: reason}
    found: dict[Path, Reason] = {
        path: "leftover" for path in sorted(entry.iterdir()) if _is_leftover(path)
    }
    if files.is_done:  # what a process that was killed at that moment has left
        for name in TEMPORARY:
            if files.has(name):
                found[files.path(name)] = "checkpoint" if name == CHECKPOINT else "leftover"
    return found


def _is_leftover(path: Path) -> bool:
    ours = TEMPORARY_NAME.fullmatch(path.name) and not path.is_symlink()
    return bool(ours) and _is_settled(path)


def _is_settled(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > SETTLED


def _reason(files: UnitFiles) -> Reason | None:
    """Why the whole directory of a unit may be deleted."""
    if not files.has(CONFIG):
        return "orphan" if KEY.fullmatch(files.key) and _is_settled(files.directory) else None
    config = files.read_or_none(CONFIG)
    if config is None or digest(config) != files.key:
        return "orphan"
    recipe = config.get("recipe")
    if isinstance(recipe, int) and recipe < RECIPE:
        return "superseded"
    state = files.state
    return state if state in ("failed", "started") else None


@contextlib.contextmanager
def try_lock(directory: Path) -> Iterator[bool]:
    """Lock a unit's directory without waiting; gives whether that succeeded.

    The directory keeps its modification time.
    """
    before = directory.stat()
    with hold(directory, wait=False) as held:
        os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
        yield held


def delete(store: Store, items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Delete the ``items`` that have not changed since, and that no process has locked.

    Returns:
        What was deleted, and what was left.
    """
    deleted = [item for item in items if _delete(store, item.path)]
    return deleted, [item for item in items if item not in deleted]


def _delete(store: Store, path: Path) -> bool:
    """Whether ``path`` could be deleted."""
    unit = path if path.parent == store.units else path.parent
    try:
        if not unit.is_dir():
            path.unlink()
            return True
        with try_lock(unit) as held:
            if not held or path not in _useless(unit):
                return False
            if path != unit:
                path.unlink()
                return True
            if not TEMPORARY_NAME.fullmatch(path.name):
                path = path.rename(store.units / f".{path.name}.clean-{os.getpid()}.tmp")
        # The lock is closed before: NFS keeps an open file, and so its directory.
        shutil.rmtree(path)
        return True
    except FileNotFoundError:  # another command has deleted it
        return False
