"""`SkeletonDataset`: one packed, memory-mapped, pickle-free artefact with a fingerprint.

On disk a data set is a directory of three files:

    frames.npy   (F, V, 3) float32: the frames in which a body is present, body after body
    index.npz    one row a clip: label, subject, camera, setup, length, where its bodies' frames
                 stand in frames.npy, and one int8 row per split
    meta.json    layout, class names, clip names, layout family, normalisation, fingerprint

A clip of T frames and M bodies has, for each body, a *block* of consecutive frames: ``offset``
(its first row in frames.npy), ``start`` (the frame of the clip at which it begins) and ``count``
(0 where the body is absent). Outside its block a body is all zeros.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelcon.data.layouts import SkeletonLayout
from skelcon.data.normalise import Normalisation
from skelcon.errors import UserError

FORMAT_VERSION = 1
UNKNOWN = -1
"""What subject, camera or setup is where a source does not tell."""

IntArray = NDArray[np.int64]
INDEX_COLUMNS = ("label", "subject", "camera", "setup", "length")
BLOCK_COLUMNS = ("offset", "start", "count")


@dataclass(frozen=True)
class ClipInfo:
    """What is known of a clip beside its coordinates."""

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

    @staticmethod
    def open(path: Path | str) -> SkeletonDataset:
        """Open the data set at ``path`` (a directory); its frames stay on disk.

        Raises:
            UserError: if there is no packed data set, or one of another format version.
        """
        path = Path(path)
        try:
            meta = json.loads((path / "meta.json").read_text())
            version = meta["format"]
            if version == FORMAT_VERSION:
                return _opened(path, meta)
        except FileNotFoundError:
            raise UserError(f"'{path}' is not a packed skelcon data set") from None
        except Exception as error:  # whatever a damaged file makes of json, numpy or zipfile
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"'{path}' is a damaged packed data set ({reason})") from None
        raise UserError(
            f"'{path}' has data format {version}, this skelcon reads {FORMAT_VERSION}: "
            "import it again"
        )

    def __len__(self) -> int:
        return len(self.clip_names)

    @property
    def name(self) -> str:
        """What tables call this data set."""
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

    def clip(self, index: int) -> NDArray[np.float32]:
        """The clip ``index`` as (M, T, V, 3), absent bodies as zeros; ``IndexError`` if none."""
        length = int(self.lengths[index])
        out = np.zeros((self.max_bodies, length, *self.frames.shape[1:]), np.float32)
        for body in range(self.max_bodies):
            offset, start, count = (int(self.blocks[c][index, body]) for c in BLOCK_COLUMNS)
            out[body, start : start + count] = self.frames[offset : offset + count]
        return out

    def content_digest(self) -> str:
        """The fingerprint computed anew from what is on disk (reads all of it)."""
        digest = hashlib.sha256()
        step = max(1, (64 << 20) // max(1, self.frames[:1].nbytes))
        for at in range(0, len(self.frames), step):
            digest.update(np.ascontiguousarray(self.frames[at : at + step]).data)
        return _fingerprint(digest.hexdigest(), {**self.columns, **self.blocks}, self.splits,
                            self.meta)  # fmt: skip


def _opened(path: Path, meta: dict[str, Any]) -> SkeletonDataset:
    with (path / "index.npz").open("rb") as file, np.lib.npyio.NpzFile(file) as index:
        arrays = {name: index[name] for name in index.files}
    return SkeletonDataset(
        path=path,
        frames=np.lib.format.open_memmap(path / "frames.npy", mode="r"),
        columns={name: arrays[name] for name in INDEX_COLUMNS},
        blocks={name: arrays[name] for name in BLOCK_COLUMNS},
        splits={
            name.removeprefix("split_"): values
            for name, values in arrays.items()
            if name.startswith("split_")
        },
        layout=SkeletonLayout.from_dict(meta["layout"]),
        class_names=tuple(meta["class_names"]),
        clip_names=tuple(meta["clip_names"]),
        family=meta["family"],
        normalisation=Normalisation(**meta["normalisation"]),
        fingerprint=meta["fingerprint"],
        synthetic=bool(meta["synthetic"]),
        meta=meta,
    )


def _fingerprint(
    frames_digest: str,
    arrays: Mapping[str, NDArray[Any]],
    splits: Mapping[str, NDArray[Any]],
    meta: Mapping[str, Any],
) -> str:
    """16 hex digits over all that decides a number: frames, index, splits and the header."""
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


class DatasetWriter:
    """Writes a packed data set clip by clip, in bounded memory, and puts it in place whole.

    Use as a context manager: nothing stands at ``path`` until the block ends without an error.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        name: str,
        layout: SkeletonLayout,
        class_names: Sequence[str],
        family: str,
        normalisation: Normalisation,
        synthetic: bool = False,
    ) -> None:
        self.path = Path(path)
        self._layout = layout
        self._meta: dict[str, Any] = {
            "format": FORMAT_VERSION,
            "name": name,
            "layout": layout.to_dict(),
            "class_names": list(class_names),
            "family": family,
            "normalisation": normalisation.model_dump(),
            "synthetic": synthetic,
        }
        self._infos: list[ClipInfo] = []
        self._lengths: list[int] = []
        self._blocks: list[list[tuple[int, int, int]]] = []
        self._digest = hashlib.sha256()
        self._rows = 0

    def __enter__(self) -> DatasetWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._tmp = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))
        # mkdtemp hides its directory from others, who may share the data set.
        umask = os.umask(0)
        os.umask(umask)
        self._tmp.chmod(0o777 & ~umask)
        self._raw = (self._tmp / "frames.raw").open("wb")
        return self

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
        if not 0 <= info.label < len(self._meta["class_names"]):
            raise ValueError(f"label {info.label} has no class name")
        blocks = []
        for body in values:
            (present,) = np.nonzero(np.any(body != 0, axis=(1, 2)))
            if not len(present):
                blocks.append((0, 0, 0))
                continue
            start, count = int(present[0]), int(present[-1] - present[0] + 1)
            block = body[start : start + count]
            self._raw.write(block)
            self._digest.update(block)
            blocks.append((self._rows, start, count))
            self._rows += count
        if not any(count for _, _, count in blocks):
            raise ValueError("no body is present in any frame")
        self._infos.append(info)
        self._lengths.append(values.shape[1])
        self._blocks.append(blocks)

    def _finish(self, splits: Mapping[str, NDArray[np.integer]]) -> None:
        if not self._infos:
            raise UserError(f"no clip to write to '{self.path}'")
        self._raw.close()
        bodies = max(len(blocks) for blocks in self._blocks)
        padded = [blocks + [(0, 0, 0)] * (bodies - len(blocks)) for blocks in self._blocks]
        table = np.array(padded, np.int64)
        arrays: dict[str, NDArray[Any]] = {
            column: np.array([getattr(info, column) for info in self._infos], np.int64)
            for column in INDEX_COLUMNS[:-1]
        }
        arrays["length"] = np.array(self._lengths, np.int64)
        arrays.update({column: table[:, :, i] for i, column in enumerate(BLOCK_COLUMNS)})
        sides = {name: np.asarray(values, np.int8) for name, values in splits.items()}
        self._meta["clip_names"] = [info.name for info in self._infos]
        self._meta["fingerprint"] = _fingerprint(
            self._digest.hexdigest(), arrays, sides, self._meta
        )
        _wrap_npy(self._tmp / "frames.raw", self._tmp / "frames.npy",
                  (self._rows, self._layout.num_joints, 3))  # fmt: skip
        columns = {**arrays, **{f"split_{name}": values for name, values in sides.items()}}
        np.savez(self._tmp / "index.npz", **columns)  # type: ignore[arg-type]
        (self._tmp / "meta.json").write_text(json.dumps(self._meta, indent=1) + "\n")

    def close(self, splits: Mapping[str, NDArray[np.integer]]) -> SkeletonDataset:
        """Write the index with its ``splits`` (protocol -> (N,) 0/1/-1) and open the result."""
        self._finish(splits)
        replaced = self._tmp.with_name(f"{self._tmp.name}.old")
        with contextlib.suppress(FileNotFoundError):
            self.path.rename(replaced)
        self._tmp.rename(self.path)
        if replaced.is_dir() and not replaced.is_symlink():
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            replaced.unlink(missing_ok=True)
        return SkeletonDataset.open(self.path)

    @property
    def infos(self) -> tuple[ClipInfo, ...]:
        """What has been added so far, in order."""
        return tuple(self._infos)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._raw.close()
        shutil.rmtree(self._tmp, ignore_errors=True)


def _wrap_npy(raw: Path, npy: Path, shape: tuple[int, ...]) -> None:
    """Turn raw little-endian float32 into an .npy file without reading it into memory."""
    with npy.open("wb") as out:
        np.lib.format.write_array_header_1_0(
            out, {"descr": "<f4", "fortran_order": False, "shape": shape}
        )
        with raw.open("rb") as source:
            shutil.copyfileobj(source, out, 16 << 20)
        out.flush()
        os.fsync(out.fileno())
    raw.unlink()
