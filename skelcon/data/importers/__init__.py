"""Importers: from files in one of the known layouts to a `SkeletonDataset`.

An importer is one module with a subclass of `Source`, and one line of `_BUILT_IN`. Files of any
other layout are read as a description says (``own``). ``pipeline`` runs every import: it reads a
source in ``parts``, in several ``processes`` where that is worth it, and packs them to one data
set.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

from skelcon.data.dataset import SkeletonDataset
from skelcon.data.importers.bodies import Bodies
from skelcon.data.importers.ctrgcn_npz import CtrgcnNpz
from skelcon.data.importers.ntu import Ntu
from skelcon.data.importers.nucla_json import NuclaJson
from skelcon.data.importers.own.finding import NAME, described_source
from skelcon.data.importers.own.finding import SOURCES as OWN
from skelcon.data.importers.padded_npy import AgcnNpy, Frame50Npy, StgcnNpy
from skelcon.data.importers.parts import ImportOptions
from skelcon.data.importers.pipeline import MAX_BAD, Imported, import_digest, run_import
from skelcon.data.importers.pku_mmd import PkuMmd
from skelcon.data.importers.pyskl_pkl import PysklPkl
from skelcon.data.importers.registered import FAMILIES, faults_reported, register
from skelcon.data.importers.report import read_report
from skelcon.data.importers.source import RAW, RawClip, SkippedFile, Source
from skelcon.data.importers.utd_mhad import UtdMhad
from skelcon.data.normalise import Normalisation, check_steps
from skelcon.data.progress import Progress
from skelcon.errors import UserError, nearest

__all__ = [
    "FAMILIES",
    "MAX_BAD",
    "RAW",
    "RawClip",
    "SkippedFile",
    "Source",
    "cache_directory",
    "detect",
    "import_dataset",
    "open_or_import",
]

_BUILT_IN: tuple[type[Source], ...] = (
    Ntu,
    PkuMmd,
    AgcnNpy,
    StgcnNpy,
    Frame50Npy,
    CtrgcnNpz,
    PysklPkl,
    NuclaJson,
    UtdMhad,
    *OWN.values(),
)
for _source in _BUILT_IN:
    register(_source)


def cache_directory() -> Path:
    """Where imported data is kept: $SKELCON_CACHE, else the user's cache directory.

    Raises:
        UserError: if neither is known.
    """
    override = os.environ.get("SKELCON_CACHE")
    if override:
        return Path(override)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skelcon"
    except RuntimeError:  # a container's user who has no entry in /etc/passwd, and no HOME
        raise UserError(
            "this user has no home directory: set SKELCON_CACHE to a directory for imported data"
        ) from None


def detect(path: Path, family: str | None = None) -> Source:
    """The source at ``path``: of the given family, or of the only one that it has files of.

    Raises:
        UserError: if it has no files of a known family, or files of several.
    """
    try:
        return _detected(path, family)
    except OSError as error:
        raise UserError(
            f"'{error.filename or path}' cannot be read: {error.strerror or error}"
        ) from None


def _detected(path: Path, family: str | None) -> Source:
    if not path.exists():
        raise UserError(f"data path '{path}' does not exist")
    if path.is_dir():
        next(path.iterdir(), None)  # an error now, if we may not read it
    if family is not None:
        if family not in FAMILIES:
            raise UserError(f"unknown data format '{family}': {nearest(family, FAMILIES)}")
        if family in OWN:
            source = described_source(path)
            if isinstance(source, OWN[family]):
                return source
            raise UserError(
                f"'{path}': nothing says what the {family} hold: give --layout and further "
                f"options, or a description ('{NAME}' in it, or --describe)"
            )
        found = _found(FAMILIES[family], path)
        if found is None:
            raise UserError(f"'{path}' holds no clip of format {family}")
        return found
    described = described_source(path)
    if described is not None:
        return described
    several = [found for kind in FAMILIES.values() if (found := _found(kind, path)) is not None]
    if len(several) == 1:
        return several[0]
    if several:
        names = ", ".join(source.family for source in several)
        raise UserError(
            f"'{path}' holds clips of several formats ({names}): say --format, or give "
            "the path of one of them"
        )
    if (path / "meta.json").is_file() and (path / "frames.npy").is_file():
        raise UserError(f"'{path}' is a packed data set already: give it to the other commands")
    known = ", ".join(kind.title for name, kind in FAMILIES.items() if name not in OWN)
    raise UserError(
        f"'{path}' holds no clip of a known layout ({known}; or a packed data set); any other "
        "can be described: skelcon data import --help"
    )


def _found(kind: type[Source], path: Path) -> Source | None:
    with faults_reported(kind):
        return kind.find(path)


def import_dataset(
    source: Path | Source,
    destination: Path,
    normalisation: Normalisation | None = None,
    progress: Progress | None = None,
    *,
    max_bodies: int | None = None,
    bodies: Bodies | None = None,
    exclude: Collection[str] = (),
    max_bad: float = MAX_BAD,
    workers: int | None = None,
) -> tuple[SkeletonDataset, list[SkippedFile]]:
    """Import ``source`` to the packed data set ``destination``.

    A bad file is skipped and listed (also in ``import-report.json``); the others are imported. An
    import that was interrupted resumes.

    Args:
        source: a path in one of the known layouts, or what :func:`detect` returned.
        destination: the directory to write; it is replaced at the end if it exists.
        normalisation: what is done to the coordinates; by default they are centred, and in 2D
            scaled, and what `export_dataset` wrote stays as it was.
        progress: called with the number of clips done and the number of all clips.
        max_bodies: how many bodies of a clip are kept. Two by default, and of an export all.
        bodies: ``tracked`` follows them over frames, drops phantoms, and keeps those seen most and
            moving most; ``as-listed`` takes them as each frame lists them, and keeps those that
            move most. By default raw files of NTU RGB+D are tracked, and others as listed.
        exclude: names of clips or files to leave out.
        max_bad: the share of clips that may be bad.
        workers: processes; by default one for each core, and a single one for a small source.

    Raises:
        UserError: if nothing of a known layout is at ``source``, or too many clips are bad.
    """
    found = source if isinstance(source, Source) else detect(source)
    if normalisation is not None:
        check_steps(normalisation, found.layout)
    options = ImportOptions(
        normalisation=normalisation,
        max_bodies=max_bodies,
        bodies=bodies or found.bodies,
        exclude=frozenset(exclude),
    )
    return run_import(
        found, destination, options, max_bad=max_bad, workers=workers, progress=progress
    )


def open_or_import(
    path: Path, progress: Progress | None = None
) -> tuple[SkeletonDataset, list[SkippedFile]]:
    """Open a packed data set, or import any known layout once and cache it.

    The cached data set is used as long as no file's name, size or modification time changes.

    Raises:
        UserError: if there is no data in a known layout, or the cache directory is not writable.
    """
    if (path / "meta.json").is_file():
        return SkeletonDataset.open(path), []
    source = detect(path)
    options = ImportOptions(bodies=source.bodies)
    cached = cache_directory() / f"{source.family}-{import_digest(source, options)}"

    def made() -> Imported | None:
        with contextlib.suppress(UserError):  # a damaged cache is written again
            dataset = SkeletonDataset.open(cached)
            report = read_report(cached)
            if report is not None:
                return dataset, list(report.skipped)
        return None

    if (existing := made()) is not None:
        return existing
    try:
        # Another command may be importing it, and then workers may be reading it.
        return run_import(source, cached, options, progress=progress, made=made)
    except OSError as error:
        if error.filename is not None and Path(error.filename).is_relative_to(path):
            raise UserError(f"cannot read '{error.filename}': {error.strerror}") from None
        raise UserError(
            f"cannot write the cache of imported data in '{cache_directory()}' "
            f"({error.strerror}): set SKELCON_CACHE to a directory that can be written"
        ) from None
