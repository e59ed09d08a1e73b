"""A study's table as a person reads it in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from ablation.report.entry import Entry, text_of
from ablation.report.table import Table
from skelcon.cli.terminal import styled


def print_table(console: Console, table: Table) -> None:
    """The table as a person reads it: the best of each column in bold."""
    grid = Grid(header_style="bold")
    grid.add_column("row")
    for column in table.study.columns:
        grid.add_column(styled(table.column_label(column)), justify="right")

    def cell(entry: Entry) -> Text:
        failed = entry.mean is None and entry.reason.startswith("failed")
        style = "bold" if entry.best else "red" if failed else ""
        return styled(text_of(entry) + table.paper_part(entry), style)

    for row in table.study.rows:
        grid.add_row(styled(table.label(row)), *map(cell, table.line(row)))
    grid.add_section()
    for row in table.study.references:
        grid.add_row(styled(table.label(row)), *map(cell, table.line(row)), style="italic dim")
    grid.add_section()
    for name, other in table.reported.items():
        texts = map(styled, table.reported_texts(name))
        grid.add_row(styled(f"{other.label} (reported)"), *texts, style="italic dim")
    console.print(styled(table.caption, "bold"))
    console.print(grid)
    for note in table.notes:
        console.print(styled(f"- {note}", "dim"))
