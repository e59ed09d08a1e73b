"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

AddressOption = Annotated[
    str | None,
    typer.Option(
        help="A running Ray cluster of which this machine is a node: auto, or HOST:PORT.",
        show_default=False,
    ),
]
