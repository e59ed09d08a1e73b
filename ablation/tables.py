"""From the store to one tidy frame, and from the frame to a table with means and spreads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ablation.plan import Cell, Plan
from ablation.store import Store
from skelcon.data import SkeletonDataset

COLUMNS = (
    "study", "row", "column", "seed", "metric", "value", "state", "reason", "unit", "paper",
)  # fmt: skip


def cells_frame(plan: Plan, store: Store) -> pd.DataFrame:
    """One line per cell and seed, in table order; the columns are :data:`COLUMNS`.

    ``value`` is a fraction, ``paper`` the paper's percentage; a cell without a value carries
    its ``state`` (not run, failed, not applicable) and its ``reason``.
    """
    lines = []
    for cell in plan.cells:
        value, state, reason = _outcome(cell, plan, store)
        lines.append(
            (
                plan.study.name,
                cell.row,
                cell.column,
                cell.seed,
                plan.study.metric,
                value,
                state,
                reason,
                cell.unit.key if cell.unit else "",
                plan.study.paper_value(cell.row, cell.column),
            )
        )
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    return frame.astype({"value": "float64", "paper": "float64"})


def _outcome(cell: Cell, plan: Plan, store: Store) -> tuple[float, str, str]:
    if cell.unit is None:
        return math.nan, "not applicable", cell.reason
    key = cell.unit.key
    state = store.state(key)
    if state == "done":
        return float(store.result(key)[plan.study.metric]), "done", ""
    if state == "failed":
        return math.nan, "failed", store.failure(key)
    for needed in cell.unit.needs:
        if store.state(needed) == "failed":
            return math.nan, "failed", f"pre-training {store.failure(needed)}"
    return math.nan, "not run", "not run yet"


@dataclass(frozen=True)
class Entry:
    """A cell over its seeds, in percent: ``spread`` is the sample standard deviation (ddof 1)."""

    mean: float | None
    spread: float | None
    n: int
    paper: float | None
    reason: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A study's table, ready to be printed.

    Attributes:
        entries: (row, column) -> entry.
        caption: what it shows, of which data, and what n and the spread are.
        notes: what a reader must know beside it.
    """

    plan: Plan
    entries: dict[tuple[str, str], Entry]
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


def make_table(plan: Plan, frame: pd.DataFrame, dataset: SkeletonDataset) -> Table:
    """Means, sample standard deviations, the best of each column, caption and notes."""
    entries: dict[tuple[str, str], Entry] = {}
    for (row, column), group in frame.groupby(["row", "column"], sort=False):
        values = (100 * group["value"].dropna()).tolist()
        reasons = [text for text in group["reason"] if text]
        n = len(values)
        entries[str(row), str(column)] = Entry(
            mean=math.fsum(values) / n if n else None,
            spread=float(pd.Series(values).std(ddof=1)) if n > 1 else None,
            n=n,
            paper=plan.study.paper_value(str(row), str(column)),
            reason=reasons[0] if reasons else "",
        )
    for column in plan.study.columns:
        means = {row: entries[row, column].mean for row in plan.study.rows}
        top = max((m for m in means.values() if m is not None), default=None)
        for row, mean in means.items():
            if mean is not None and top is not None and f"{mean:.1f}" == f"{top:.1f}":
                old = entries[row, column]
                entries[row, column] = Entry(
                    old.mean, old.spread, old.n, old.paper, old.reason, best=True
                )
    return Table(
        plan=plan,
        entries=entries,
        caption=_caption(plan, entries, dataset),
        notes=tuple(_notes(plan, entries, frame, dataset)),
        # On made-up data a number beside the paper's would suggest a comparison.
        show_paper=plan.study.paper is not None and not dataset.synthetic,
    )


def _caption(plan: Plan, entries: dict[tuple[str, str], Entry], dataset: SkeletonDataset) -> str:
    study = plan.study
    counts = sorted({entry.n for entry in entries.values() if entry.n})
    seeds = "no result yet"
    if counts:
        seeds = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
        seeds += f" seed{'s' if counts[-1] > 1 else ''}"
        if counts[-1] > 1:
            seeds += ", mean ± sample standard deviation (ddof = 1)"
    data = "synthetic data made by skelcon" if dataset.synthetic else dataset.name
    side = "" if plan.evaluate_on == "test" else ", on validation subjects of the training side"
    like = f" (as {study.reproduces} of the paper)" if study.reproduces else ""
    return (
        f"{study.title}{like}: {study.task} {study.metric.replace('top1', 'top-1')}, "
        f"in percent, {data}, {plan.protocol}{side}, {plan.preset} preset, {seeds}."
    )


def _notes(
    plan: Plan,
    entries: dict[tuple[str, str], Entry],
    frame: pd.DataFrame,
    dataset: SkeletonDataset,
) -> list[str]:
    notes = [
        f"Data {dataset.fingerprint}, layout family {dataset.family}. The last epoch is reported; "
        "the test side chose nothing."
    ]
    if dataset.synthetic:
        notes.append("Synthetic data is for trying and testing: these numbers say nothing of real "
                     "actions.")  # fmt: skip
    paper = plan.study.paper
    if paper:
        shown = [
            f"{plan.study.columns[column].label or column} {value:.2f}"
            for column in plan.study.columns
            if (value := rank_correlation(plan, entries, column)) is not None
        ]
        if shown:
            notes.append(
                f"Spearman's rank correlation of the rows with the paper's ({paper.source}): "
                + ", ".join(shown) + "."
            )  # fmt: skip
        if not dataset.synthetic:
            notes.append(
                f"In parentheses the paper's value ({paper.source}): another data set and scale, "
                "so compare the order and not the numbers."
            )
    missing = frame[frame["state"].isin(["failed", "not run"])]
    for reason, group in missing.groupby("reason", sort=False):
        where = ", ".join(
            dict.fromkeys(f"{r} / {c}" for r, c in zip(group["row"], group["column"], strict=True))
        )
        notes.append(f"{len(group)} missing ({where}): {reason}.")
    return notes


def rank_correlation(
    plan: Plan, entries: dict[tuple[str, str], Entry], column: str
) -> float | None:
    """Spearman's coefficient between our means and the paper's values; None below 3 rows."""
    pairs = [
        (entry.mean, entry.paper)
        for row in plan.study.rows
        if (entry := entries[row, column]).mean is not None and entry.paper is not None
    ]
    if len(pairs) < 3:
        return None
    ours, papers = (pd.Series(side).rank() for side in zip(*pairs, strict=True))
    value = float(ours.corr(papers)) if ours.std() > 0 and papers.std() > 0 else math.nan
    return None if math.isnan(value) else value


def text_of(entry: Entry, paper: bool, plus_minus: str = " ± ") -> str:
    """An entry as the tables print it: ``61.2 ± 0.8 (82.5)``, or why there is no number."""
    if entry.mean is None:
        return entry.reason.split(":")[0] if entry.reason else "not run"
    text = f"{entry.mean:.1f}"
    if entry.spread is not None:
        text += f"{plus_minus}{entry.spread:.1f}"
    if paper and entry.paper is not None:
        text += f" ({entry.paper:.1f})"
    return text


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
        "cells": [
            {
                "row": row,
                "column": column,
                "mean": entry.mean,
                "spread": entry.spread,
                "n": entry.n,
                "paper": entry.paper,
                "reason": entry.reason,
            }
            for (row, column), entry in table.entries.items()
        ],
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
