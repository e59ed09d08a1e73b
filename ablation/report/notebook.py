"""A table as a notebook shows it."""

from __future__ import annotations

import html

from ablation.report.entry import Entry, number
from ablation.report.table import Table


def to_html(table: Table) -> str:
    """An element with caption, rows and notes; the best of each column in bold.

    A cell's title is its interval, or why there is no number.
    """
    study = table.study
    head = "".join(f"<th>{_text(table.column_label(name))}</th>" for name in study.columns)
    lines = [f"<tr><th></th>{head}</tr>"]
    for row in study.all_rows:
        label = _text(table.label(row))
        label = f"<i>{label}</i>" if row in study.references else label
        cells = "".join(_cell(table.entries[row, column]) for column in study.columns)
        lines.append(f'<tr><td style="text-align:left">{label}</td>{cells}</tr>')
    notes = "".join(f"<li>{_text(note)}</li>" for note in table.notes)
    return (
        f"<table><caption>{_text(table.caption)}</caption>{''.join(lines)}</table>"
        f"<details><summary>Notes</summary><ul>{notes}</ul></details>"
    )


def _cell(entry: Entry) -> str:
    if entry.mean is None:
        reason = entry.reason or "not run"
        return f'<td title="{_text(reason)}"><i>{_text(reason.split(":")[0])}</i></td>'
    text = number(entry.mean, entry.unit)
    text = f"<b>{text}</b>" if entry.best else text
    if entry.plus_minus is not None:
        text += f" ± {entry.plus_minus:.1f}"
    title = f"n = {entry.n}"
    if entry.interval is not None:
        low, high = entry.interval
        title += f", 95 % interval {low:.1f} to {high:.1f}"
    return f'<td title="{title}">{text}</td>'


def _text(text: str) -> str:
    return html.escape(text)
