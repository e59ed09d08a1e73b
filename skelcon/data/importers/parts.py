"""Parts: what one piece of an import's work leaves on disk.

A part is a file of rows and a JSON file that describes them, written last. An import that was
interrupted keeps the parts that are done and writes the others.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from skelcon.config import Config
from skelcon.data.importers.bodies import Bodies, choose_bodies
from skelcon.data.importers.registered import file_of, is_users
from skelcon.data.importers.source import RawClip, SkippedFile, Source
from skelcon.data.importers.tracking import BodyCounts
from skelcon.data.normalise import Normalisation, normalise, usual_steps
from skelcon.data.packing import ClipPacker, PackedIndex
from skelcon.errors import place_in, reason_of

FARTHEST = 1e4
"""Metres; a sensor that reports more is damaged."""


class ImportOptions(Config):
    """What decides, beside the files, what is imported.

    Where an option is None, files that skelcon exported stay as they were; of others two bodies
    are kept, and normalised as is usual for the layout.
    """

    normalisation: Normalisation | None = None
    max_bodies: int | None = None
    bodies: Bodies = "as-listed"
    exclude: frozenset[str] = frozenset()

    def steps(self, source: Source) -> Normalisation:
        """What the coordinates have gone through after the import."""
        usual = usual_steps(source.layout)
        as_it_was = usual if source.record is None else source.record.normalisation
        return (self.normalisation or as_it_was).with_all_of(source.normalised)

    def kept(self, source: Source) -> int:
        """How many bodies of a clip are kept."""
        return self.max_bodies or (2 if source.record is None else source.record.bodies)


@dataclass(frozen=True)
class Part:
    """The packed clips of one piece of work, what was not used, and what was done to bodies."""

    raw: Path
    index: PackedIndex
    skipped: list[SkippedFile]
    excluded: int
    bodies: BodyCounts
    counts: Counter[str]


def keep_freed_memory() -> None:
    """Keep freed memory in the process, which soon needs as much again.

    glibc returns blocks of more than 128 KiB, as each file needs some, to the system, and gets
    them back page by page, until a larger block has been freed: reading takes a third longer.
    """
    np.empty(16 << 20, np.uint8)


def clips_of(
    source: Source, at: int, fatal: Collection[int] = ()
) -> Iterator[RawClip | SkippedFile]:
    """The clips of the item ``at`` of a source; what cannot be read is an entry that says why.

    Items in ``fatal`` are not read, as the process that reads them dies.
    """
    item = source.items[at]
    kind, clips, line = type(source), source.clips_in(item), None
    reason = "the process that reads it dies (damaged, or out of memory?)"
    if at not in fatal:
        try:
            for found in source.read(item):
                yield found
                clips -= found.clips if isinstance(found, SkippedFile) else 1
            return
        except (ValueError, OSError, MemoryError) as error:
            reason = " ".join(str(error).split()) or "too large for the memory of this machine"
            if is_users(kind):
                reason += place_in(error, file_of(kind))
            line = getattr(error, "line", None)
        except Exception as error:  # a user's importer may raise anything
            if not is_users(kind):
                raise
            reason = reason_of(error, file_of(kind))
    yield SkippedFile(source.name_of(item), reason, line, max(1, clips))


@dataclass(frozen=True)
class PartWriter:
    """Writes the parts of an import of ``source`` to ``directory``, and reads them back."""

    directory: Path
    source: Source
    options: ImportOptions

    @property
    def count(self) -> int:
        """The number of parts: each reads :attr:`Source.batch` items."""
        return -(-len(self.source.items) // self.source.batch)

    def _items(self, number: int) -> range:
        batch = self.source.batch
        return range(number * batch, min((number + 1) * batch, len(self.source.items)))

    def clips(self, number: int) -> int:
        """How many clips a part is likely to have."""
        return sum(self.source.clips_in(self.source.items[at]) for at in self._items(number))

    def _file(self, number: int) -> Path:
        return self.directory / f"{number:06d}.json"

    def journal(self, number: int) -> Path:
        """The file that holds which item of a part is being read."""
        return self._file(number).with_suffix(".reading")

    def item_being_read(self, number: int) -> int | None:
        """The item that was being read when the process that wrote a part died; None if none."""
        try:
            return int(self.journal(number).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def is_done(self, number: int) -> bool:
        """Whether a part is there and whole (a machine that went down may have left less)."""
        try:
            part = self.read(number)
            size = part.raw.stat().st_size
        except (OSError, ValueError, LookupError, TypeError):
            return False
        return size == part.index.rows * self.source.layout.num_joints * 12

    def read(self, number: int) -> Part:
        """A part that is done."""
        path = self._file(number)
        values = json.loads(path.read_text(encoding="utf-8"))
        return Part(
            raw=path.with_suffix(".raw"),
            index=PackedIndex.from_dict(values["index"]),
            skipped=[SkippedFile(**bad) for bad in values["skipped"]],
            excluded=values["excluded"],
            bodies=BodyCounts(**values["bodies"]),
            counts=Counter(values["counts"]),
        )

    @np.errstate(all="ignore")  # damaged numbers are refused, not warned of
    def write(
        self,
        number: int,
        advance: Callable[[int], None] = lambda clips: None,
        fatal: Collection[int] = (),
    ) -> None:
        """Write a part.

        Args:
            number: which part.
            advance: called with the number of clips that have been read since the last call.
            fatal: items that are skipped because the process that reads them dies.
        """
        path = self._file(number)
        skipped: list[SkippedFile] = []
        excluded, bodies = 0, BodyCounts()
        counts: Counter[str] = Counter()
        steps = self.options.steps(self.source).without(self.source.normalised)
        draft = path.with_suffix(f".{os.getpid()}.draft")
        with draft.open("wb") as raw, self.journal(number).open("wb", buffering=0) as journal:
            packer = ClipPacker(raw, self.source.layout, len(self.source.class_names))
            for at in self._items(number):
                journal.seek(0)
                journal.write(b"%010d" % at)
                for found in clips_of(self.source, at, fatal):
                    advance(found.clips if isinstance(found, SkippedFile) else 1)
                    if self._is_excluded(found, at):
                        excluded += 1
                    elif isinstance(found, SkippedFile):
                        skipped.append(found)
                    else:
                        try:
                            bodies += self._pack(packer, found, steps)
                            counts.update(found.counts)
                        except ValueError as error:
                            name = found.file or found.info.name
                            skipped.append(SkippedFile(name, str(error)))
        draft.replace(path.with_suffix(".raw"))
        values = {
            "index": packer.index.to_dict(),
            "skipped": [asdict(bad) for bad in skipped],
            "excluded": excluded,
            "bodies": asdict(bodies),
            "counts": counts,
        }
        draft.write_text(json.dumps(values), encoding="utf-8")
        draft.replace(path)

    def _is_excluded(self, found: RawClip | SkippedFile, at: int) -> bool:
        """Whether an option excludes a clip by its name, or by the name of its file or item."""
        names = {self.source.name_of(self.source.items[at])}
        if isinstance(found, SkippedFile):
            names.add(found.name)
        else:
            names |= {found.info.name, found.file}
        return not self.options.exclude.isdisjoint(names | {Path(name).stem for name in names})

    def _pack(self, packer: ClipPacker, found: RawClip, steps: Normalisation) -> BodyCounts:
        """Add a clip to the part; ``ValueError`` if it is bad."""
        values, joints = np.asarray(found.coordinates), self.source.layout.num_joints
        if values.ndim != 4 or values.shape[2:] != (joints, 3) or values.dtype.kind not in "fiu":
            raise ValueError(
                f"coordinates() must give (M, T, {joints}, 3) numbers, not {values.dtype} "
                f"{values.shape}"
            )
        if not (np.abs(found.coordinates) < FARTHEST).all():
            raise ValueError(f"a coordinate is not finite, or beyond {FARTHEST:g} m")
        up = "xyz".index(self.source.layout.up[-1])
        kept = self.options.kept(self.source)
        clip, counts = choose_bodies(found.coordinates, found.ids, self.options.bodies, kept, up)
        packer.add(found.info, normalise(clip, self.source.layout, steps))
        return counts
