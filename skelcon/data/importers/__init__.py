"""Importers: from what people have on disk to a `SkeletonDataset`.

Each layout family is a module with ``family``, ``title``, ``layout``, ``class_names``,
``find(source)`` (its files there), ``read(path)`` (the clips of one file) and ``splits(infos)``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import FORMAT_VERSION, ClipInfo, DatasetWriter, SkeletonDataset
from skelcon.data.importers import utd_mhad
from skelcon.data.layouts import SkeletonLayout
from skelcon.data.normalise import Normalisation, normalise
from skelcon.errors import UserError

FARTHEST = 1e4
"""Metres; a sensor that reports more is damaged."""
IMPORT_VERSION = 1
"""Raised when the same files would give other coordinates than before."""


class Importer(Protocol):
    """What an importer module offers."""

    family: str
    title: str
    layout: SkeletonLayout
    class_names: tuple[str, ...]

    def find(self, source: Path) -> list[Path]:
        """The files of this family at ``source``; empty if there are none."""

    def read(self, path: Path) -> Iterator[tuple[ClipInfo, NDArray[np.float64]]]:
        """The clips of one file, raw, as (M, T, V, 3); ``ValueError`` for a bad file."""

    def splits(self, infos: tuple[ClipInfo, ...]) -> dict[str, NDArray[np.int8]]:
        """The protocols of what was read."""


IMPORTERS: tuple[Importer, ...] = (utd_mhad,)


@dataclass(frozen=True)
class SkippedFile:
    """A file that could not be used, and why."""

    name: str
    reason: str


def cache_directory() -> Path:
    """Where imported data is kept: $SKELCON_CACHE, else the user's cache directory."""
    override = os.environ.get("SKELCON_CACHE")
    if override:
        return Path(override)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skelcon"


def detect(source: Path) -> tuple[Importer, list[Path]]:
    """The importer for ``source`` and its files; :class:`UserError` if nothing fits."""
    if not source.exists():
        raise UserError(f"data path '{source}' does not exist")
    if source.is_dir():
        for importer in IMPORTERS:
            files = importer.find(source)
            if files:
                return importer, files
    known = ", ".join(importer.title for importer in IMPORTERS)
    raise UserError(f"'{source}' holds no clip of a known layout ({known}; or a packed data set)")


def import_dataset(
    source: Path,
    destination: Path,
    normalisation: Normalisation | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[SkeletonDataset, list[SkippedFile]]:
    """Import ``source`` to the packed data set ``destination``.

    A bad file is skipped and listed (also in ``import-report.json``); it does not end the
    import of the others.

    Args:
        source: a directory in one of the known layouts.
        destination: the directory to write; whatever stood there is replaced at the end.
        normalisation: what is done to the coordinates; everything by default.
        progress: called with the numbers of files done and of files in all.

    Raises:
        UserError: if nothing of a known layout is at ``source``, or no file of it is good.
    """
    importer, files = detect(source)
    options = normalisation or Normalisation()
    skipped: list[SkippedFile] = []
    with DatasetWriter(
        destination,
        name=importer.title,
        layout=importer.layout,
        class_names=importer.class_names,
        family=importer.family,
        normalisation=options,
    ) as writer:
        for done, path in enumerate(files):
            for info, clip in _read(importer, path, skipped):
                try:
                    writer.add(info, normalise(clip, importer.layout, options))
                except ValueError as error:
                    skipped.append(SkippedFile(path.name, str(error)))
            if progress is not None:
                progress(done + 1, len(files))
        if not writer.infos:
            first = skipped[0]
            raise UserError(
                f"none of the {len(files)} files at '{source}' is usable; "
                f"the first, {first.name}: {first.reason}"
            )
        dataset = writer.close(importer.splits(writer.infos))
    report = {
        "family": importer.family,
        "files": len(files),
        "clips": len(dataset),
        "skipped": [{"file": bad.name, "reason": bad.reason} for bad in skipped],
    }
    (destination / "import-report.json").write_text(json.dumps(report, indent=1) + "\n")
    return dataset, skipped


def _read(
    importer: Importer, path: Path, skipped: list[SkippedFile]
) -> Iterator[tuple[ClipInfo, NDArray[np.float64]]]:
    """The clips of a file, or none and an entry in ``skipped`` if it is bad."""
    try:
        for info, clip in importer.read(path):
            if not (np.abs(clip) < FARTHEST).all():
                raise ValueError(f"a coordinate is not finite, or beyond {FARTHEST:g} m")
            yield info, clip
    except (ValueError, OSError) as error:
        skipped.append(SkippedFile(path.name, str(error)))


def _source_digest(importer: Importer, files: list[Path]) -> str:
    """Changes with any file's name, size or time of change, and with the importer."""
    digest = hashlib.sha256(f"{importer.family} {FORMAT_VERSION} {IMPORT_VERSION}".encode())
    for path in files:
        stat = path.stat() if path.exists() else path.lstat()
        digest.update(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def open_or_import(
    source: Path, progress: Callable[[int, int], None] | None = None
) -> tuple[SkeletonDataset, list[SkippedFile]]:
    """Open a packed data set, or import any known layout once and cache it.

    Raises:
        UserError: if nothing usable is there, or the cache directory cannot be written.
    """
    if (source / "meta.json").is_file():
        return SkeletonDataset.open(source), []
    importer, files = detect(source)
    cached = cache_directory() / f"{importer.family}-{_source_digest(importer, files)}"
    with contextlib.suppress(UserError, OSError, ValueError, LookupError, TypeError):
        # a cache that is damaged is made anew
        dataset = SkeletonDataset.open(cached)
        report = json.loads((cached / "import-report.json").read_text())
        return dataset, [SkippedFile(bad["file"], bad["reason"]) for bad in report["skipped"]]
    try:
        return import_dataset(source, cached, progress=progress)
    except OSError as error:
        raise UserError(
            f"cannot write the cache of imported data in '{cache_directory()}' "
            f"({error.strerror}): set SKELCON_CACHE to a directory that can be written"
        ) from None
