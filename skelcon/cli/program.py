"""``skelcon``: the data tool, and the commands for one trained model."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from skelcon.cli import data as cli_data
from skelcon.cli import weights as cli_weights
from skelcon.cli.console import run_app

app = typer.Typer(
    help="Skeleton-contrastive action representation learning, one model at a time: data sets, "
    "pre-training, evaluation, features.\n\n"
    "skelcon-ablate makes ablation tables.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.add_typer(cli_data.app, name="data")
app.command()(cli_weights.embed)
app.command()(cli_weights.retrieve)
app.command()(cli_weights.import_weights)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"skelcon {metadata.version('skelcon')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """The console script."""
    run_app(app)
