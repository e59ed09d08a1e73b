"""The lock of a unit's directory: the kernel's, on a file in it, released when its process ends.

(On a file, not on the directory itself: a network file system shares only the locks of files.)

This is not `filelock`: several of its versions delete a lock's path when they release it, which
would be the lock of the directory that `clean` or `merge` has renamed to that path meanwhile. Nor
can it tell whether somebody holds a lock without creating and taking it.
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
    """Hold a unit's directory for this process alone; gives whether it is held.

    Without ``wait`` it is not if another process has it. :class:`OSError` if the directory does not
    exist, or cannot be written.
    """
    path, held = directory / LOCK, False
    while not held:
        with path.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            with contextlib.suppress(FileNotFoundError):  # moved away in the meantime
                held = os.path.samestat(path.stat(), os.fstat(file.fileno()))
            if held:
                yield True


def is_held(directory: Path) -> bool:
    """Whether a process holds the directory at the moment; never waits, writes nothing."""
    try:
        with (directory / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
