"""Packed clips: rows of frames in one raw file, one clip after the other, and an index."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import ClipInfo
from skelcon.data.layouts import SkeletonLayout

Block = tuple[int, int, int]
"""Offset, start and count of one body of one clip."""


@dataclass
class PackedIndex:
    """The index of packed clips: everything but their frames; a JSON file can hold it."""

    infos: list[ClipInfo] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    blocks: list[list[Block]] = field(default_factory=list)
    rows: int = 0

    def extend(self, other: PackedIndex) -> None:
        """Append the clips of ``other``, whose frames follow the frames of this one."""
        self.infos += other.infos
        self.lengths += other.lengths
        for bodies in other.blocks:
            self.blocks.append([(at + self.rows if n else 0, start, n) for at, start, n in bodies])
        self.rows += other.rows

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> PackedIndex:
        """The index that :meth:`to_dict` described."""
        return PackedIndex(
            infos=[ClipInfo(**info) for info in values["infos"]],
            lengths=values["lengths"],
            blocks=[[(at, start, n) for at, start, n in bodies] for bodies in values["blocks"]],
            rows=values["rows"],
        )


class ClipPacker:
    """Appends clips to ``file`` as float32 rows (V, 3) and keeps their index.

    Args:
        file: an open binary file.
        layout: the joints of all clips.
        classes: the number of classes.
    """

    def __init__(self, file: IO[bytes], layout: SkeletonLayout, classes: int) -> None:
        self.index = PackedIndex()
        self._file = file
        self._layout = layout
        self._classes = classes
        self._digest = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The SHA-256 of all rows so far."""
        return self._digest.hexdigest()

    def add(self, info: ClipInfo, clip: NDArray[np.floating]) -> None:
        """Append a clip (M, T, V, 3); a body's block runs from its first to its last frame.

        Raises:
            ValueError: if the shape is not the layout's, a value is not finite, the label has
                no class name, or no body is ever present.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
            values = np.ascontiguousarray(clip, dtype=np.float32)
        shape = (self._layout.num_joints, 3)
        if values.ndim != 4 or values.shape[2:] != shape or not values.shape[1]:
            raise ValueError(f"a clip is (M, T >= 1, {shape[0]}, 3), not {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError("a coordinate is not finite")
        if not 0 <= info.label < self._classes:
            raise ValueError(f"label {info.label} has no class name")
        blocks: list[Block] = []
        rows = self.index.rows
        for body in values:
            (present,) = np.nonzero(np.any(body != 0, axis=(1, 2)))
            if not len(present):
                blocks.append((0, 0, 0))
                continue
            start, count = int(present[0]), int(present[-1] - present[0] + 1)
            self._write(body[start : start + count].data)
            blocks.append((rows, start, count))
            rows += count
        if not any(count for _, _, count in blocks):
            raise ValueError("no body is present in any frame")
        self.index.infos.append(info)
        self.index.lengths.append(values.shape[1])
        self.index.blocks.append(blocks)
        self.index.rows = rows

    def append(self, raw: Path, index: PackedIndex) -> None:
        """Append what another packer wrote to the file ``raw``.

        Raises:
            ValueError: if the file does not have the rows of its index.
        """
        if raw.stat().st_size != index.rows * self._layout.num_joints * 12:
            raise ValueError(f"'{raw}' does not have the {index.rows} rows of its index")
        with raw.open("rb") as source:
            shutil.copyfileobj(source, _Tee(self._write), 4 << 20)
        self.index.extend(index)

    def _write(self, data: Any) -> None:
        self._file.write(data)
        self._digest.update(data)


@dataclass
class _Tee:
    """A file as `shutil.copyfileobj` wants one."""

    write: Callable[[bytes], None]
