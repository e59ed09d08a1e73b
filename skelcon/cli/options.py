"""Options of both command lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[
    Path | None,
    typer.Option(
        help="A packed data set or a directory in a known layout (imported once, then cached).",
        show_default="embedded synthetic data",
    ),
]
PLUGIN = typer.Option(
    "--plugin",
    metavar="MODULE",
    help="Load a module (or a .py file) that registers components of your own. Repeatable.",
    show_default=False,
)
PluginOption = Annotated[list[str] | None, PLUGIN]
