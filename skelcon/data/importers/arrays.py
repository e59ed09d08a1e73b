"""Arrays in files, opened without trusting them: ``.npy`` files, and members of ``.npz`` archives.

A header is read without evaluating more than it needs, an array is never made larger than what
the file really holds, and one row (a clip) is in memory at a time.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
import warnings
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.files import check_file

LARGEST_ROW = 1 << 28
"""Bytes: a clip that is said to have more is none."""
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
        """The bytes of what stands at one index of the first axis."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


class StoredArray(ABC):
    """An array in a file, read row by row (a row is what stands at one index of the first axis).

    Attributes:
        where: what a message calls it.
        header: what the file says of it; the rows that it has may be fewer.
        seekable: whether to begin in the middle costs no more than to begin at the start.
    """

    where: str
    header: Header
    seekable: bool

    @property
    def count(self) -> int:
        """How many rows there are, as the header says."""
        return self.header.shape[0]

    @property
    @abstractmethod
    def whole(self) -> int:
        """How many rows the file is large enough for."""

    @abstractmethod
    def rows(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """The rows from ``start`` up to ``stop``, as far as there are; each is the caller's own.

        Raises:
            ValueError, OSError: after the last good row, if the file is damaged behind it.
        """


class MappedArray(StoredArray):
    """An array that stands in a file as it is: of an ``.npy``, or uncompressed in an ``.npz``.

    Args:
        path: the file.
        where: what messages call the array.
        at, size: the first byte of the array with its header in the file, and how many they are;
            to the end if not set.
        kinds: the kinds of dtypes that are expected.

    Raises:
        ValueError, OSError: if the file holds no such array.
    """

    seekable = True

    def __init__(
        self, path: Path, where: str, at: int = 0, size: int | None = None, kinds: str = "fiu"
    ) -> None:
        self.where = where
        self._path = path
        check_file(path)
        with path.open("rb") as file:
            length = file.seek(0, io.SEEK_END)
            file.seek(at)
            self.header = read_header(file, kinds)
        self._offset = at + self.header.size
        stop = length if size is None else min(length, at + size)
        self._bytes = max(0, stop - self._offset)

    @property
    def whole(self) -> int:
        """As :attr:`StoredArray.whole`; of an array in Fortran's order all rows, or none."""
        rows = min(self.count, self._bytes // self.header.row_bytes)
        return rows if rows == self.count or not self.header.fortran else 0

    def rows(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """As :meth:`StoredArray.rows`, from a memory map."""
        stop = min(stop, self.whole)
        if start >= stop:
            return
        values = np.memmap(
            self._path,
            self.header.dtype,
            "r",
            self._offset,
            (self.whole, *self.header.shape[1:]),
            "F" if self.header.fortran else "C",
        )
        for at in range(start, stop):
            yield np.array(values[at])


class CompressedArray(StoredArray):
    """A compressed member of an ``.npz`` archive: it is read from its beginning, as a stream.

    Raises:
        ValueError, OSError: if the member holds no such array.
    """

    seekable = False

    def __init__(self, path: Path, member: str, where: str, kinds: str = "fiu") -> None:
        self.where = where
        self._path = path
        self._member = member
        with self._open() as file:
            self.header = read_header(file, kinds)
            if self.header.fortran and self.header.row_bytes * self.count > LARGEST_ROW:
                raise ValueError("is compressed in Fortran's order: save it in C's (ascontiguous)")

    @contextlib.contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        """The member; whatever damage makes of zipfile and zlib is a ``ValueError``."""
        with _zip_errors(), zipfile.ZipFile(self._path) as archive:
            self._size = archive.getinfo(self._member).file_size
            with archive.open(self._member) as file:
                yield file

    @property
    def whole(self) -> int:
        """As :attr:`StoredArray.whole`, going by the archive's table of contents."""
        return min(self.count, max(0, self._size - self.header.size) // self.header.row_bytes)

    def rows(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """As :meth:`StoredArray.rows`; all before ``start`` is read too."""
        stop = min(stop, self.whole)
        if start >= stop:
            return
        header = self.header
        with self._open() as file:
            file.read(header.size)
            if header.fortran:
                content = file.read(header.row_bytes * self.count)
                if len(content) == header.row_bytes * self.count:
                    values = np.frombuffer(content, header.dtype).reshape(header.shape, order="F")
                    yield from (np.array(row) for row in values[start:stop])
                return
            for at in range(stop):
                content = file.read(header.row_bytes)
                if len(content) < header.row_bytes:
                    return
                if at >= start:
                    yield np.frombuffer(content, header.dtype).reshape(header.shape[1:]).copy()


def archive_members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The arrays in an ``.npz`` archive, by the names that `numpy.savez` was given.

    Raises:
        ValueError, OSError: if it is no archive that can be read.
    """
    check_file(path)
    with _zip_errors(), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    return {info.filename.removesuffix(".npy"): info for info in members}


def open_member(path: Path, info: zipfile.ZipInfo, where: str, kinds: str = "fiu") -> StoredArray:
    """The array of one member of an archive: mapped where it is stored as it is.

    Raises:
        ValueError, OSError: if there is no such array.
    """
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1:
        return CompressedArray(path, info.filename, where, kinds)
    with path.open("rb") as file:
        file.seek(info.header_offset)
        local = file.read(_LOCAL_HEADER.size)
    if len(local) < _LOCAL_HEADER.size or not local.startswith(b"PK\3\4"):
        raise ValueError("the archive is damaged where it should begin")
    _, name, extras = _LOCAL_HEADER.unpack(local)
    at = info.header_offset + _LOCAL_HEADER.size + name + extras
    return MappedArray(path, where, at, info.file_size, kinds)


@contextlib.contextmanager
def _zip_errors() -> Iterator[None]:
    """Whatever damage makes of zipfile and the decompressors is a one-line ``ValueError``."""
    try:
        yield
    except (OSError, ValueError):
        raise
    except Exception as error:  # zipfile lets many kinds of error through for a damaged archive
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"the archive is damaged ({reason})") from None


def read_header(file: IO[bytes], kinds: str = "fiu") -> Header:
    """The header of an array, at which ``file`` stands.

    Args:
        file: a file, or a member of an archive.
        kinds: the kinds of dtypes that are expected: f, i and u are numbers, U is text. Text is
            read as numbers along one more axis, the code points of its characters.

    Raises:
        ValueError: if it is damaged, or tells of no array of numbers.
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
    except Exception as error:  # numpy lets many kinds of error through for a damaged header
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"not a readable .npy header ({reason})") from None
    if dtype.kind not in kinds or dtype.hasobject:
        raise ValueError(f"holds {_brief(dtype)}, not {'text' if 'U' in kinds else 'real numbers'}")
    if dtype.kind == "U":  # numpy raises SystemError for what is no character
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
