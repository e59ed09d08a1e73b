"""Every import: parts, written in several processes, then one packed data set.

While it runs, an import keeps its parts in a hidden directory beside the destination. However it
is interrupted, the same import resumes with the parts that are missing. The data set itself
appears whole at the end, or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from skelcon.config import Json
from skelcon.data.anatomy import doubts_about
from skelcon.data.dataset import FORMAT_VERSION, SkeletonDataset
from skelcon.data.importers.parts import ImportOptions, PartWriter, keep_freed_memory
from skelcon.data.importers.processes import WorkersEndError, write_parts
from skelcon.data.importers.registered import code_digest, faults_reported
from skelcon.data.importers.report import ImportReport, notes_on_sides
from skelcon.data.importers.source import Note, SkippedFile, Source, lost_clips
from skelcon.data.importers.tracking import BodyCounts
from skelcon.data.progress import Progress
from skelcon.data.protocols import sides, versions, with_registered
from skelcon.data.writer import REPORT, DatasetWriter
from skelcon.errors import UserError

IMPORT_VERSION = 2
"""Increased when the same files would give other coordinates than before."""
MAX_BAD = 0.05
"""Lost clips, as a share of all, that an import survives."""
PARALLEL_BYTES = 64 << 20
"""Sources smaller than this are read in this process: to start others would take longer."""

Imported = tuple[SkeletonDataset, list[SkippedFile]]


def import_digest(source: Source, options: ImportOptions) -> str:
    """Changes with any file's name, size or modification time, every option, and a plugin's code.

    Files are named relative to where they were looked for, so that a directory may be moved.
    """
    digest = hashlib.sha256(f"{source.family} {FORMAT_VERSION} {IMPORT_VERSION}".encode())
    settings = options.model_dump(mode="json") | {"exclude": sorted(options.exclude)}
    if options.bodies == "as-listed":  # as all imports were before there was a choice
        del settings["bodies"]
    digest.update(json.dumps(settings, sort_keys=True).encode())
    if added := {**({"": source.settings} if source.settings else {}), **versions()}:
        digest.update(json.dumps(added, sort_keys=True).encode())
    digest.update(code_digest(type(source)).encode())
    base = source.path if source.path.is_dir() else source.path.parent
    for path in source.files:
        stat = path.stat() if path.exists() else path.lstat()
        name = os.path.relpath(path, base)
        digest.update(
            f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode(errors="surrogateescape")
        )
    return digest.hexdigest()[:16]


@np.errstate(all="ignore")  # damaged numbers are refused, not warned of
def run_import(
    source: Source,
    destination: Path,
    options: ImportOptions,
    *,
    max_bad: float = MAX_BAD,
    workers: int | None = None,
    progress: Progress | None = None,
    made: Callable[[], Imported | None] = lambda: None,
) -> Imported:
    """Import ``source`` to the packed data set ``destination``; see `import_dataset`.

    ``made`` is called when it is this import's turn: what another one has made, which is then used.
    """
    keep_freed_memory()
    if options.bodies == "tracked" and source.normalised.centre:
        raise UserError(
            f"--bodies tracked: the clips of '{source.path}' ({source.family}) were centred by "
            "their makers, who also chose the bodies: give --bodies as-listed"
        )
    if options.bodies == "tracked" and source.layout.unit == "px":
        raise UserError(
            f"--bodies tracked: the rules are in metres, and '{source.path}' is in pixels: give "
            "--bodies as-listed"
        )
    source.exclude = options.exclude
    with faults_reported(type(source)):
        source.check()
    directory = destination.with_name(f".{destination.name}.importing")
    writer = PartWriter(directory, source, options)
    sizes = [writer.clips(number) for number in range(writer.count)]
    done = 0
    with staging(directory, import_digest(source, options)):
        if (existing := made()) is not None:
            return existing

        def advance(clips: int) -> None:
            nonlocal done
            done += clips
            if progress is not None:
                progress(min(done, sum(sizes)), sum(sizes))

        missing = [number for number in range(writer.count) if not writer.is_done(number)]
        advance(sum(sizes) - sum(sizes[number] for number in missing))
        count = min(_workers(source) if workers is None else workers, len(missing))
        if count > 1:
            # Closed here, whatever happens: a worker must not outlive the lock.
            with contextlib.closing(write_parts(writer, missing, count)) as written:
                for number in written:
                    advance(sizes[number])
        else:
            for number in missing:
                writer.write(number, advance)
        return _assemble(writer, destination, max_bad)


def _workers(source: Source) -> int:
    sizes = itertools.accumulate(path.stat().st_size for path in source.files if path.exists())
    large = any(size >= PARALLEL_BYTES for size in sizes)
    return len(os.sched_getaffinity(0)) if large else 1


@contextlib.contextmanager
def staging(directory: Path, recipe: str) -> Iterator[None]:
    """The ``directory`` of the parts, for one import at a time.

    It stays if the import is interrupted or a worker process ends, and the next import resumes from
    it. It is removed at the end, and after a :class:`UserError` or an :class:`OSError`.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        try:
            _keep_parts_of(directory, recipe)
            yield
        except WorkersEndError:
            raise
        except (UserError, OSError):
            shutil.rmtree(directory, ignore_errors=True)
            raise
        shutil.rmtree(directory, ignore_errors=True)


