"""`SkeletonDataset`: one packed, memory-mapped, pickle-free artefact with a fingerprint.

On disk a data set is a directory of three files:

    frames.npy   (F, V, 3) float32: the frames in which a body is present, body after body; after
                 them, not counted in the file's header, one more row of zeros
    index.npz    one row a clip: label, subject, camera, setup, length, where its bodies' frames
                 are in frames.npy, and one int8 row per split
    meta.json    layout, class names, clip names, layout family, normalisation, fingerprint

A clip of T frames and M bodies has, for each body, a *block* of consecutive frames: ``offset``
(its first row in frames.npy), ``start`` (the frame of the clip at which it starts) and ``count``
(0 where the body is absent). Outside its block a body is all zeros: frames gathered by row are the
row of zeros there. (Data sets of earlier versions do not have that row.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelcon.data.layouts import SkeletonLayout
from skelcon.data.normalise import Normalisation
from skelcon.errors import UserError

FORMAT_VERSION = 1
UNKNOWN = -1
"""The subject, camera or setup where a source does not state it."""

IntArray = NDArray[np.int64]
INDEX_COLUMNS = ("label", "subject", "camera", "setup", "length")
BLOCK_COLUMNS = ("offset", "start", "count")


@dataclass(frozen=True)
class ClipInfo:
    """What is known of a clip besides its coordinates."""

    name: str
    label: int
    subject: int = UNKNOWN
    camera: int = UNKNOWN
    setup: int = UNKNOWN


@dataclass(frozen=True)
class SkeletonDataset:
    """A read-only view of a packed data set; :meth:`open` it, do not build it.

    Attributes:
        frames: (F, V, 3) float32, memory-mapped, metres.
        padded: (F + 1, V, 3), the same memory and the row of zeros; None if the file has none.
            It is a copy-on-write map: torch accepts it as it is, and what is written there stays
            in this process.
        columns: label, subject, camera, setup and length, each (N,) int64.
        blocks: offset, start and count, each (N, M) int64.
        splits: protocol -> (N,) int8: 0 trains, 1 tests, -1 takes no part.
    """

    path: Path
    frames: NDArray[np.float32]
    columns: Mapping[str, IntArray]
    blocks: Mapping[str, IntArray]
    splits: Mapping[str, NDArray[np.int8]]
    layout: SkeletonLayout
    class_names: tuple[str, ...]
    clip_names: tuple[str, ...]
    family: str
    normalisation: Normalisation
    fingerprint: str
    synthetic: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)
    padded: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)

    @staticmethod
    def open(path: Path | str) -> SkeletonDataset:
        """Open the data set at ``path`` (a directory); its frames stay on disk.

        Raises:
            UserError: if there is no packed data set, or one of another format version.
        """
        path = Path(path)
        try:
            meta = json.loads((path / "meta.json").read_text(encoding="utf-8"))
            version = meta["format"]
            if version == FORMAT_VERSION:
                return _opened(path, meta)
        except FileNotFoundError:
            raise UserError(f"'{path}' is not a packed skelcon data set") from None
        except Exception as error:  # a damaged file raises errors of many kinds
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"'{path}' is a damaged packed data set ({reason})") from None
        raise UserError(
            f"'{path}' has data format {version}, this skelcon reads {FORMAT_VERSION}: "
            "import it again"
        )

    @staticmethod
    def open_header(path: Path) -> SkeletonDataset:
        """All of a data set but its frames, of a directory without ``frames.npy``.

        Raises:
            UserError: if it is not there, or damaged.
        """
        try:
            return _opened(
                path, json.loads((path / "meta.json").read_text(encoding="utf-8")), header_only=True
            )
        except Exception as error:  # whatever a damaged file makes of json, numpy or zipfile
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"'{path}' is not the header of a data set ({reason})") from None

    def __len__(self) -> int:
        return len(self.clip_names)

    def __repr__(self) -> str:
        clips, classes, layout = len(self), self.num_classes, self.layout.name
        facts = f"{clips} clips of {classes} classes, layout {layout}, data {self.fingerprint}"
        return f"SkeletonDataset({self.name!r}: {facts})"

    @property
    def name(self) -> str:
        """The name of this data set in tables."""
        return str(self.meta.get("name", self.path.name))

    @property
    def labels(self) -> IntArray:
        """(N,) class indices."""
        return self.columns["label"]

    @property
    def lengths(self) -> IntArray:
        """(N,) numbers of frames."""
        return self.columns["length"]

    @property
    def max_bodies(self) -> int:
        """M, the largest number of bodies in a clip."""
        return int(self.blocks["count"].shape[1])

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def main_blocks(self) -> tuple[IntArray, IntArray]:
        """Offset and count, each (N,), of the main body's block: the first that is ever present."""
        main = (self.blocks["count"] > 0).argmax(axis=1)[:, None]
        offset, count = (
            np.take_along_axis(self.blocks[name], main, axis=1)[:, 0]
            for name in ("offset", "count")
        )
        return offset, count

    def clip(self, index: int) -> NDArray[np.float32]:
        """The clip ``index`` as (M, T, V, 3), absent bodies as zeros; ``IndexError`` if none."""
        length = int(self.lengths[index])
        out = np.zeros((self.max_bodies, length, *self.frames.shape[1:]), np.float32)
        for body in range(self.max_bodies):
            offset, start, count = (int(self.blocks[c][index, body]) for c in BLOCK_COLUMNS)
            out[body, start : start + count] = self.frames[offset : offset + count]
        return out

    def content_digest(self) -> str:
        """The fingerprint computed from the files on disk (reads all of them)."""
        digest = hashlib.sha256()
        step = max(1, (64 << 20) // max(1, self.frames[:1].nbytes))
        for at in range(0, len(self.frames), step):
            digest.update(np.ascontiguousarray(self.frames[at : at + step]).data)
        return fingerprint_of(
            digest.hexdigest(), {**self.columns, **self.blocks}, self.splits, self.meta
        )


def _opened(path: Path, meta: dict[str, Any], *, header_only: bool = False) -> SkeletonDataset:
    clip_names = tuple(meta["clip_names"])
    with (path / "index.npz").open("rb") as file, np.lib.npyio.NpzFile(file) as index:
        arrays = {name: index[name] for name in index.files}
    for name, values in arrays.items():
        axes = 2 if name in BLOCK_COLUMNS else 1
        if values.ndim != axes or values.dtype.kind != "i" or len(values) != len(clip_names):
            raise ValueError(
                f"index.npz, {name}: {values.dtype} {values.shape} for {len(clip_names)} clips"
            )
    layout = SkeletonLayout.from_dict(meta["layout"])
    frames: NDArray[np.float32] = np.empty((0, layout.num_joints, 3), np.float32)
    padded = None
    if not header_only:
        frames, padded = _mapped(path / "frames.npy", (layout.num_joints, 3))
    return SkeletonDataset(
        path=path,
        frames=frames,
        columns={name: arrays[name] for name in INDEX_COLUMNS},
        blocks={name: arrays[name] for name in BLOCK_COLUMNS},
        splits={
            name.removeprefix("split_"): values
            for name, values in arrays.items()
            if name.startswith("split_")
        },
        layout=layout,
        class_names=tuple(meta["class_names"]),
        clip_names=clip_names,
        family=meta["family"],
        normalisation=Normalisation(**meta["normalisation"]),
        fingerprint=meta["fingerprint"],
        synthetic=bool(meta["synthetic"]),
        meta=meta,
        padded=padded,
    )


def _mapped(
    path: Path, row: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """``frames`` and ``padded`` of a data set; ``ValueError`` if the file has no such rows."""
    stored = np.lib.format.open_memmap(path, mode="r")
    if stored.dtype != np.float32 or stored.shape[1:] != row or not stored.flags.c_contiguous:
        raise ValueError(f"frames.npy holds {stored.dtype} {stored.shape}, not float32 (F, *{row})")
    behind = path.stat().st_size - stored.offset - stored.nbytes
    if not behind:
        return stored, None
    padded = np.memmap(path, np.float32, "c", stored.offset, (len(stored) + 1, *row))
    if behind != padded[-1].nbytes or np.any(padded[-1]):
        raise ValueError("what follows the frames of frames.npy is not one row of zeros")
    frames = padded[:-1]
    frames.flags.writeable = False
    return frames, padded


def fingerprint_of(
    frames_digest: str,
    arrays: Mapping[str, NDArray[Any]],
    splits: Mapping[str, NDArray[Any]],
    meta: Mapping[str, Any],
) -> str:
    """16 hex digits over everything that decides a number: frames, index, splits, header."""
    digest = hashlib.sha256(frames_digest.encode())
    named = {**arrays, **{f"split_{name}": values for name, values in splits.items()}}
    for name in sorted(named):
        values = np.ascontiguousarray(named[name])
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(values.data)
    header = {
        key: meta[key]
        for key in ("format", "layout", "class_names", "clip_names", "family", "normalisation")
    }
    digest.update(json.dumps(header, sort_keys=True).encode())
    return digest.hexdigest()[:16]
