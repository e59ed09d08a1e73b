"""``skelcon``: the data tool, and the commands for one trained model."""

from __future__ import annotations

import typer

from skelcon.cli import data as cli_data
from skelcon.cli import weights as cli_weights
from skelcon.cli.console import run_app
from skelcon.cli.figures import figures
from skelcon.cli.options import VersionOption

app = typer.Typer(
    help="Skeleton-contrastive action representation learning, one model at a time: data sets, "
    "pre-training, evaluation, features.\n\n"
    "For ablation tables see skelcon-ablate.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.add_typer(cli_data.app, name="data")
app.command()(cli_weights.embed)
app.command()(cli_weights.retrieve)
app.command()(cli_weights.import_weights)
app.command()(figures)


@app.callback()
def _root(version: VersionOption = False) -> None:
    pass


def main() -> None:
    """The console script."""
    run_app(app)