def _keep_parts_of(directory: Path, recipe: str) -> None:
    """Remove what another import has left there, and what is not whole."""
    with contextlib.suppress(FileNotFoundError):
        if (directory / "recipe").read_text(encoding="utf-8") != recipe:
            for path in directory.glob("[0-9]*"):
                path.unlink()
    for path in directory.glob("*.draft"):
        path.unlink(missing_ok=True)  # a worker of a killed import may just have finished it
    for path in directory.glob(".*"):  # a data set that was being put together
        shutil.rmtree(path, ignore_errors=True)
    (directory / "recipe").write_text(recipe, encoding="utf-8")


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Make ``directory`` and hold its lock; waits for the process that holds it.

    (`filelock` would leave its file behind, or let two in where the first removes the directory.)
    """
    lock = None
    while lock is None:
        lock = _lock(directory)
    with lock:
        yield


def _lock(directory: Path) -> IO[bytes] | None:
    """The lock, held; None if the process that held it has removed the directory."""
    path = directory / "lock"
    directory.mkdir(exist_ok=True)
    with contextlib.ExitStack() as files, contextlib.suppress(FileNotFoundError):
        lock = files.enter_context(path.open("wb"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
            files.pop_all()
            return lock
    return None


def _assemble(writer: PartWriter, destination: Path, max_bad: float) -> Imported:
    """The parts, one after the other, as a data set."""
    source, options = writer.source, writer.options
    skipped: list[SkippedFile] = []
    excluded, bodies = 0, BodyCounts()
    counts: Counter[str] = Counter()
    with DatasetWriter(
        destination,
        name=source.name,
        layout=source.layout,
        class_names=source.class_names,
        family=source.family if source.record is None else source.record.family,
        normalisation=options.steps(source),
        synthetic=source.record is not None and source.record.synthetic,
        origin=_origin(source, options),
        scratch=writer.directory,
    ) as dataset:
        for number in range(writer.count):
            part = writer.read(number)
            dataset.append(part.raw, part.index)
            skipped += part.skipped
            excluded += part.excluded
            bodies += part.bodies
            counts += part.counts
        clips = len(dataset.infos)
        report = ImportReport(
            source.family,
            len(source.files),
            clips,
            excluded,
            tuple(skipped),
            bodies if options.bodies == "tracked" else None,
        )
        failure = _too_many_bad(source, clips, skipped, max_bad)
        if failure is not None:
            place = destination.with_name(f"{destination.name}.{REPORT}")
            place.write_text(json.dumps(report.to_dict(), indent=1) + "\n", encoding="utf-8")
            raise UserError(f"{failure}; all are listed in '{place}'")
        with faults_reported(type(source)):
            own = source.splits(dataset.infos)
            own_notes = tuple(source.notes(dataset.infos))
        splits = with_registered(_own_splits(source, own, clips), dataset.infos)
        counted = ", ".join(f"{number:,} {what}" for what, number in counts.items())
        notes = (
            *((Note("joints", counted),) if counted else ()),
            *own_notes,
            *_no_sides(source),
            *notes_on_sides(splits),
        )
        made = dataset.close(splits, replace(report, notes=notes).to_dict())
    odd = [Note(doubt.kind, doubt.text) for doubt in doubts_about(made)]
    if odd:
        whole = replace(report, notes=(*notes, *odd)).to_dict()
        (made.path / REPORT).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return made, skipped


def _origin(source: Source, options: ImportOptions) -> Json:
    """What of the import a data set remembers, and its fingerprint depends on."""
    origin: Json = {"max_bodies": options.kept(source)}
    if options.bodies != "as-listed":
        origin["bodies"] = options.bodies
    if protocols := versions():
        origin["protocols"] = protocols
    return {**origin, **source.origin}


def _own_splits(source: Source, answer: object, clips: int) -> dict[str, NDArray[np.int8]]:
    """What `Source.splits` of an importer answered, checked."""
    what = f"importer '{source.family}' of '{type(source).__module__}': splits()"
    if not isinstance(answer, Mapping) or not all(isinstance(name, str) for name in answer):
        raise UserError(f"{what} must return protocol -> sides, not {answer!r:.60}")
    return {name: sides(f"{what}['{name}']", row, clips) for name, row in answer.items()}


def _no_sides(source: Source) -> Iterator[Note]:
    """A note on a layout of which no joint is left or right."""
    layout = source.layout
    if layout.mirrored == tuple(range(layout.num_joints)):
        text = (
            f"the layout '{layout.name}' has no left and right joints: if the body has, list "
            "the pairs in its file, mirror: [[left, right], ...]"
        )
        yield Note("joints", text)


def _too_many_bad(
    source: Source, clips: int, skipped: list[SkippedFile], max_bad: float
) -> str | None:
    """What is wrong with an import that lost so much, or None."""
    if not clips and not skipped:
        return f"nothing is left of '{source.path}': all of it is excluded"
    lost = lost_clips(skipped)
    if clips and lost <= max_bad * (clips + lost):
        return None
    first = skipped[0]
    return (
        f"{lost} of {clips + lost} clips at '{source.path}' are bad, more than "
        f"{max_bad:.1%} (--max-bad); the first, {first.name}: {first.reason}"
    )
