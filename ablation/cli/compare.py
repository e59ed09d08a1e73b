"""``compare``: two results directories side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table as Grid

from ablation.catalogue import known_studies
from ablation.cli.options import JsonOption
from ablation.cli.parsing import completes
from skelcon.cli.terminal import PlainConsole, line, say, styled

if TYPE_CHECKING:
    from ablation.provenance.comparison import CellPair, TablePair
    from ablation.statistics import Estimate

DIRECTORY = "A results directory, or the directory of a table in one."


def compare(
    first: Annotated[Path, typer.Argument(metavar="DIR1", help=DIRECTORY)],
    second: Annotated[Path, typer.Argument(metavar="DIR2", help=DIRECTORY)],
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A table that both have.",
            show_default="all of them",
            autocompletion=completes(known_studies),
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two results directories: the numbers, and what else differs.

    For each table that both have: the means of each cell, their paired difference
    with its interval, and differences in data, settings, versions and machines.
    Needs no data, runs nothing.

    \b
    skelcon-ablate compare results other/results augmentations
    skelcon-ablate compare results/augmentations results/augmentations-xsub
    """
    from ablation.provenance.comparison import compare_results
    from ablation.provenance.comparison_export import EXPLAINED, to_json

    found = compare_results(first, second, study)
    if as_json:
        typer.echo(json.dumps(to_json(found), indent=1))
        return
    console = PlainConsole()
    line(console, f"first:  {first}\nsecond: {second}")
    for pair in found.tables:
        print_pair(console, pair)
    for results, names in ((first, found.only_first), (second, found.only_second)):
        if names:
            line(console, f"\nOnly in {results}: {', '.join(names)}")
    say(console, styled(f"\n{EXPLAINED}", "dim"))


def print_pair(console: Console, pair: TablePair) -> None:
    """A table that both have: what differs, then the cells; significant differences are bold."""
    from ablation.provenance.comparison_export import remarks

    line(console, styled(f"\n{pair.name}: {pair.first.study.title}", "bold"))
    grid = Grid(header_style="bold")
    for head in ("differs", "first", "second", "where"):
        grid.add_column(head, overflow="fold")
    for each in pair.differing:
        grid.add_row(each.what, each.first, each.second, each.where)
    if pair.same:
        line(console, "Nothing differs.")
    else:
        console.print(grid if pair.differing else "Only the numbers of the units differ.")
    if not pair.cells:
        line(console, "No cell is in both.")
        return
    grid = Grid(header_style="bold")
    for head in ("row", "column"):
        grid.add_column(head)
    for head in ("first (n)", "second (n)", "difference [95 %]", "p"):
        grid.add_column(head, justify="right", no_wrap=True)
    for cell in pair.cells:
        row = pair.first.study.all_rows[cell.row].label or cell.row
        column = pair.first.study.columns[cell.column].label or cell.column
        style = "bold" if cell.significant else ""
        grid.add_row(row, column, *_texts(cell), style=style)
    console.print(grid)
    for sentence in remarks(pair):
        say(console, styled(sentence, "dim"))


def _texts(cell: CellPair) -> list[str]:
    """Both means with n, the difference with its interval, and p."""
    from ablation.provenance.comparison_export import scale_of
    from ablation.report.entry import difference, number, p_text

    def mean(estimate: Estimate | None) -> str:
        if estimate is None:
            return "no value"
        return f"{number(scale_of(cell) * estimate.value, cell.unit)} ({estimate.seeds})"

    texts = [mean(cell.first), mean(cell.second)]
    if cell.difference is None:
        return [*texts, "", ""]
    if cell.same:
        return [*texts, "the same units", ""]
    return [*texts, difference(cell.difference, cell.unit), p_text(cell.p)]
