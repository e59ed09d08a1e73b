"""NTU RGB+D: ``S###C###P###R###A###.skeleton``, the text of its authors, metres.

The number of frames; for each frame the number of bodies; for each body a line of ten numbers, a
line with the number of joints, and for each joint a line of twelve, of which the first three are
its position. Body m of a clip is the m-th body of each frame, up to six of them, and the first
number of a body's line says which it is: the bodies are followed by it (``tracking``).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import ClipInfo
from skelcon.data.importers import ntu_facts
from skelcon.data.importers.files import check_file, files_named, folders_in, text_of
from skelcon.data.importers.numbers import NumberError, read_numbers
from skelcon.data.importers.parts import FARTHEST
from skelcon.data.importers.source import BadLineError, Note, RawClip, Source
from skelcon.data.layouts import KINECT_V2
from skelcon.errors import UserError

MOST_BODIES = 6
"""Bodies of a frame that are read: the sensor tracks no more."""
_JOINTS = KINECT_V2.num_joints
_BODY_LINES = 2 + _JOINTS
_NUMBERS = 12
"""Of a joint's line."""
_SPARSE_BYTES = 64 << 20
"""A clip may be this large, or as large as its file: a whole file is larger than its clip."""
_NAME = re.compile(r"S[0-9]{3}C[0-9]{3}P[0-9]{3}R[0-9]{3}A[0-9]{3}\.skeleton")
_SIMILAR = re.compile(r"[^.].*\.skeleton", re.DOTALL)


class Ntu(Source):
    """NTU RGB+D and NTU RGB+D 120: 25 joints, one clip per file, named after what it is."""

    family = "ntu"
    title = "NTU RGB+D"
    batch = 64
    layout = KINECT_V2
    bodies = "tracked"

    @classmethod
    def find(cls, path: Path) -> Source | None:
        """The files in a directory, or in the directories right below it, by name."""
        files = _files_in(path)
        if not files:
            files = list(itertools.chain.from_iterable(map(_files_in, folders_in(path))))
        files.sort(key=lambda file: file.name)
        for one, other in itertools.pairwise(files):
            if one.name == other.name:
                raise UserError(
                    f"'{one.name}' is in '{one.parent}' and in '{other.parent}': give the path "
                    "of one of them"
                )
        return cls(path, files) if files else None

    @cached_property
    def name(self) -> str:
        """``ntu120`` if the name of a file is beyond the first data set, else ``ntu60``."""
        return ntu_facts.dataset_name(self._infos())

    def _infos(self) -> Iterator[ClipInfo]:
        """What the names say of the clips that are not left out."""
        for file in self.files:
            info = ntu_facts.ntu_info_or_none(file.name)
            if info is not None and self.exclude.isdisjoint((info.name, file.name)):
                yield info

    def notes(self, infos: Sequence[ClipInfo]) -> Iterator[Note]:
        """Also the few names that make it NTU RGB+D 120."""
        yield from super().notes(infos)
        yield from ntu_facts.beyond_note(self._infos())

    @property
    def class_names(self) -> Sequence[str]:
        """All actions of the data set, whichever of them are there."""
        return ntu_facts.class_names(self.name)

    def read(self, item: Path) -> Iterator[RawClip]:
        """The one clip of a file, and which bodies they are."""
        info = ntu_facts.ntu_info(item.name)
        check_file(item)
        coordinates, ids = read_skeleton(text_of(item))
        yield RawClip(info, coordinates, item.name, ids)

    def splits(self, infos: Sequence[ClipInfo]) -> dict[str, NDArray[np.int8]]:
        """The protocols of the data set."""
        return ntu_facts.protocols(infos, self.name)


def _files_in(directory: Path) -> list[Path]:
    """Its clips; if there are any, also what only ends alike, so that a misnamed file is listed."""
    files = files_named(directory, _SIMILAR)
    return files if any(_NAME.fullmatch(file.name) for file in files) else []


