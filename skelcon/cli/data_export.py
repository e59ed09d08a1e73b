"""``skelcon data export``: a data set in the layouts that other trainers read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from skelcon.cli.console import progress_bar
from skelcon.cli.options import PROTOCOLS, ExportFormat


def export(
    path: Annotated[
        Path, typer.Argument(exists=True, help="A packed data set, or any known layout.")
    ],
    out: Annotated[
        Path, typer.Argument(help="What to write: a directory for agcn-npy, else a file.")
    ],
    format: Annotated[ExportFormat, typer.Option(help="The layout of OUT.", show_default=False)],
    protocol: Annotated[
        str | None,
        typer.Option(
            help=f"{PROTOCOLS}: write this one alone. ctrgcn-npz holds only one.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the data set PATH to OUT in a layout that other trainers read.

    Coordinates are written as the data set holds them. OUT must not be there yet, and appears
    whole or not at all.
    """
    from skelcon.data import Normalisation, open_or_import
    from skelcon.data.export import export_dataset, export_target

    export_target(out, format)  # before an import, which may take long
    console = Console(stderr=True)
    with progress_bar(console, "importing") as progress:
        dataset, skipped = open_or_import(path, progress)
    with progress_bar(console, "exporting") as progress:
        written = export_dataset(dataset, out, format, protocol, progress)
    if skipped:
        console.print(f"{len(skipped)} files were skipped at import.")
    if format == "agcn-npy" and dataset.normalisation != Normalisation():
        missing = ", ".join(step for step, done in dataset.normalisation if not done)
        console.print(
            "note: who reads agcn-npy takes its coordinates for normalised, and these are not "
            f"({missing})",
            highlight=False,
            soft_wrap=True,
        )
    for file in written:
        typer.echo(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
