"""The lock of a unit's directory: the kernel's, on a file in it, released when its process ends.

(On a file, not on the directory itself: a network file system shares only the locks of files.)

`filelock` is not used: several of its versions delete a lock's path when they release it, and
`clean` or `merge` may have moved another directory to that path by then. It also cannot check
whether a lock is held without creating and taking it.
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
    """Lock a unit's directory for this process alone; gives whether that succeeded.

    Without ``wait`` it fails if another process has locked it. :class:`OSError` if the directory
    does not exist, or cannot be written.
    """
    path, held = directory / LOCK, False
    while not held:
        with path.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            with contextlib.suppress(FileNotFoundError):  # the directory was moved
                held = os.path.samestat(path.stat(), os.fstat(file.fileno()))
            if held:
                yield True


def is_held(directory: Path) -> bool:
    """Whether a process has locked the directory; never waits, writes nothing."""
    try:
        with (directory / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
