"""A table as HTML for a notebook."""

from __future__ import annotations

from ablation.doors import to_html as text
from ablation.report.layout import Layout, Line, Printed
from ablation.report.markdown import mark


def to_html(layout: Layout) -> str:
    """The best of each column in bold, the second underlined; caption above, notes folded below."""
    heads = "".join(f"<th>{text(head.label)}</th>" for head in layout.heads)
    lines = "".join(map(_line, layout.lines))
    marked = [f"{mark(n)} {text(note)}." for n, note in enumerate(layout.footnotes, 1)]
    notes = "".join(f"<li>{note}</li>" for note in [*marked, *map(text, layout.notes)])
    below = f"<details><summary>Notes</summary><ul>{notes}</ul></details>" if notes else ""
    caption = f"<caption>{text(layout.caption)}</caption>"
    return f"<table>{caption}<tr><th></th>{heads}</tr>{lines}</table>{below}"


def _line(line: Line) -> str:
    label = text(line.label)
    label = label if line.kind == "row" else f"<i>{label}</i>"
    return f'<tr><td style="text-align:left">{label}</td>{"".join(map(_cell, line.cells))}</tr>'


def _cell(cell: Printed) -> str:
    if not cell.number:
        return f"<td><i>{text(cell.reason) or '–' + mark(cell.mark)}</i></td>"
    number, beside = map(text, cell.texts())
    if cell.best:
        number = f"<b>{number}</b>"
    elif cell.second:
        number = f"<u>{number}</u>"
    return f"<td>{f'{number} {beside}'.rstrip()}</td>"
