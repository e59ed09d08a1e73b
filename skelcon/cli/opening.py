"""Opens the data set of a command, and describes what its import left out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from skelcon.cli.console import progress_bar
from skelcon.cli.terminal import PlainConsole, line
from skelcon.config import Json
from skelcon.printable import counted

if TYPE_CHECKING:
    from skelcon.data import SkeletonDataset, Source
    from skelcon.data.importers.report import ImportReport


def open_data(path: Path | None, console: Console, *, embedded_seed: int = 0) -> SkeletonDataset:
    """The data set at ``path``, imported if necessary; the embedded one without a path.

    ``console`` shows the progress of an import, and then a warning about what it lost.
    """
    from skelcon.cli.data_view import import_warnings
    from skelcon.data import open_or_import
    from skelcon.data.synthetic import open_embedded

    if path is None:
        return open_embedded(embedded_seed)
    with progress_bar(console, "importing") as progress:
        dataset, _ = open_or_import(path, progress)
    import_warnings(console, dataset, path)
    return dataset


def described(source: Source) -> str:
    """A source in words."""
    return f"{source.title} ({source.family}): {counted(len(source.files), 'file')}"


def opened(path: Path) -> tuple[SkeletonDataset, Source | None]:
    """The data set at ``path``, and what it was imported from; progress is shown on stderr."""
    from skelcon.data import SkeletonDataset, detect, open_or_import

    if (path / "meta.json").is_file():
        return SkeletonDataset.open(path), None
    source = detect(path)
    console = PlainConsole(stderr=True)
    if console.is_terminal:
        line(console, described(source))
    with progress_bar(console, "importing") as progress:
        dataset, _ = open_or_import(path, progress)
    return dataset, source


def report_json(report: ImportReport | None) -> Json | None:
    """What an import left out, for scripts."""
    from skelcon.data.importers.report import by_reason

    if report is None:
        return None
    groups = [asdict(group) for group in by_reason(report.skipped)]
    return {
        "files": report.files,
        "clips": report.clips,
        "excluded": report.excluded,
        "skipped": groups,
        **({} if report.bodies is None else {"bodies": asdict(report.bodies)}),
        **({"notes": [asdict(note) for note in report.notes]} if report.notes else {}),
    }
