"""What time it is by the clock that dates files, which on a shared file system is another's."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path


def file_time(directory: Path) -> float:
    """Now, by the file system's clock: what its files' times can be compared with.

    Args:
        directory: where a file is made for a moment; where that cannot be, this machine's clock
            has to do.

    Returns:
        Seconds of the epoch.
    """
    probe = directory / f".now.{platform.node()}-{os.getpid()}"
    try:
        try:
            probe.write_bytes(b"")
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)
    except OSError:
        return time.time()
