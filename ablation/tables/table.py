"""From the store to one tidy frame, and from the frame to a table with means and spreads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from ablation.plan import Cell, Plan
from ablation.store import Store
from ablation.study import Reported
from ablation.tables.notes import notes_of
from skelcon.settings import preset_tree

_OF_THE_STUDY = {"task", "metric", "downstream", "base", "rows", "references", "columns"}

COLUMNS = (
    "study",
    "row",
    "column",
    "seed",
    "metric",
    "value",
    "state",
    "reason",
    "unit",
    "paper",
)


Outcome = tuple[float, str, str]
"""Value, state and reason of a cell for one seed."""


def cells_frame(
    plan: Plan, store: Store, known: dict[tuple[str, str], Outcome] | None = None
) -> pd.DataFrame:
    """One line per cell and seed, in table order; the columns are :data:`COLUMNS`.

    ``value`` is a fraction (a count for parameters), ``paper`` what the paper prints, ``seed``
    is missing where a line is not of ours; a cell without a value carries its ``state`` (not run,
    failed, not applicable) and its ``reason``. Rows of other methods have the state ``reported``
    and the source as their reason. ``known`` remembers (unit, metric) -> the outcome of what is
    done, for who asks again and again.
    """
    known = {} if known is None else known
    lines: list[tuple[Any, ...]] = []
    study = plan.study.name
    for cell in plan.cells:
        key = cell.unit.key if cell.unit else ""
        metric, paper = plan.metric(cell.column), plan.paper_value(cell.row, cell.column)
        outcome = known.get((key, metric)) or _outcome(cell, plan, store)
        value, state, reason = outcome
        if state == "done":
            known[key, metric] = outcome
        lines.append(
            (study, cell.row, cell.column, cell.seed, metric, value, state, reason, key, paper)
        )
    for name, other in reported_rows(plan).items():
        for column in plan.study.columns:
            if column in other.values and plan.report is not None:
                lines.append(
                    (
                        study,
                        name,
                        column,
                        None,
                        plan.metric(column),
                        math.nan,
                        "reported",
                        plan.report.source,
                        "",
                        other.values[column],
                    )
                )
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    return frame.astype({"seed": "Int64", "value": "float64", "paper": "float64"})


def reported_rows(plan: Plan) -> dict[str, Reported]:
    """Other methods' rows, as the paper reports them; none beside synthetic data."""
    if plan.report is None or plan.synthetic:
        return {}
    return {
        name: other
        for name, other in plan.report.others.items()
        if any(column in other.values for column in plan.study.columns)
    }


def _outcome(cell: Cell, plan: Plan, store: Store) -> Outcome:
    if cell.unit is None:
        return math.nan, "not applicable", cell.reason
    key = cell.unit.key
    state = store.state(key)
    if state == "done":
        return float(store.result(key)[plan.metric(cell.column)]), "done", ""
    if state == "failed":
        return math.nan, "failed", store.failure(key)
    for needed in cell.unit.needs:
        if store.state(needed) == "failed":
            return math.nan, "failed", f"pre-training {store.failure(needed)}"
    return math.nan, "not run", "not run yet"


@dataclass(frozen=True)
class Entry:
    """A cell over its seeds as it is printed, in percent or millions.

    ``spread`` is the sample standard deviation (ddof 1) of ``n`` > 1 seeds.
    """

    mean: float | None
    spread: float | None
    n: int
    paper: float | None
    reason: str = ""
    best: bool = False
    unit: str = "percent"


@dataclass(frozen=True)
class Table:
    """A study's table, ready to be printed.

    Attributes:
        entries: (row, column) -> entry.
        reported: other methods' rows, as the paper reports them.
        caption: what it shows, of which data, and what n and the spread are.
        notes: what a reader must know beside it.
    """

    plan: Plan
    entries: dict[tuple[str, str], Entry]
    reported: dict[str, Reported]
    caption: str
    notes: tuple[str, ...]
    show_paper: bool

    @property
    def rows(self) -> list[str]:
        """The compared rows' names."""
        return list(self.plan.study.rows)

    @property
    def references(self) -> list[str]:
        """The names of the rows beside the comparison."""
        return list(self.plan.study.references)

    @property
    def columns(self) -> list[str]:
        """The columns' names."""
        return list(self.plan.study.columns)

    def label(self, row: str) -> str:
        """What a row is called in print."""
        return self.plan.study.all_rows[row].label or row

    def column_label(self, column: str) -> str:
        """What a column is called in print."""
        return self.plan.study.columns[column].label or column

    def reported_text(self, name: str, column: str) -> str:
        """What another method's row prints in a column."""
        value = self.reported[name].values.get(column)
        return "not reported" if value is None else f"{value:.1f}"


def make_table(plan: Plan, frame: pd.DataFrame) -> Table:
    """The entries with caption and notes."""
    entries = entries_of(plan, frame)
    return Table(
        plan=plan,
        entries=entries,
        reported=reported_rows(plan),
        caption=_caption(plan, entries),
        notes=notes_of(plan, entries, frame[frame["state"] != "reported"]),
        show_paper=_shows_paper(plan),
    )


def _shows_paper(plan: Plan) -> bool:
    """Not on synthetic data: a number beside the paper's would suggest a comparison."""
    return plan.report is not None and not plan.synthetic