def read_skeleton(data: bytes) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(M, T, 25, 3) metres and (M, T) which body each is, from the content of a file.

    At most six bodies. Which they are is a number counted from 0, and -1 where a body is absent or
    the file does not say.

    Raises:
        ValueError: if the file is damaged; :class:`BadLineError` if it is known where.
    """
    if not data or data.isspace():
        raise ValueError("the file is empty")
    if 0 in data or not data.isascii():
        before = re.match(rb"[\x01-\x7f]*", data)
        assert before is not None
        raise BadLineError("a byte that is not text", before[0].count(b"\n") + 1)
    try:
        return _Skeletons(data).bodies()
    except ValueError:
        # There may be more space between the numbers than the sensor puts there.
        tidy = _tidied(data)
        if tidy == data:
            raise
    return _Skeletons(tidy).bodies()


def _tidied(data: bytes) -> bytes:
    """The same lines with one space between numbers, and none before or behind them."""
    text = data.rstrip().translate(bytes.maketrans(b"\t\r\v\f", b"    "))
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text.replace(b" \n", b"\n").replace(b"\n ", b"\n").lstrip(b" ") + b"\n"


class _Skeletons:
    """A file's text and where its numbers start and end; lines count from 0."""

    def __init__(self, data: bytes) -> None:
        self.data = data if data.endswith(b"\n") else data + b"\n"
        characters = np.frombuffer(self.data, np.uint8)
        self.gaps = np.flatnonzero(characters <= ord(" "))
        """Where the spaces and line ends are; a number is between two of them."""
        self.ends = np.flatnonzero(characters[self.gaps] == ord("\n"))
        """Which of the gaps end a line."""
        self.stops = memoryview(self.gaps[self.ends].data)  # faster one by one

    def bodies(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """(M, T, 25, 3) and (M, T)."""
        found: list[tuple[int, int, int]] = []
        try:
            frames = self._walk(found)
        finally:
            # A missing or extra line shows in the joints before it shows in a count.
            frame, rank, first = np.array(found, np.int64).reshape(-1, 3).T
            lines = first[:, None] + np.arange(_JOINTS)
            self._check_lengths(lines)
        if not found:
            raise ValueError("no body in any frame")
        read = rank < MOST_BODIES
        bodies = int(rank[read].max()) + 1
        if bodies * frames * _JOINTS * 3 * 8 > max(_SPARSE_BYTES, len(self.data)):
            raise ValueError(f"{frames} frames, nearly all of them without a body")
        values = self._positions(lines[read].ravel())
        out = np.zeros((bodies, frames, _JOINTS, 3))
        out[rank[read], frame[read]] = values.reshape(-1, _JOINTS, 3)
        ids = np.full(out.shape[:2], -1, np.int64)
        ids[rank[read], frame[read]] = self._ids(first[read] - 2)
        return out, ids

    def _ids(self, lines: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which bodies the (L,) lines are of, by their first number; -1 of an empty one or a 0."""
        before = self.ends[lines - 1]
        starts, stops = self.gaps[before] + 1, self.gaps[before + 1]
        known = {b"": -1, b"0": -1}
        texts = [self.data[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
        return np.array([known.setdefault(text, len(known) - 2) for text in texts], np.int64)

    def _walk(self, found: list[tuple[int, int, int]]) -> int:
        """The number of frames; adds to ``found`` the frame of each body, its rank there and the
        line of its first joint.
        """
        frames = self._count(0, "frames")
        line = 1
        for frame in range(frames):
            if line >= len(self.stops):
                raise BadLineError(f"the file ends after {frame} of {frames} frames", line)
            bodies = self._count(line, "bodies")
            if line + bodies * _BODY_LINES >= len(self.stops):
                raise BadLineError(
                    f"{bodies} bodies in frame {frame + 1} of {frames}, but the file ends before",
                    line + 1,
                )
            for rank in range(bodies):
                joints = self._count(line + 2, "joints")
                if joints != _JOINTS:
                    raise BadLineError(f"{joints} joints, not {_JOINTS}", line + 3)
                found.append((frame, rank, line + 3))
                line += _BODY_LINES
            line += 1
        if self.data[self.stops[line - 1] :].strip():
            raise BadLineError(f"the file continues after its {frames} frames", line + 1)
        return frames

    def _count(self, line: int, what: str) -> int:
        """The number that is all of a line."""
        start = self.stops[line - 1] + 1 if line else 0
        text = self.data[start : self.stops[line]].strip()
        if not text.isdigit() or len(text) > 9:
            raise BadLineError(f"{text[:24].decode()!r} instead of the number of {what}", line + 1)
        return int(text)

    def _check_lengths(self, lines: NDArray[np.int64]) -> None:
        """Every joint must have its twelve numbers: a line that is short has lost some."""
        gaps = self.ends[lines] - self.ends[lines - 1]
        if self.data[self.stops[0] - 1] == ord("\r"):  # it is a gap, too
            gaps = gaps - 1
        wrong = gaps != _NUMBERS
        if wrong.any():
            raise BadLineError(
                f"{gaps[wrong][0]} numbers, not {_NUMBERS}", int(lines[wrong][0]) + 1
            )

    def _positions(self, lines: NDArray[np.int64]) -> NDArray[np.float64]:
        """(3 L,) the first three numbers of each of the (L,) lines."""
        around = self.gaps[self.ends[lines - 1][:, None] + np.arange(4)]
        try:
            values = read_numbers(self.data, (around[:, :3] + 1).ravel(), around[:, 1:].ravel())
        except NumberError as error:
            raise BadLineError(str(error), int(lines[error.index // 3]) + 1) from None
        far = ~(np.abs(values) < FARTHEST)
        if far.any():
            raise BadLineError(
                f"a coordinate is not finite, or beyond {FARTHEST:g} m",
                int(lines[far.argmax() // 3]) + 1,
            )
        return values
