"""``skelcon data export``: write a data set in a layout that other trainers read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skelcon.cli.console import progress_bar
from skelcon.cli.opening import open_data
from skelcon.cli.options import PROTOCOLS, ExportFormat, PluginOption
from skelcon.cli.terminal import PlainConsole, echo, line


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
            help=f"Write this protocol only: {PROTOCOLS}. ctrgcn-npz holds one.",
            show_default=False,
        ),
    ] = None,
    plugins: PluginOption = None,
) -> None:
    """Write the data set PATH to OUT in a layout that other trainers read.

    Coordinates are written as they are in the data set; for agcn-npy they are
    normalised first. An import of OUT gives the same data set again. OUT must
    not exist; if the export fails, nothing is left there.
    """
    from skelcon.data import Normalisation
    from skelcon.data.export import export_dataset, export_target
    from skelcon.plugins import load_plugins

    load_plugins(plugins or ())
    export_target(out, format)  # before an import, which may take minutes
    console = PlainConsole(stderr=True)
    dataset = open_data(path, console)
    with progress_bar(console, "exporting") as progress:
        written = export_dataset(dataset, out, format, protocol, progress)
    missing = Normalisation().without(dataset.normalisation)
    taken = [step.replace("_", "-") for step, wanted in missing if wanted]
    if format == "agcn-npy" and taken:
        line(
            console,
            "note: readers of agcn-npy expect normalised coordinates, and the data set's are not: "
            f"{', '.join(taken)} applied to what was written",
        )
    for file in written:
        echo(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
