"""A table in Markdown."""

from __future__ import annotations

from ablation.doors import markdown_table
from ablation.doors import to_markdown as text
from ablation.report.layout import Layout, Line, Printed

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def to_markdown(layout: Layout) -> str:
    """The best of each column in bold, the second underlined; caption above, notes below."""
    heads = ["row", *(text(head.label) for head in layout.heads)]
    rows = [[_label(line), *map(_cell, line.cells)] for line in layout.lines]
    grid = markdown_table(heads, "l" + "r" * len(layout.heads), rows)
    notes = [f"- {mark(n)} {text(note)}." for n, note in enumerate(layout.footnotes, 1)]
    notes += [f"- {text(note)}" for note in layout.notes]
    return "\n".join([text(layout.caption), "", *grid, *([""] if notes else []), *notes]) + "\n"


def mark(number: int) -> str:
    """The mark of a footnote: ``¹``; empty for 0."""
    return str(number or "").translate(SUPERSCRIPTS)


def _label(line: Line) -> str:
    label = text(line.label)
    return label if line.kind == "row" else f"*{label}*"


def _cell(cell: Printed) -> str:
    if not cell.number:
        return text(cell.reason) or f"–{mark(cell.mark)}"
    number, beside = cell.texts()
    if cell.best:
        number = f"**{number}**"
    elif cell.second:
        number = f"<ins>{number}</ins>"
    return f"{number} {beside}".rstrip()
