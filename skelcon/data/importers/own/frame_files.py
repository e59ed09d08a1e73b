"""A folder a clip, with a file for each frame, as OpenPose writes them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.own.description import FilesDescription
from skelcon.data.importers.own.readers import read_file

_DIGITS = re.compile(r"(\d+)")
MOST_BODIES = 64


def natural_order(path: Path) -> list[str | int]:
    """Sorts by the numbers in a path: ``frame_9`` before ``frame_10``."""
    parts = _DIGITS.split(str(path))  # texts and numbers in turns
    return [int(part) if at % 2 else part for at, part in enumerate(parts)]


def frame_files(folder: Path) -> list[Path]:
    """The files of a clip's frames, in natural order."""
    with os.scandir(folder) as entries:
        found = [Path(entry.path) for entry in entries if entry.name[0] != "." and entry.is_file()]
    return sorted(found, key=natural_order)


def read_frames(
    folder: Path, how: FilesDescription, columns: Sequence[str], joints: int, sizes: Sequence[int]
) -> NDArray[np.float64]:
    """(M, T, V, C) of a folder; where a frame has fewer bodies, the others are NaN.

    Args:
        folder: of the clip.
        how: what the files are. The array of a frame is (M, V * C), (M, V, C), (V, C), V * C
            numbers, or empty.
        columns: the names of a joint's numbers, for objects in .json.
        joints: V.
        sizes: possible values of C.

    Raises:
        ValueError: if a file is damaged or has another shape; names it.
        OSError: if it cannot be read.
    """
    frames = []
    for file in frame_files(folder):
        try:
            frames.append(_bodies(read_file(file, how, columns, empty=True), joints, sizes))
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from None
    sizes_found = {frame.shape[-1] for frame in frames if len(frame)}
    if len(sizes_found) != 1:
        raise ValueError("no frame has a body" if not sizes_found else "frames are not alike")
    most = max(len(frame) for frame in frames)
    if most > MOST_BODIES:
        raise ValueError(f"has {most} bodies in a frame")
    out = np.full((most, len(frames), joints, sizes_found.pop()), np.nan)
    for at, frame in enumerate(frames):
        if len(frame):
            out[: len(frame), at] = frame
    return out


def _bodies(
    values: NDArray[np.floating], joints: int, sizes: Sequence[int]
) -> NDArray[np.floating]:
    """(M, V, C) of the array in a file of one frame."""
    if not values.size:
        return np.empty((0, joints, 0))
    for size in sizes:
        if values.shape[-1] == joints * size or values.shape[-2:] == (joints, size):
            return values.reshape(-1, joints, size)
    shown = "x".join(map(str, values.shape))
    raise ValueError(f"an array {shown} is not a frame of bodies of {joints} joints")
