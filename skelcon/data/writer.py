"""`DatasetWriter`: writes a packed data set clip by clip; it appears whole or not at all."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import (
    BLOCK_COLUMNS,
    FORMAT_VERSION,
    INDEX_COLUMNS,
    ClipInfo,
    SkeletonDataset,
    fingerprint_of,
)
from skelcon.data.layouts import SkeletonLayout
from skelcon.data.normalise import Normalisation, check_steps
from skelcon.data.packing import ClipPacker, PackedIndex
from skelcon.errors import UserError
from skelcon.wholefile import whole_file

REPORT = "import-report.json"
_HEADER = 128
"""Bytes of the header of frames.npy, which is written last: only then its shape is known."""


class DatasetWriter:
    """Writes a packed data set clip by clip, in bounded memory.

    Use as a context manager: ``path`` does not exist until :meth:`close`. ``origin`` records in the
    header how the clips were made; no number depends on it. Until it is whole the data set is in
    the directory ``scratch``, on the same disk; by default beside ``path``.

    Of a layout of two dimensions the clips have x, y and a confidence: 1 where nothing is known of
    it, and all three 0 where a joint is missing.

    Raises:
        UserError: if the normalisation needs three dimensions, and the layout has two.
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
        origin: Mapping[str, Any] | None = None,
        scratch: Path | None = None,
    ) -> None:
        check_steps(normalisation, layout)
        self.path = Path(path)
        self._scratch = scratch or self.path.parent
        self._layout = layout
        self._meta: dict[str, Any] = {
            "format": FORMAT_VERSION,
            "name": name,
            "layout": layout.to_dict(),
            "class_names": list(class_names),
            "family": family,
            "normalisation": normalisation.model_dump(),
            "synthetic": synthetic,
            **({"origin": dict(origin)} if origin else {}),
        }

    def __enter__(self) -> DatasetWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._tmp = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self._scratch))
        # mkdtemp hides its directory from others, who may share the data set.
        umask = os.umask(0)
        os.umask(umask)
        self._tmp.chmod(0o777 & ~umask)
        self._frames = (self._tmp / "frames.npy").open("wb")
        self._frames.write(bytes(_HEADER))
        self._packer = ClipPacker(self._frames, self._layout, len(self._meta["class_names"]))
        return self

    def add(self, info: ClipInfo, clip: NDArray[np.floating]) -> None:
        """Append a clip (M, T, V, 3); ``ValueError`` as :meth:`ClipPacker.add`."""
        self._packer.add(info, clip)

    def append(self, raw: Path, index: PackedIndex) -> None:
        """Append packed clips; ``ValueError`` as :meth:`ClipPacker.append`."""
        self._packer.append(raw, index)

    def _finish(self, splits: Mapping[str, NDArray[np.integer]]) -> None:
        index = self._packer.index
        if not index.infos:
            raise UserError(f"no clip to write to '{self.path}'")
        self._frames.write(bytes(self._layout.num_joints * 3 * 4))  # the row of zeros
        self._frames.seek(0)
        self._frames.write(_npy_header((index.rows, self._layout.num_joints, 3)))
        self._frames.flush()
        os.fsync(self._frames.fileno())
        self._frames.close()
        bodies = max(len(blocks) for blocks in index.blocks)
        padded = [blocks + [(0, 0, 0)] * (bodies - len(blocks)) for blocks in index.blocks]
        table = np.array(padded, np.int64)
        arrays: dict[str, NDArray[Any]] = {
            column: np.array([getattr(info, column) for info in index.infos], np.int64)
            for column in INDEX_COLUMNS[:-1]
        }
        arrays["length"] = np.array(index.lengths, np.int64)
        arrays.update({column: table[:, :, i] for i, column in enumerate(BLOCK_COLUMNS)})
        sides = {name: np.asarray(values, np.int8) for name, values in splits.items()}
        self._meta["clip_names"] = [info.name for info in index.infos]
        self._meta["fingerprint"] = fingerprint_of(self._packer.digest, arrays, sides, self._meta)
        columns = {**arrays, **{f"split_{name}": values for name, values in sides.items()}}
        # On disk before the directory is renamed: the data set is whole even after a power failure.
        with whole_file(self._tmp / "index.npz") as file:
            np.savez(file, **columns)  # type: ignore[arg-type]
        with whole_file(self._tmp / "meta.json") as file:
            file.write((json.dumps(self._meta, indent=1) + "\n").encode())

    def close(
        self,
        splits: Mapping[str, NDArray[np.integer]],
        report: Mapping[str, Any] | None = None,
    ) -> SkeletonDataset:
        """Write the index and open the result.

        Args:
            splits: protocol -> (N,) 0/1/-1.
            report: the content of ``import-report.json`` beside the data.
        """
        self._finish(splits)
        if report is not None:
            (self._tmp / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
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
        return tuple(self._packer.index.infos)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._frames.close()
        except OSError:  # a full disk, as is known already
            if error is None:
                raise
        finally:
            shutil.rmtree(self._tmp, ignore_errors=True)


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """The header of an .npy file of little-endian float32, of ``_HEADER`` bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    if len(header.getvalue()) != _HEADER:
        raise AssertionError(f"an .npy header of {len(header.getvalue())} bytes")
    return header.getvalue()
