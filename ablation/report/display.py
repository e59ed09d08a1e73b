"""A study's table as a person reads it in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from ablation.report.layout import Printed, lay_out
from ablation.report.markdown import mark
from ablation.report.style import DEFAULT, TableStyle
from ablation.report.table import Table
from skelcon.cli.terminal import joined


def print_table(console: Console, table: Table, style: TableStyle = DEFAULT) -> None:
    """The best of each column in bold, the second underlined."""
    layout = lay_out(table, style)
    grid = Grid(header_style="bold")
    grid.add_column("row")
    for head in layout.heads:
        grid.add_column(joined(head.label), justify="right")
    kind = "row"
    for line in layout.lines:
        if line.kind != kind:
            grid.add_section()
            kind = line.kind
        look = "" if kind == "row" else "italic dim"
        grid.add_row(joined(line.label), *map(_cell, line.cells), style=look)
    console.print(joined((layout.caption, "bold")))
    console.print(grid)
    for number, note in enumerate(layout.footnotes, 1):
        console.print(joined((f"{mark(number)} {note}", "dim")))
    for note in layout.notes:
        console.print(joined((f"- {note}", "dim")))


def _cell(cell: Printed) -> Text:
    if not cell.number:
        return joined(
            (cell.reason or f"–{mark(cell.mark)}", "red" if "failed" in cell.reason else "")
        )
    look = "bold" if cell.best else "underline" if cell.second else ""
    number, beside = cell.texts()
    return joined((number, look), f" {beside}" if beside else "")
