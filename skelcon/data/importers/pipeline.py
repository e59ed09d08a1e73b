"""The way of all imports: parts in several processes, then one packed data set.

While it runs an import keeps its parts in a hidden directory beside the destination. Interrupted
in any way, the same import goes on with the parts that are missing; the data set itself appears
whole at the end, or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from skelcon.data.dataset import FORMAT_VERSION, SkeletonDataset
from skelcon.data.importers.parts import (
    ImportOptions,
    batches,
    is_done,
    keep_freed_memory,
    read_part,
    write_part,
)
from skelcon.data.importers.source import SkippedFile, Source
from skelcon.data.importers.workers import WorkerEndedError, write_parts
from skelcon.data.normalise import Normalisation
from skelcon.data.writer import REPORT, DatasetWriter
from skelcon.errors import UserError

IMPORT_VERSION = 2
"""Raised when the same files would give other coordinates than before."""
MAX_BAD = 0.05
"""Lost clips, as a share of all, that an import survives."""
PARALLEL_BYTES = 64 << 20
"""Sources smaller than this are read in one process: to start others would take longer."""

Progress = Callable[[int, int], None]


def import_digest(source: Source, options: ImportOptions) -> str:
    """Changes with any file's name, size or time of change, and with every option.

    Files are named relative to where they were looked for, so that a directory may be moved.
    """
    digest = hashlib.sha256(f"{source.family} {FORMAT_VERSION} {IMPORT_VERSION}".encode())
    settings = options.model_dump(mode="json") | {"exclude": sorted(options.exclude)}
    digest.update(json.dumps(settings, sort_keys=True).encode())
    base = source.path if source.path.is_dir() else source.path.parent
    for path in source.files:
        stat = path.stat() if path.exists() else path.lstat()
        name = os.path.relpath(path, base)
        digest.update(
            f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode(errors="surrogateescape")
        )
    return digest.hexdigest()[:16]


@np.errstate(all="ignore")  # what damage makes of numbers is refused, not warned of
def run_import(
    source: Source,
    destination: Path,
    options: ImportOptions,
    *,
    max_bad: float = MAX_BAD,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[SkeletonDataset, list[SkippedFile]]:
    """Import ``source`` to the packed data set ``destination``.

    Args:
        source: what to import.
        destination: the directory to write; whatever stood there is replaced at the end.
        options: what is done to it.
        max_bad: the share of clips that may be bad.
        workers: processes; as many as there are cores if not set, one for what is small.
        progress: called with the numbers of clips done and of clips in all.

    Raises:
        UserError: if no clip is good, or too many are bad.
    """
    pieces = batches(source)
    sizes = [sum(source.clips_in(source.items[at]) for at in piece) for piece in pieces]
    done = 0
    keep_freed_memory()
    with _staging(destination, import_digest(source, options)) as (parts, lock):

        def advance(clips: int) -> None:
            nonlocal done
            done += clips
            if progress is not None:
                progress(min(done, sum(sizes)), sum(sizes))

        missing = [n for n in range(len(pieces)) if not is_done(parts, n, source)]
        advance(sum(sizes) - sum(sizes[number] for number in missing))
        count = _workers(source, len(missing)) if workers is None else min(workers, len(missing))
        if count > 1:
            # Closed here and now, whatever happens: a worker must not outlive the lock.
            with contextlib.closing(
                write_parts(parts, missing, source, options, count, lock)
            ) as made:
                for number in made:
                    advance(sizes[number])
        else:
            for number in missing:
                write_part(parts, number, source, options, advance)
        return _assemble(source, destination, options, parts, len(pieces), max_bad)


def _workers(source: Source, pieces: int) -> int:
    sizes = itertools.accumulate(path.stat().st_size for path in source.files if path.exists())
    large = any(size >= PARALLEL_BYTES for size in sizes)
    return min(len(os.sched_getaffinity(0)), pieces) if large else 1


@contextlib.contextmanager
def _staging(destination: Path, recipe: str) -> Iterator[tuple[Path, int]]:
    """The directory of the parts, for one import at a time, and the file that locks it.

    It stays where an import was interrupted, for the next one to go on from.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    directory = destination.with_name(f".{destination.name}.importing")
    with _locked(directory) as lock:
        with contextlib.suppress(FileNotFoundError):
            if (directory / "recipe").read_text() != recipe:
                for path in directory.glob("[0-9]*"):
                    path.unlink()
        for path in directory.glob(".*"):  # a data set that was being put together
            shutil.rmtree(path, ignore_errors=True)
        (directory / "recipe").write_text(recipe)
        try:
            yield directory, lock
        except WorkerEndedError:
            raise
        except (UserError, OSError):
            shutil.rmtree(directory, ignore_errors=True)
            raise
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[int]:
    """Make ``directory`` and hold its lock; waits for whoever has it."""
    while (lock := _lock_of(directory)) is None:
        pass
    with lock:
        yield lock.fileno()


def _lock_of(directory: Path) -> IO[str] | None:
    """None if who had the lock has taken the directory away, or another made it anew."""
    path = directory / "lock"
    directory.mkdir(exist_ok=True)
    with contextlib.ExitStack() as open_files, contextlib.suppress(FileNotFoundError):
        lock = open_files.enter_context(path.open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
            open_files.pop_all()
            return lock
    return None


def _assemble(
    source: Source,
    destination: Path,
    options: ImportOptions,
    directory: Path,
    count: int,
    max_bad: float,
) -> tuple[SkeletonDataset, list[SkippedFile]]:
    """The parts, one behind the other, as a data set."""
    skipped: list[SkippedFile] = []
    excluded = 0
    done = Normalisation(
        **{
            step: wanted or getattr(source.normalised, step)
            for step, wanted in options.normalisation
        }
    )
    with DatasetWriter(
        destination,
        name=source.name,
        layout=source.layout,
        class_names=source.class_names,
        family=source.family,
        normalisation=done,
        origin={"max_bodies": options.max_bodies},
        scratch=directory,
    ) as writer:
        for number in range(count):
            part = read_part(directory, number)
            writer.append(part.raw, part.index)
            skipped += part.skipped
            excluded += part.excluded
        clips = len(writer.infos)
        report: dict[str, Any] = {
            "family": source.family,
            "files": len(source.files),
            "clips": clips,
            "excluded": excluded,
            "skipped": [
                {"file": bad.name, "reason": bad.reason}
                | ({} if bad.line is None else {"line": bad.line})
                for bad in skipped
            ],
        }
        failure = _too_many_bad(source, clips, skipped, max_bad)
        if failure is not None:
            place = destination.with_name(f"{destination.name}.{REPORT}")
            place.write_text(json.dumps(report, indent=1) + "\n")
            raise UserError(f"{failure}; all are listed in '{place}'")
        return writer.close(source.splits(writer.infos), report), skipped


def _too_many_bad(
    source: Source, clips: int, skipped: list[SkippedFile], max_bad: float
) -> str | None:
    """What is wrong with an import that lost so much, or None."""
    if not clips and not skipped:
        return f"nothing is left of '{source.path}': all of it is excluded"
    if clips and len(skipped) <= max_bad * (clips + len(skipped)):
        return None
    first = skipped[0]
    return (
        f"{len(skipped)} of {clips + len(skipped)} clips at '{source.path}' are bad, more than "
        f"{max_bad:.1%} (--max-bad); the first, {first.name}: {first.reason}"
    )
