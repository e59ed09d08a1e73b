"""``report``: the tables of a results directory as one page."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ablation.catalogue import known_studies
from ablation.cli.options import ResultsOption
from ablation.cli.parsing import completes
from ablation.cli.studies import table_name
from skelcon.cli.console import activity
from skelcon.cli.terminal import PlainConsole, echo
from skelcon.errors import cannot_write

NAMES = "Tables, as list --results prints them."


class ReportFormat(StrEnum):
    """What a report is written as."""

    HTML = "html"
    MARKDOWN = "markdown"


def report(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help=NAMES,
            show_default="all tables",
            autocompletion=completes(known_studies),
        ),
    ] = None,
    results: ResultsOption = Path("results"),
    out: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False, help="The file to write.", show_default="RESULTS/report.html or .md"
        ),
    ] = None,
    form: Annotated[
        ReportFormat, typer.Option("--format", help="The format of the file.")
    ] = ReportFormat.HTML,
    figures: Annotated[
        bool, typer.Option("--figures/--no-figures", help="Draw the figures that apply.")
    ] = True,
) -> None:
    """Write tables, claims, figures, costs and provenance as one file; runs nothing.

    The page needs no network and no other file. A tap on a number shows where it
    comes from. The same results give the same bytes.
    """
    from ablation.pages import make_page, read_results, to_html, to_markdown
    from ablation.store import write_atomically

    html = form is ReportFormat.HTML
    found = read_results(results, [table_name(name) for name in names or ()])
    with activity(PlainConsole(stderr=True), "reading results") as show:
        page = make_page(found, figures=figures and html, show=show)
    path = out or results / ("report.html" if html else "report.md")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, to_html(page) if html else to_markdown(page))
    except OSError as error:
        raise cannot_write(path, error) from None
    for name, why in page.damaged:
        echo(f"left out '{name}': {why}", err=True)
    echo(str(path))
