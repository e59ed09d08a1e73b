"""A study's table as a person reads it in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text

from ablation.report.layout import Layout, Printed
from ablation.report.markdown import mark
from ablation.report.style import DEFAULT, TableStyle
from ablation.report.table import Table
from skelcon.cli.terminal import joined

LABEL = 20
"""Width of the row labels, in characters, where a table is too wide for the terminal."""
EDGE = 3
"""Characters that a column takes besides its text: two spaces and a line."""


def print_table(console: Console, table: Table, style: TableStyle = DEFAULT) -> None:
    """Print the table with the best of each column in bold, the second underlined.

    Columns for which the terminal is too narrow follow in a further table below, so that no number
    is cut.
    """
    layout = table.layout(style)
    console.print(joined((layout.caption, "bold")))
    for grid in _grids(console, layout):
        console.print(grid)
    for number, note in enumerate(layout.footnotes, 1):
        console.print(joined((f"{mark(number)} {note}", "dim")))
    for note in layout.notes:
        console.print(joined((f"- {note}", "dim")))


def _grids(console: Console, layout: Layout) -> list[Grid]:
    """The table, or several with some of its columns each, as many as the terminal has room for."""
    natural: list[int | None] = [None] * len(layout.heads)
    whole = _grid(layout, range(len(layout.heads)), natural)
    unlimited = console.options.update(max_width=10_000)
    if Measurement.get(console, unlimited, whole).maximum <= console.width:
        return [whole]
    widths = [_width(layout, at) for at in range(len(layout.heads))]
    labels = [line.label for line in layout.lines]
    longest = max(cell_len("row"), *map(cell_len, labels))
    room = console.width - 1 - EDGE - min(longest, max(LABEL, _longest_word(*labels)))
    parts: list[list[int]] = []
    left = 0
    for at, width in enumerate(widths):
        if not parts or width + EDGE > left:
            parts.append([])
            left = room
        parts[-1].append(at)
        left -= width + EDGE
    return [_grid(layout, part, widths) for part in parts]


def _grid(layout: Layout, columns: Sequence[int], widths: Sequence[int | None]) -> Grid:
    grid = Grid(header_style="bold")
    grid.add_column("row")
    for at in columns:
        grid.add_column(joined(layout.heads[at].label), justify="right", width=widths[at])
    kind = "row"
    for line in layout.lines:
        if line.kind != kind:
            grid.add_section()
            kind = line.kind
        look = "" if kind == "row" else "italic dim"
        cells = (_cell(line.cells[at]) for at in columns)
        grid.add_row(joined(line.label), *cells, style=look)
    return grid


def _width(layout: Layout, at: int) -> int:
    """The width that a column's numbers need, and the longest word of its head and reasons."""
    cells = [line.cells[at] for line in layout.lines]
    numbers = [cell_len(_cell(cell).plain) for cell in cells if cell.number]
    words = [layout.heads[at].label, *(cell.reason for cell in cells if not cell.number)]
    return max(*numbers, _longest_word(*words), 2)


def _longest_word(*texts: str) -> int:
    return max((cell_len(word) for text in texts for word in text.split()), default=0)


def _cell(cell: Printed) -> Text:
    if not cell.number:
        return joined(
            (cell.reason or f"–{mark(cell.mark)}", "red" if "failed" in cell.reason else "")
        )
    look = "bold" if cell.best else "underline" if cell.second else ""
    number, beside = cell.texts()
    return joined((number, look), f" {beside}" if beside else "")
