"""Options that several commands share, and their choices.

The choices are written out because the modules that define them are slow to import; a test
compares them.
"""

from __future__ import annotations

from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

PROTOCOLS = "xsub, xview, xsetup or the data's own"


FORMATS = (
    "ntu",
    "pku-mmd",
    "agcn-npy",
    "stgcn-npy",
    "frame50-npy",
    "ctrgcn-npz",
    "pyskl-pkl",
    "nucla-json",
    "utd-mhad",
    "arrays",
    "files",
    "table",
)
"""The layouts that an import reads: the built-in :data:`skelcon.data.importers.FAMILIES`."""


class BodyOrder(StrEnum):
    """How an import treats bodies: :data:`skelcon.data.importers.bodies.Bodies`."""

    TRACKED = "tracked"
    AS_LISTED = "as-listed"


class ExportFormat(StrEnum):
    """The layouts that an export writes: the names of :data:`skelcon.data.export.FORMATS`."""

    CTRGCN_NPZ = "ctrgcn-npz"
    AGCN_NPY = "agcn-npy"
    PYSKL_PKL = "pyskl-pkl"


DATA = (
    "A packed data set, or files in a known layout or with a description; imported once, then "
    "cached."
)
PathArgument = Annotated[
    Path,
    typer.Argument(exists=True, help=DATA),
]
DataOption = Annotated[Path | None, typer.Option(help=DATA, show_default="embedded synthetic data")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
PLUGIN = typer.Option(
    "--plugin",
    metavar="MODULE",
    help="Load a module (or a .py file) that registers components. Repeatable.",
    show_default=False,
)
PluginOption = Annotated[list[str] | None, PLUGIN]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"skelcon {metadata.version('skelcon')}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
]
