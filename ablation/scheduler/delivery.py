"""The data set on a worker's node: by its path, or fetched once per node from the driver's node.

Where a node does not see the path (or finds another data set there), its first worker that needs
the data set reads it from the driver's node, piece by piece through Ray's object store, into a
directory of its own node. All workers of that node map it into memory from there. Ray does not copy
large arrays within a machine; no trial carries any data.

Importing this module imports Ray (seconds): only a command that has something to run does.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import ray
from filelock import FileLock
from numpy.typing import NDArray
from ray.exceptions import RayError

from ablation.scheduler.nodes import run_on
from skelcon.data import SkeletonDataset
from skelcon.data.importers import cache_directory
from skelcon.errors import UserError

FILES = ("frames.npy", "index.npz", "meta.json")
PIECE = 64 << 20
"""Bytes in flight at once: the object store of a node may be small."""

Read = Callable[[str, int], NDArray[np.uint8]]
"""A file's name and an offset -> the next bytes, none at its end."""
UNSHARED = "the results directory is not seen here"
"""The error of a worker that does not see the unit's directory, which the driver made."""


@functools.lru_cache(maxsize=4)
def data_at(fingerprint: str, path: Path, node: str | None) -> Path:
    """Where this process finds the packed data set ``fingerprint``; cached.

    Args:
        fingerprint: of the data set that is wanted.
        path: where the driver has it.
        node: the id of the driver's node, to fetch it from; None where there is no other node.

    Raises:
        RuntimeError: if the driver's node no longer has it, or this one has no room for it.
    """
    if node is None or holds(path, fingerprint):
        return path
    # The second is for a user without a home directory on this node.
    temporary = Path(tempfile.gettempdir()) / f"skelcon-{os.getuid()}"
    places = [cache_directory() / "fetched", temporary / "fetched"]
    try:
        return fetched(fingerprint, functools.partial(_read_remotely, node, str(path)), places)
    except OSError as error:
        raise RuntimeError(
            f"data set '{path}' is not seen on this node and cannot be kept at "
            f"'{error.filename}': {error.strerror}; set SKELCON_CACHE to a directory with room"
        ) from error


def holds(path: Path, fingerprint: str) -> bool:
    """Whether the packed data set at ``path`` has this ``fingerprint``."""
    try:
        return bool(json.loads((path / "meta.json").read_bytes())["fingerprint"] == fingerprint)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def fetched(fingerprint: str, read: Read, places: list[Path]) -> Path:
    """The data set in the first of ``places`` that can be written; fetched if it is missing.

    One process of a node fetches while the others wait; an interrupted copy starts from scratch.

    Args:
        fingerprint: of the data set that is wanted.
        read: gives the pieces of its files.
        places: directories of this node.
    """
    home = _writable(places)
    whole = home / fingerprint
    with FileLock(home / f".{fingerprint}.lock"):
        if holds(whole, fingerprint):
            return whole
        # Always the same name: what a killed process left is replaced.
        part = home / f".{fingerprint}.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(whole, ignore_errors=True)
        part.mkdir()
        try:
            for name in FILES:
                with (part / name).open("wb") as file:
                    while len(piece := read(name, file.tell())):
                        file.write(piece.data)
                    file.flush()
                    os.fsync(file.fileno())
            if SkeletonDataset.open(part).content_digest() != fingerprint:
                raise RuntimeError(f"what was fetched is not the data set {fingerprint}")
            part.rename(whole)
        except UserError as error:
            raise RuntimeError(str(error)) from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return whole


def _read_remotely(node: str, path: str, name: str, offset: int) -> NDArray[np.uint8]:
    """A piece of a file on ``node``, as a view of this node's object store."""
    try:
        piece: NDArray[np.uint8] = ray.get(run_on(node, read_piece, path, name, offset))
    except RayError as error:
        cause = getattr(error, "cause", None) or error
        raise RuntimeError(
            f"data set '{path}' is not seen on this node, and the driver's gives: "
            f"{str(cause).splitlines()[0]}"
        ) from None
    return piece


def read_piece(path: str, name: str, offset: int) -> NDArray[np.uint8]:
    """Runs on the driver's node: the bytes of a file from ``offset`` on, :data:`PIECE` at most."""
    return np.fromfile(Path(path) / name, np.uint8, PIECE, offset=offset)


def _writable(places: list[Path]) -> Path:
    """The first of ``places`` that is, or can become, a directory that this user owns."""
    for place in places[:-1]:
        with contextlib.suppress(OSError):
            return _own(place)
    return _own(places[-1])


def _own(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    # In a shared temporary directory another user may have made it before.
    if {each.stat().st_uid for each in (place, place.parent)} != {os.getuid()}:
        raise PermissionError(errno.EACCES, "another user owns it", str(place))
    with tempfile.TemporaryFile(dir=place):
        return place
