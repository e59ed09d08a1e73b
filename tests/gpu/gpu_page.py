"""What was found, as one Markdown page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SIGNS = {True: "ok", False: "**WRONG**", None: ""}


@dataclass(frozen=True)
class Row:
    """A line of a part's table.

    Attributes:
        what: what was tried.
        ok: whether it is as it must be; None for what is only measured or named.
        note: a reason, or what a reader has to know.
        values: column -> number or text.
    """

    what: str
    ok: bool | None = None
    note: str = ""
    values: Mapping[str, float | str | None] = field(default_factory=dict)


def page(machine: Mapping[str, object], parts: Sequence[Mapping[str, object]]) -> str:
    """Markdown: the machine, a line a part, and each part's rows."""
    lines = ["# Check of a device", ""]
    lines += [f"- {name}: {value}" for name, value in machine.items()]
    lines += ["", "| part | state | seconds | |", "| --- | --- | ---: | --- |"]
    for part in parts:
        cells = part["name"], part["state"], f"{part['seconds']:.0f}", part["reason"]
        lines.append(_line(cells))
    for part in parts:
        rows = part["rows"]
        if isinstance(rows, list) and rows:
            lines += ["", f"## {part['title']}", "", *_table(rows)]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row]) -> list[str]:
    columns = list(dict.fromkeys(name for row in rows for name in row.values))
    judged, noted = any(row.ok is not None for row in rows), any(row.note for row in rows)
    head = ["", *columns, *["state"] * judged, *["note"] * noted]
    kinds = ["---", *["---:"] * len(columns), *["---"] * (judged + noted)]
    lines = [_line(head), _line(kinds)]
    for row in rows:
        cells = [row.what, *(_value(row.values.get(name)) for name in columns)]
        lines.append(_line([*cells, *[SIGNS[row.ok]] * judged, *[row.note] * noted]))
    return lines


def _line(cells: Sequence[object]) -> str:
    shown = (" ".join(str(cell).split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(shown)} |"


def _value(value: float | str | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if 0 < abs(value) < 0.01:
        return f"{value:.1e}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