def entries_of(plan: Plan, frame: pd.DataFrame) -> dict[tuple[str, str], Entry]:
    """(row, column) -> mean, sample standard deviation, and whether it is its column's best."""
    entries: dict[tuple[str, str], Entry] = {}
    ours = frame[frame["state"] != "reported"]
    for (row, column), group in ours.groupby(["row", "column"], sort=False):
        unit = plan.study.columns[str(column)].unit
        values = (group["value"].dropna() * (100 if unit == "percent" else 1e-6)).tolist()
        reasons = [text for text in group["reason"] if text]
        n = len(values)
        spread = float(pd.Series(values).std(ddof=1)) if n > 1 and unit == "percent" else None
        entries[str(row), str(column)] = Entry(
            mean=math.fsum(values) / n if n else None,
            spread=spread,
            n=n,
            paper=plan.paper_value(str(row), str(column)),
            reason=reasons[0] if reasons else "",
            unit=unit,
        )
    for column in _compared(plan) if len(plan.study.rows) > 1 else []:
        means = {row: entries[row, column].mean for row in plan.study.rows}
        top = max((m for m in means.values() if m is not None), default=None)
        for row, mean in means.items():
            if mean is not None and top is not None and f"{mean:.1f}" == f"{top:.1f}":
                entries[row, column] = replace(entries[row, column], best=True)
    return entries


def _compared(plan: Plan) -> list[str]:
    """The columns that rank the rows."""
    return [name for name, column in plan.study.columns.items() if column.unit == "percent"]


def _caption(plan: Plan, entries: dict[tuple[str, str], Entry]) -> str:
    study, dataset = plan.study, plan.dataset
    counts = sorted({entry.n for entry in entries.values() if entry.n})
    seeds = "no result yet"
    if counts:
        seeds = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
        seeds += f" seed{'s' if counts[-1] > 1 else ''}"
        if counts[-1] > 1:
            seeds += ", mean ± sample standard deviation (ddof = 1)"
    data = "synthetic data made by skelcon" if dataset.synthetic else dataset.name
    if plan.source is not None and plan.source.synthetic and not dataset.synthetic:
        data += " after synthetic data made by skelcon"
    changed = ", changed by --set" if plan.overrides else ""
    side = "" if plan.evaluate_on == "test" else ", on validation subjects of the training side"
    like = f" (as {study.reproduces} of the paper)" if study.reproduces else ""
    own = all(study.columns[column.of or name].protocol for name, column in study.columns.items())
    protocol = "" if own else f", {plan.protocol}"
    return (
        f"{study.title}{like}: {study.task} {study.metric.replace('top1', 'top-1')}, "
        f"in percent, {data}{protocol}{side}, {plan.preset} preset{changed}, {seeds}."
    )


def text_of(entry: Entry, paper: bool, plus_minus: str = " ± ") -> str:
    """An entry as the tables print it: ``61.2 ± 0.8 (82.5)``, or why there is no number."""
    if entry.mean is None:
        whole = entry.reason.endswith("out of memory")
        return (entry.reason if whole else entry.reason.split(":")[0]) or "not run"
    text = number(entry.mean, entry.unit)
    if entry.spread is not None:
        text += f"{plus_minus}{entry.spread:.1f}"
    if paper and entry.paper is not None:
        text += f" ({number(entry.paper, entry.unit, of_paper=True)})"
    return text


def number(value: float, unit: str, *, of_paper: bool = False) -> str:
    """``61.2`` (percent) or ``0.52M`` (millions; the paper gives one digit less)."""
    if unit == "millions":
        return f"{value:.1f}M" if of_paper else f"{value:.2f}M"
    return f"{value:.1f}"


def summary(table: Table, provenance: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The table and where it comes from, as plain values for JSON."""
    plan = table.plan

    def distinct(name: str) -> list[Any]:
        found: list[Any] = []
        for item in provenance:
            if item[name] not in found:
                found.append(item[name])
        return found

    return {
        "study": plan.study.name,
        "caption": table.caption,
        "notes": list(table.notes),
        "protocol": plan.protocol,
        "preset": plan.preset,
        "evaluated_on": plan.evaluate_on,
        "seeds": list(plan.seeds),
        "settings": {
            "preset": preset_tree(plan.preset),
            "study": plan.study.model_dump(mode="json", include=_OF_THE_STUDY),
            "set": plan.overrides,
        },
        "cells": [
            {
                "row": row,
                "column": column,
                "mean": entry.mean,
                "spread": entry.spread,
                "n": entry.n,
                "paper": entry.paper,
                "reason": entry.reason,
                "unit": entry.unit,
            }
            for (row, column), entry in table.entries.items()
        ],
        "reported": {
            name: {"label": other.label, "values": other.values}
            for name, other in table.reported.items()
        },
        "provenance": {
            "units": sorted(item["unit"] for item in provenance),
            "data": distinct("data"),
            "versions": distinct("versions"),
            "revisions": distinct("revision"),
            "hardware": distinct("hardware"),
            "threads_per_unit": distinct("threads"),
            "unit_seconds": round(sum(item["seconds"] for item in provenance), 1),
            "peak_memory_mib": max(
                (item["peak_memory"]["process_mib"] for item in provenance), default=None
            ),
        },
    }
