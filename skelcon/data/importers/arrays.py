"""Arrays in files, opened without trusting them: ``.npy`` files, and members of ``.npz`` archives.

A header is read without evaluating more than it needs, an array is never made larger than what
the file really holds, and one row (a clip) is in memory at a time.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
import sys
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.files import check_file

LARGEST_ROW = 1 << 28
"""Bytes: a larger row is damage, not a clip."""
_HEADER = 1 << 16
_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Of a member of a zip archive: its magic, and the lengths of what follows: name and extras."""


@dataclass(frozen=True)
class Header:
    """What the header of an array says; ``size`` is its own length in bytes."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    size: int

    @property
    def row_bytes(self) -> int:
        """The bytes of one row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


class StoredArray:
    """An array in a file, read row by row (a row is one index of the first axis).

    Args:
        path: the file.
        where: what messages call the array.
        member: the member of the archive ``path``; None if ``path`` is an ``.npy`` file.
        kinds: the kinds of dtypes that are expected, as of :func:`read_header`.

    Attributes:
        where: what messages call it.
        header: what the file says of it; it may hold fewer rows.
        seekable: whether a row can be read without the rows before it.

    Raises:
        ValueError, OSError: if the file holds no such array.
    """

    def __init__(
        self, path: Path, where: str, member: zipfile.ZipInfo | None = None, kinds: str = "fiu"
    ) -> None:
        self.where = where
        self._path = path
        self._member = member
        check_file(path)
        self.seekable = member is None or not (
            member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 0x1
        )
        self._start = 0 if member is None or not self.seekable else _content_of(path, member)
        with self._open() as file:
            self.header = read_header(file, kinds)
        length = path.stat().st_size - self._start if self.seekable else sys.maxsize
        size = length if member is None else min(length, member.file_size)
        self._bytes = max(0, size - self.header.size)
        whole = self.header.row_bytes * self.count
        if self.header.fortran and not self.seekable and whole > LARGEST_ROW:
            raise ValueError("is compressed in Fortran's order: save it in C's (ascontiguous)")

    @contextlib.contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        """The file, at the header of the array; damage of an archive is a ``ValueError``."""
        if self._member is None or self.seekable:
            with self._path.open("rb") as file:
                file.seek(self._start)
                yield file
        else:
            with (
                _zip_errors(),
                zipfile.ZipFile(self._path) as archive,
                archive.open(self._member) as member,
            ):
                yield member

    @property
    def count(self) -> int:
        """How many rows there are, as the header says."""
        return self.header.shape[0]

    @property
    def whole(self) -> int:
        """How many rows the file is large enough for; in Fortran's order all of them, or none."""
        rows = min(self.count, self._bytes // self.header.row_bytes)
        return rows if rows == self.count or not self.header.fortran else 0

    def rows_or_faults(self, start: int, stop: int) -> Iterator[NDArray[Any] | str]:
        """The rows from ``start`` up to ``stop``; after damage, for each row why it is lost."""
        rows, fault = self.rows(start, stop), ""
        for _ in range(start, stop):
            row = None
            try:
                row = None if fault else next(rows, None)
            except (ValueError, OSError) as error:
                fault = str(error)
            if row is None and not fault:
                fault = f"{self.where} ends before it: the file is truncated"
            yield fault if row is None else row

    def rows(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """The rows from ``start`` up to ``stop``, as far as there are, read-only.

        Raises:
            ValueError, OSError: after the last good row, if the file is damaged there.
        """
        stop = min(stop, self.whole)
        header = self.header
        if start >= stop:
            return
        if header.fortran and self.seekable:
            offset = self._start + header.size
            yield from np.memmap(self._path, header.dtype, "r", offset, header.shape, "F")[
                start:stop
            ]
            return
        with self._open() as file:
            if header.fortran:
                file.seek(header.size, io.SEEK_CUR)
                values = np.frombuffer(file.read(header.row_bytes * self.count), header.dtype)
                yield from values.reshape(header.shape, order="F")[start:stop]
                return
            file.seek(header.size + start * header.row_bytes, io.SEEK_CUR)
            for _ in range(start, stop):
                content = file.read(header.row_bytes)
                if len(content) < header.row_bytes:
                    return
                yield np.frombuffer(content, header.dtype).reshape(header.shape[1:])


def archive_members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The arrays in an ``.npz`` archive, by the names that `numpy.savez` was given.

    Raises:
        ValueError, OSError: if it is not an archive that can be read.
    """
    check_file(path)
    with _zip_errors(), zipfile.ZipFile(path) as archive:
        return {info.filename.removesuffix(".npy"): info for info in archive.infolist()}


def _content_of(path: Path, member: zipfile.ZipInfo) -> int:
    """The offset in an archive of the content of a member that is not compressed."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        local = file.read(_LOCAL_HEADER.size)
    if len(local) < _LOCAL_HEADER.size or not local.startswith(b"PK\3\4"):
        raise ValueError("the archive is damaged where it should start")
    _, name, extras = _LOCAL_HEADER.unpack(local)
    return int(member.header_offset + _LOCAL_HEADER.size + name + extras)


@contextlib.contextmanager
def _zip_errors() -> Iterator[None]:
    """Errors of zipfile and the decompressors become a one-line ``ValueError``."""
    try:
        yield
    except (OSError, ValueError):
        raise
    except Exception as error:  # a damaged archive raises errors of many kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"the archive is damaged ({reason})") from None


def read_header(file: IO[bytes], kinds: str = "fiu") -> Header:
    """The header of an array, at the current position of ``file``.

    Args:
        file: a file, or a member of an archive.
        kinds: the kinds of dtypes that are expected: f, i and u are numbers, U is text. Text is
            read as numbers along one more axis, the code points of its characters.

    Raises:
        ValueError: if it is damaged, or an array of anything but numbers.
    """
    start = io.BytesIO(file.read(_HEADER))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers by old Pythons
            version = np.lib.format.read_magic(start)
            if version == (1, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(start)
            elif version == (2, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_2_0(start)
            else:
                raise ValueError(f"its version is {version[0]}.{version[1]}")
    except MemoryError:  # a literal nested too deeply
        raise ValueError("not a readable .npy header") from None
    except Exception as error:  # a damaged header raises errors of many kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"not a readable .npy header ({reason})") from None
    wanted = "text" if "U" in kinds else "real numbers"
    if dtype.hasobject:
        raise ValueError(
            f"holds Python objects, not {wanted}: save a plain array (clips of different lengths: "
            "padded, with their lengths, or a file a clip)"
        )
    if dtype.kind not in kinds:
        raise ValueError(f"holds {_brief(dtype)}, not {wanted}")
    if dtype.kind == "U":  # numpy raises SystemError for an invalid character
        shape, dtype = (*shape, dtype.itemsize // 4), np.dtype(f"{dtype.byteorder}u4")
    if not shape or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(f"its header says that its shape is {_brief(shape)}")
    header = Header(shape, dtype, bool(fortran) and len(shape) > 1, start.tell())
    if not 0 < header.row_bytes <= LARGEST_ROW:
        raise ValueError(f"its header says that its shape is {_brief(shape)}: no clips have that")
    return header


def _brief(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
