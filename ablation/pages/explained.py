"""How a number came about, in the texts that its popover shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ablation.figures import Asked
from ablation.pages.facts import command_of, facts_of
from ablation.plan import Cell
from ablation.report.entry import Entry, number
from ablation.report.evidence import Where
from ablation.report.table import Table
from ablation.store import Store
from ablation.store.unit_files import PROVENANCE
from ablation.text import fine_duration, plural, short_key
from skelcon.data import kind_of_groups


@dataclass(frozen=True)
class Explained:
    """A cell.

    Attributes:
        sentences: its interval, its spread, its place in the column, the paper's value.
        heads, values: what each seed (and fold) gave, with its units and their time.
        facts: machine and versions.
        command: the shell line that computes it again.
    """

    row: str
    column: str
    number: str
    sentences: tuple[str, ...]
    heads: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    facts: tuple[tuple[str, str], ...]
    command: str


def explained(asked: Asked, where: Where) -> Explained:
    """What is known of a cell, from the results alone."""
    table, plan, store = asked.table, asked.plan, asked.store
    entry, (row, column) = table.entries[where], where
    cells = [cell for cell in plan.cells if (cell.row, cell.column) == where]
    frame = asked.frame
    of_cell = (frame["row"] == row) & (frame["column"] == column)
    lines = frame[of_cell & (frame["metric"] == plan.metric(column))].to_dict("records")
    folds = any(cell.fold is not None for cell in cells)
    values = [
        (
            str(cell.seed),
            *([str(cell.fold)] if folds else []),
            _value(entry, line["value"], line["reason"]),
            *_units(cell, store),
        )
        for cell, line in zip(cells, lines, strict=True)
    ]
    heads = ("seed", *(["fold"] if folds else []), "value", "evaluation", "pre-training", "time")
    keys = {key for cell in cells if cell.unit for key in (cell.unit.key, *cell.unit.needs)}
    return Explained(
        row=table.label(row),
        column=table.column_label(column),
        number=_number(entry, plan.metric(column)),
        sentences=tuple(_sentences(asked, where, cells)),
        heads=heads,
        values=tuple(values),
        facts=facts_of(store, sorted(keys)),
        command=command_of(plan, row),
    )


def _number(entry: Entry, metric: str) -> str:
    if entry.mean is None:
        return entry.reason or "no value"
    percent = " %" if entry.unit == "percent" else ""
    return f"{number(entry.mean, entry.unit)}{percent} {metric.replace('top1', 'top-1')}"


def _value(entry: Entry, value: float, reason: str) -> str:
    if reason:
        return reason
    return number(value * (100 if entry.unit == "percent" else 1e-6), entry.unit)


def _units(cell: Cell, store: Store) -> tuple[str, str, str]:
    """The keys of its evaluation and pre-trainings, and their time."""
    if cell.unit is None:
        return "", "", ""
    keys = (*cell.unit.needs, cell.unit.key)
    known = [store.files(key).read_or_none(PROVENANCE) or {} for key in keys]
    seconds = [float(each["seconds"]) for each in known if "seconds" in each]
    time = " + ".join(map(fine_duration, seconds))
    return short_key(cell.unit.key), " ".join(map(short_key, cell.unit.needs)), time


def _sentences(asked: Asked, where: Where, cells: Sequence[Cell]) -> list[str]:
    table, entry = asked.table, asked.table.entries[where]
    found = []
    if entry.interval is not None:
        low, high = entry.interval
        found.append(f"95 % interval {low:.1f} to {high:.1f}{_over(asked, where, cells)}.")
    if entry.error is not None:
        found.append(f"Standard error over clips and groups {entry.error:.1f}.")
    elif entry.spread is not None:
        found.append(f"Sample standard deviation {entry.spread:.1f}, n = {entry.n}.")
    elif entry.mean is not None:
        found.append(f"n = {entry.n}.")
    if entry.best:
        found.append("The highest of its column, or not told apart from it.")
    elif entry.second:
        found.append("The second of its column.")
    return found + _of_paper(table, entry)


def _over(asked: Asked, where: Where, cells: Sequence[Cell]) -> str:
    """What an interval is over: ``, over 5 seeds, 4 subjects and 430 clips``."""
    estimate, hits = asked.evidence.estimate(where), asked.evidence.hits.get(where)
    if estimate is None:
        return ""
    parts = [plural(estimate.seeds, "seed")]
    if hits is None:
        return f", over {parts[0]} and not over the test clips, which are not known"
    unit = next(cell.unit for cell in cells if cell.unit is not None)
    kind = kind_of_groups(asked.plan.dataset, unit.side.protocol, hits.clips)
    if estimate.groups != len(hits.clips):
        parts.append(plural(estimate.groups, kind or "group"))
    return f", over {', '.join(parts)} and {plural(len(hits.clips), 'clip')}"


def _of_paper(table: Table, entry: Entry) -> list[str]:
    report = table.plan.report
    if not table.show_paper or report is None or entry.paper is None:
        return []
    unlike = "" if table.plan.like_the_paper else ", of another data set, protocol or scale"
    value = number(entry.paper, entry.unit, of_paper=True)
    return [f"The paper reports {value} ({report.source}{unlike})."]
