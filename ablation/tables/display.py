"""A study's table as a person reads it in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from ablation.tables.table import Table, text_of


def print_table(console: Console, table: Table) -> None:
    """The table as a person reads it: the best of each column in bold."""
    grid = Grid(header_style="bold")
    grid.add_column("row")
    for column in table.columns:
        grid.add_column(table.column_label(column), justify="right")

    def add(row: str) -> None:
        values = []
        for column in table.columns:
            entry = table.entries[row, column]
            failed = entry.mean is None and entry.reason.startswith("failed")
            style = "bold" if entry.best else "red" if failed else ""
            values.append(Text(text_of(entry, table.show_paper), style=style))
        style = "italic dim" if row in table.references else ""
        grid.add_row(table.label(row), *values, style=style)

    for row in table.rows:
        add(row)
    if table.references:
        grid.add_section()
        for row in table.references:
            add(row)
    if table.reported:
        grid.add_section()
    for name, other in table.reported.items():
        values = [Text(table.reported_text(name, column)) for column in table.columns]
        grid.add_row(f"{other.label} (reported)", *values, style="italic dim")
    console.print(Text(table.caption, style="bold"))
    console.print(grid)
    for note in table.notes:
        console.print(Text(f"- {note}", style="dim"))
