"""The lock of a unit's directory: the kernel's, on a file in it, released when its process ends.

(On a file, not on the directory itself: a network file system shares only the locks of files.)

This is not `filelock`. Its locks belong to a path, ours to a directory that may be renamed while it
is held (`clean` and `merge` do): several of its versions delete the path when they release it,
which would be the lock of the directory that has taken its place. Nor can it tell whether somebody
holds a lock without creating and taking it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ablation.store.unit_files import LOCK


@contextlib.contextmanager
def hold(directory: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a unit's directory, which must exist, for this process alone.

    Args:
        directory: of the unit.
        wait: until nobody else has it.

    Returns:
        Whether it is held; always true if ``wait``.

    Raises:
        OSError: if the directory does not exist, or cannot be written.
    """
    path = directory / LOCK
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            if not _is(path, handle):  # the directory was moved away in the meantime
                continue
            yield True
            return
        finally:
            os.close(handle)


def is_held(directory: Path) -> bool:
    """Whether a process holds the directory at the moment; never waits, writes nothing."""
    try:
        handle = os.open(directory / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _is(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
