"""What stands on a disk, where it may be anything."""

from __future__ import annotations

import os
from pathlib import Path


def check_file(path: Path) -> None:
    """``ValueError`` if there is no file at ``path``: to open a pipe would never end."""
    if not path.is_file():
        raise ValueError("is not a file")


def folders_in(path: Path) -> list[Path]:
    """The directories in a directory, by name; of other files nothing is looked at."""
    with os.scandir(path) as entries:
        return sorted(Path(entry.path) for entry in entries if is_folder(entry))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a directory, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
