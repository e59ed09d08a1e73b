"""`Source`: what every importer implements, the files of one layout family at one path.

An importer is one module with a subclass of :class:`Source`. It says what is at a path
(:meth:`Source.find`), in which *items* it is read (a file, a stretch of an array), and what the
clips of an item are (:meth:`Source.read`). :mod:`~skelcon.data.importers.pipeline` does the rest
for all of them: choosing bodies, excluding, normalising, checking, packing, resuming and parallel
work. Items are read in any order and in several processes: ``read`` must depend on nothing but the
item and the files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from skelcon.data.anatomy import DoubtKind
from skelcon.data.dataset import ClipInfo
from skelcon.data.importers.bodies import Bodies
from skelcon.data.importers.files import is_folder
from skelcon.data.layouts import SkeletonLayout
from skelcon.data.normalise import Normalisation
from skelcon.data.record import Record
from skelcon.errors import UserError
from skelcon.printable import counted

RAW = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
"""Nothing is done to the coordinates."""


@dataclass(frozen=True)
class RawClip:
    """A clip as its file has it: ``coordinates`` (M, T, V, 3), absent bodies and joints zeros.

    ``file`` is its name in a report, if that is not the clip's name. Where a file lists the bodies
    of each frame in any order, ``ids`` (M, T) are which they are, -1 where it does not say.
    ``counts`` are what an import adds up and reports (``frames interpolated``).
    """

    info: ClipInfo
    coordinates: NDArray[np.floating]
    file: str = ""
    ids: NDArray[np.int64] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SkippedFile:
    """A file, or a clip of one, that could not be used, and why; ``line`` counts from 1.

    ``clips`` is how many clips are lost with it.
    """

    name: str
    reason: str
    line: int | None = None
    clips: int = 1


NoteKind = (
    Literal["bodies", "frames", "joints", "files", "labels", "arrays", "names", "splits"]
    | DoubtKind
)


@dataclass(frozen=True)
class Note:
    """Something to know about an import, beside the clips that are lost.

    ``about`` is its topic, ``text`` a sentence, ``names`` are the clips or files that it is about.
    """

    about: NoteKind
    text: str
    names: tuple[str, ...] = ()


def lost_clips(skipped: Iterable[SkippedFile]) -> int:
    """How many clips are lost with all that was skipped."""
    return sum(bad.clips for bad in skipped)


class BadLineError(ValueError):
    """A file is bad in a known ``line``, counted from 1."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.line = line


class Source(ABC):
    """The files of one layout family at a path.

    Only names of files are read before :attr:`items` is used, so that it costs nothing to find what
    has been imported already.

    Attributes:
        family: the family's name, as ``--format`` takes it and the data set's header records it.
        title: what the family is called in a sentence.
        batch: how many items are read in one piece of work, some ten to a hundred clips.
        bodies: what is done about the bodies, where no option says.
        path: where it was looked for.
        files: all files that decide what is imported, in a fixed order.
    """

    family: ClassVar[str]
    title: ClassVar[str]
    batch: ClassVar[int] = 1
    bodies: ClassVar[Bodies] = "as-listed"

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.path = path
        self.files = tuple(files)
        self.exclude: frozenset[str] = frozenset()
        """Names of clips that are left out: they decide nothing."""

    @classmethod
    @abstractmethod
    def find(cls, path: Path) -> Source | None:
        """The files of this family at ``path``, a directory or a file; None if there are none.

        Raises:
            UserError: if there are some, but they make no data set (a part of them is missing).
        """

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the data set in tables (``ntu60``, ``ntu120``, ``pkummd1``, ...)."""

    @property
    @abstractmethod
    def layout(self) -> SkeletonLayout:
        """The joints of the files."""

    @property
    @abstractmethod
    def class_names(self) -> Sequence[str]:
        """The name of each class, in the order of the labels."""

    @property
    def settings(self) -> str:
        """What else decides what is imported, such as a description of the files."""
        return ""

    @property
    def origin(self) -> Mapping[str, object]:
        """What else the header of the data set says of how it was made."""
        return {}

    def check(self) -> None:
        """Called before anything is read.

        Raises:
            UserError: if no data set can be made of the files.
        """
        return

    @property
    def normalised(self) -> Normalisation:
        """The steps that the makers of such files have applied to the coordinates."""
        return RAW if self.record is None else self.record.normalisation

    @property
    def record(self) -> Record | None:
        """What skelcon's export wrote of the data, if it made the files."""
        return None

    @property
    def items(self) -> Sequence[Any]:
        """What is read one by one, in the order of the data set; by default the files."""
        return self.files

    def clips_in(self, item: Any) -> int:
        """How many clips ``item`` has, as far as that is known before it is read."""
        return 1

    @abstractmethod
    def read(self, item: Any) -> Iterator[RawClip | SkippedFile]:
        """The clips of one item; a clip that is bad among good ones is a ``SkippedFile``.

        Raises:
            ValueError, OSError: the whole item is bad (:class:`BadLineError` if it is known where).
        """

    @abstractmethod
    def splits(self, infos: Sequence[ClipInfo]) -> dict[str, NDArray[np.int8]]:
        """Protocol -> an (N,) row for the clips that were read: 0 trains, 1 tests, -1 neither."""

    def notes(self, infos: Sequence[ClipInfo]) -> Iterator[Note]:
        """What else to report of the import of these clips; here the files that are not used."""
        yield from self.unused_files()

    def unused_files(self, reported: Iterable[Path] = ()) -> Iterator[Note]:
        """The files in the folders of this source that are neither used nor ``reported``."""
        if not self.path.is_dir():
            return
        used = {*self.files, *reported}
        others = [
            file.name
            for folder in sorted({file.parent for file in self.files})
            for file in sorted(folder.iterdir())
            if file not in used and file.name[0] != "." and not is_folder(file)
        ]
        if others:
            text = f"{counted(len(others), 'file')} of the folder not used"
            yield Note("files", text, tuple(others))

    def name_of(self, item: Any) -> str:
        """The name in the report of an item that is bad as a whole."""
        return item.name if isinstance(item, Path) else str(item)


class ClipFiles(Source):
    """A source of files that hold one clip each, and whose names say what the clip is."""

    batch = 64

    @abstractmethod
    def info(self, name: str) -> ClipInfo:
        """What a file's name says; ``ValueError`` if it cannot be."""

    @abstractmethod
    def coordinates(self, path: Path, info: ClipInfo) -> NDArray[np.floating]:
        """(M, T, V, 3) of a file; ``ValueError`` if it is damaged, or is not the clip ``info``."""

    def read(self, item: Path) -> Iterator[RawClip | SkippedFile]:
        """The one clip of a file."""
        info = self.info(item.name)
        yield RawClip(info, self.coordinates(item, info), item.name)


def single_file(path: Path, found: Sequence[Path]) -> list[Path]:
    """The only file that was found in the directory ``path``.

    Raises:
        UserError: if there are several.
    """
    if len(found) > 1:
        names = ", ".join(sorted(file.name for file in found))
        raise UserError(f"'{path}' holds several data sets ({names}): give the path of one of them")
    return list(found)
