"""A table with the explanation that a tap on each number shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ablation.evidence.evidence import Where
from ablation.figures import Asked
from ablation.pages.strips import Strip, strip
from ablation.provenance.explained import Explained, explained
from ablation.provenance.explanation import Explainer
from ablation.report.layout import Layout, Printed
from ablation.report.notes import Detail
from ablation.report.style import TableStyle
from ablation.report.table import Table

KINDS = {"row": "", "reference": "References", "reported": "Reported by others"}
"""Kind of row -> heading of its group; lines are sorted within their group."""


@dataclass(frozen=True)
class GridCell:
    """A cell with its explanation.

    Attributes:
        printed: its texts.
        of_paper: whether it is in a column of the paper's values.
        value: the number to sort by; None if missing.
        popover: the id of its explanation; empty if there is none.
        strip: the number and its interval, drawn on the scale of the column.
    """

    printed: Printed
    of_paper: bool = False
    value: float | None = None
    popover: str = ""
    strip: Strip | None = None


@dataclass(frozen=True)
class GridLine:
    """A row."""

    label: str
    cells: tuple[GridCell, ...]


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        layout: its texts.
        groups: (heading, lines); the heading of the study's own rows is empty.
        notes: the notes without which numbers are misread.
        details: the other notes.
        explanations: (id, contents) of the popovers.
    """

    layout: Layout
    groups: tuple[tuple[str, tuple[GridLine, ...]], ...]
    notes: tuple[str, ...]
    details: tuple[str, ...]
    explanations: tuple[tuple[str, Explained], ...]


def grid_of(asked: Asked, name: str, anchor: str) -> Grid:
    """The table of ``asked``, called ``name``; the ids of popovers begin with ``anchor``."""
    table = asked.table
    layout = table.layout(_style(table))
    popovers = {where: f"{anchor}-n{number}" for number, where in enumerate(table.entries, 1)}
    rows: list[str | None] = [*table.study.all_rows]
    rows += [None] * (len(layout.lines) - len(rows))  # reported rows have no units
    made: dict[str, list[GridLine]] = {kind: [] for kind in KINDS}
    for row, line in zip(rows, layout.lines, strict=True):
        places = _places(table, layout, row)
        cells = [
            _cell(table, where, printed, popovers)
            for where, printed in zip(places, line.cells, strict=True)
        ]
        made[line.kind].append(GridLine(line.label, tuple(cells)))
    notes = [*layout.notes, *_on_the_paper(table)]
    explainer = Explainer(name, table, asked.frame, asked.store)
    return Grid(
        layout=layout,
        groups=tuple((KINDS[kind], tuple(lines)) for kind, lines in made.items() if lines),
        notes=tuple(note for note in notes if not isinstance(note, Detail)),
        details=tuple(note for note in notes if isinstance(note, Detail)),
        explanations=tuple(
            (popover, explained(explainer.explain(where))) for where, popover in popovers.items()
        ),
    )


def _style(table: Table) -> TableStyle:
    """The paper's values are beside ours if comparable; otherwise a tap shows them."""
    reference: Literal["hide"] | None = None if table.plan.like_the_paper else "hide"
    return TableStyle(reference=reference)


def _on_the_paper(table: Table) -> list[str]:
    if not table.show_paper or table.plan.like_the_paper or table.plan.report is None:
        return []
    return [
        f"The paper's values ({table.plan.report.source}) are of another data set, protocol or "
        "scale: the explanation of each number has them."
    ]


def _places(table: Table, layout: Layout, row: str | None) -> list[Where | None]:
    """The cell of the table behind each printed one; None for the paper's values."""
    columns = iter(table.study.columns)
    own = [None if head.of_paper else next(columns) for head in layout.heads]
    return [None if row is None or column is None else (row, column) for column in own]


def _cell(
    table: Table, where: Where | None, printed: Printed, popovers: dict[Where, str]
) -> GridCell:
    if where is None:
        value = float(printed.number.rstrip("M")) if printed.number else None
        return GridCell(printed, of_paper=True, value=value)
    own = strip(table, where)
    return GridCell(printed, value=table.entries[where].mean, popover=popovers[where], strip=own)
