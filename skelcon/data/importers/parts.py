"""Parts: what one piece of an import's work leaves on disk.

A part is a file of rows and a JSON file that says what they are, written last. An import that was
interrupted finds the parts that are done and makes the others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from skelcon.config import Config
from skelcon.data.importers.bodies import most_moving
from skelcon.data.importers.source import RawClip, SkippedFile, Source
from skelcon.data.normalise import Normalisation, normalise
from skelcon.data.packing import ClipPacker, PackedIndex

FARTHEST = 1e4
"""Metres; a sensor that reports more is damaged."""


class ImportOptions(Config):
    """What decides, beside the files, what is imported."""

    normalisation: Normalisation = Normalisation()
    max_bodies: int = 2
    exclude: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Part:
    """The clips of one piece of work, packed, and what was not used."""

    raw: Path
    index: PackedIndex
    skipped: list[SkippedFile]
    excluded: int


def batches(source: Source) -> list[range]:
    """The pieces of work: which items each of them reads."""
    count = len(source.items)
    return [range(at, min(at + source.batch, count)) for at in range(0, count, source.batch)]


def keep_freed_memory() -> None:
    """Let memory that is freed stay with the process, which soon wants as much again.

    glibc gives blocks of more than 128 KiB, as each file needs some, back to the system and gets
    them anew, page by page, until a larger one has been freed once: reading takes a third longer.
    """
    np.empty(16 << 20, np.uint8)


def files_digest(source: Source) -> str:
    """Two processes that find the same files in the same order number their parts alike."""
    return hashlib.sha256("\n".join(map(str, source.files)).encode(errors="replace")).hexdigest()


def part_file(directory: Path, number: int) -> Path:
    """Where the JSON file of a part stands: once it does, the part is whole."""
    return directory / f"{number:06d}.json"


def is_done(directory: Path, number: int, source: Source) -> bool:
    """Whether a part is there and whole (a machine that went down may have left less)."""
    try:
        part = read_part(directory, number)
        size = part.raw.stat().st_size
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return size == part.index.rows * source.layout.num_joints * 12


def read_part(directory: Path, number: int) -> Part:
    """A part that is done."""
    path = part_file(directory, number)
    values = json.loads(path.read_text())
    return Part(
        raw=path.with_suffix(".raw"),
        index=PackedIndex.from_dict(values["index"]),
        skipped=[SkippedFile(**bad) for bad in values["skipped"]],
        excluded=values["excluded"],
    )


@np.errstate(all="ignore")  # what damage makes of numbers is refused, not warned of
def write_part(
    directory: Path,
    number: int,
    source: Source,
    options: ImportOptions,
    advance: Callable[[int], None] = lambda clips: None,
) -> None:
    """Do one piece of work; ``advance`` is told how many clips more have been read."""
    skipped: list[SkippedFile] = []
    excluded = 0
    path = part_file(directory, number)
    todo = Normalisation(
        **{
            step: wanted and not getattr(source.normalised, step)
            for step, wanted in options.normalisation
        }
    )
    with path.with_suffix(".raw").open("wb") as raw:
        packer = ClipPacker(raw, source.layout, len(source.class_names))
        for at in batches(source)[number]:
            for found in _clips(source, source.items[at]):
                advance(1)
                if isinstance(found, SkippedFile):
                    names = {found.name}
                else:
                    names = {found.info.name, found.file}
                names.add(source.name_of(source.items[at]))
                if not options.exclude.isdisjoint(names | {Path(name).stem for name in names}):
                    excluded += 1
                    continue
                if isinstance(found, SkippedFile):
                    skipped.append(found)
                    continue
                try:
                    clip = found.coordinates
                    if not (np.abs(clip) < FARTHEST).all():
                        raise ValueError(f"a coordinate is not finite, or beyond {FARTHEST:g} m")
                    clip = most_moving(clip, options.max_bodies)
                    packer.add(found.info, normalise(clip, source.layout, todo))
                except ValueError as error:
                    skipped.append(SkippedFile(found.file or found.info.name, str(error)))
    values = {
        "index": packer.index.to_dict(),
        "skipped": [asdict(bad) for bad in skipped],
        "excluded": excluded,
    }
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(values))
    draft.replace(path)


def _clips(source: Source, item: object) -> Iterator[RawClip | SkippedFile]:
    """The clips of an item, or one entry that says why it has none."""
    try:
        yield from source.read(item)
    except (ValueError, OSError, MemoryError) as error:
        reason = " ".join(str(error).split()) or "too large for the memory there is"
        yield SkippedFile(source.name_of(item), reason, getattr(error, "line", None))
