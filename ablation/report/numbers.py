"""A table's numbers for programs: table.csv and table.json.

Both use the same names and units, described in `results/README.md`, and do not depend on the style
in which the table is printed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from ablation.evidence.evidence import evidence_of
from ablation.report.claims_export import to_json as claims_to_json
from ablation.report.entry import Entry
from ablation.report.frame import measured
from ablation.report.table import Table

ABOUT_ROW = ("row", "label", "kind")
_OURS = ("mean", "spread", "error", "low", "high", "n")
OF_CELL = (*_OURS, "paper", "paper_spread", "state", "reason")
"""The fields of a cell in both files, in this order."""
IN_JSON = ("row", "column", *OF_CELL, "best", "second", "values")
_OF_THE_STUDY = {"task", "metric", "downstream", "base", "rows", "references", "columns"}


def to_csv(table: Table, frame: pd.DataFrame) -> str:
    """One line per row; a column's numbers are ``<column>.mean``, ``<column>.spread``, ..."""
    columns = table.study.columns
    cells = _cells(table, frame)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*ABOUT_ROW, *(f"{column}.{name}" for column in columns for name in OF_CELL)])
    for row, label, kind in _rows(table):
        found = [cells.get((row, column), {}) for column in columns]
        writer.writerow([row, label, kind, *(each.get(n) for each in found for n in OF_CELL)])
    return out.getvalue()


def document(
    table: Table, frame: pd.DataFrame, provenance: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The table and its provenance as plain values for JSON."""
    plan, study = table.plan, table.study
    metric = {column: plan.metric(column) for column in study.columns}
    return {
        "study": study.name,
        "caption": table.caption,
        "notes": list(table.notes),
        "metric": plan.shown or study.metric,
        "protocol": plan.protocol,
        "preset": plan.preset.name,
        "evaluate_on": plan.evaluate_on,
        "seeds": list(plan.seeds),
        "settings": {
            "preset": plan.preset.tree,
            "study": study.model_dump(mode="json", include=_OF_THE_STUDY),
            "set": plan.overrides,
        },
        "rows": [{"row": row, "label": label, "kind": kind} for row, label, kind in _rows(table)],
        "columns": [
            {
                "column": column,
                "label": table.column_label(column),
                "metric": metric[column],
                "scale": about.unit,
            }
            for column, about in study.columns.items()
        ],
        "cells": [
            {"row": row, "column": column, **{name: cell.get(name) for name in IN_JSON[2:]}}
            for (row, column), cell in _cells(table, frame).items()
        ],
        "claims": claims_to_json(table.answers),
        "paper": None
        if plan.report is None
        else {"source": plan.report.source, "like_ours": plan.like_the_paper},
        "provenance": _provenance(provenance),
    }


def _rows(table: Table) -> Iterator[tuple[str, str, str]]:
    """Name, label and kind of each row; the rows of other methods come last."""
    for row in table.study.all_rows:
        yield row, table.label(row), "reference" if row in table.study.references else "row"
    for name, other in table.reported.items():
        yield name, other.label, "reported"


def _cells(table: Table, frame: pd.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    """(row, column) -> its fields in both files, and the further ones in table.json."""
    ours = measured(table.plan, frame)
    seeds = evidence_of(table.plan, ours, None).values
    states = dict(_states(ours))
    cells = {}
    for where, entry in table.entries.items():
        scale = 100 if entry.unit == "percent" else 1e-6
        known = seeds.get(where, {})
        values = [known.get(seed) for seed in table.plan.seeds]
        cells[where] = {
            **_numbers(entry),
            "state": "done" if entry.mean is not None else states[where],
            "values": [None if value is None else scale * value for value in values],
        }
    source = table.plan.report.source if table.plan.report is not None else ""
    for name, other in table.reported.items():
        for column in table.study.columns:
            if column in other.values:
                reported = {"n": 0, "paper": other.values[column], "state": "reported"}
                cells[name, column] = {**reported, "reason": source, "values": []}
    return cells


def _numbers(entry: Entry) -> dict[str, Any]:
    low, high = entry.interval or (None, None)
    own = ("mean", "spread", "error", "n", "paper", "paper_spread", "reason", "best", "second")
    return {**{name: getattr(entry, name) for name in own}, "low": low, "high": high}


def _states(frame: pd.DataFrame) -> Iterator[tuple[tuple[str, str], str]]:
    """The state of the first seed (and fold) that has no value; ``done`` where all have."""
    for (row, column), group in frame.groupby(["row", "column"], sort=False):
        missing = group[group["state"] != "done"]["state"].tolist()
        yield (str(row), str(column)), str(missing[0]) if missing else "done"


def _provenance(units: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Data, versions and hardware of the units, each distinct value once."""

    def distinct(name: str) -> list[Any]:
        found: list[Any] = []
        for unit in units:
            if unit[name] not in found:
                found.append(unit[name])
        return found

    peaks = [unit["peak_memory"]["process_mib"] for unit in units]
    return {
        "units": sorted(unit["unit"] for unit in units),
        "data": distinct("data"),
        "versions": distinct("versions"),
        "revisions": distinct("revision"),
        "hardware": distinct("hardware"),
        "threads_per_unit": distinct("threads"),
        "unit_seconds": round(sum(unit["seconds"] for unit in units), 1),
        "peak_memory_mib": max(peaks, default=None),
    }
