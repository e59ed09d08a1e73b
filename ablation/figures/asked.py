"""The input of a figure: a study's results, and the rows and columns that the user asked for."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ablation.fusion import Fusion, evaluations_of
from ablation.plan import Plan
from ablation.report import Table, cells_frame, make_table
from ablation.store import Store
from ablation.text import metric_in_words
from ablation.units import EvaluateUnit
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError, nearest

METRICS = {
    "top1": "top-1 accuracy (%)",
    "nn_top1": "nearest-neighbour accuracy (%)",
}
"""Metric -> label of an axis; other metrics have their names."""


class DoesNotApplyError(Exception):
    """A figure cannot be made from these results; the message says why in one line."""


@dataclass(frozen=True)
class Asked:
    """A study's results, and what the user asked for.

    Attributes:
        plan, store: the study, and where its units are.
        row, column, against: the row or rows and the column of a figure; None for a default.
        data: the data set with its frames, for figures that run encoders.
    """

    plan: Plan
    store: Store
    row: str | None = None
    column: str | None = None
    against: str | None = None
    data: SkeletonDataset | None = None

    def __post_init__(self) -> None:
        """:class:`UserError` for rows and columns that the study does not have."""
        rows, columns = self.plan.study.all_rows, self.plan.ranked
        for option, name, known in (
            ("--row", self.row, rows),
            ("--against", self.against, rows),
            ("--column", self.column, columns),
        ):
            if name is not None and name not in known:
                raise UserError(f"{option} {name}: {nearest(name, known)}")

    @functools.cached_property
    def table(self) -> Table:
        """The study's table."""
        return make_table(self.plan, self.frame, self.store)

    @functools.cached_property
    def frame(self) -> pd.DataFrame:
        """The lines of the table, one per cell, seed, fold and metric."""
        return cells_frame(self.plan, self.store)

    @functools.cached_property
    def rows(self) -> dict[str, str]:
        """Row -> its label; labels that several rows share are made unique."""
        return _distinct({row: self.table.label(row) for row in self.plan.study.all_rows})

    @functools.cached_property
    def columns(self) -> dict[str, str]:
        """Ranked column -> its label; labels that several columns share are made unique."""
        return _distinct({name: self.table.column_label(name) for name in self.plan.ranked})

    @functools.cached_property
    def entries(self) -> pd.DataFrame:
        """The entries of the ranked columns; see :func:`entries_frame`."""
        columns = [self.column] if self.column else self.plan.ranked
        return entries_frame(self.table, self.rows, {name: self.columns[name] for name in columns})

    @property
    def frames(self) -> SkeletonDataset:
        """The data set with its frames; :class:`DoesNotApplyError` if it was not given."""
        if self.data is None:
            raise DoesNotApplyError("it needs the data set itself: give --data PATH")
        return self.data

    @property
    def whiskers(self) -> str:
        """The meaning of ``low`` and ``high`` in :attr:`entries`; empty if there are none."""
        known = [entry for entry in self.table.entries.values() if entry.mean is not None]
        if any(entry.interval is not None for entry in known):
            return "95 % interval"
        if any(entry.error is not None for entry in known):
            return "± standard error"
        if any(entry.spread is not None for entry in known):
            return "± standard deviation"
        return ""

    @property
    def metric(self) -> str:
        """The label of an axis of accuracies."""
        names = sorted({self.plan.metric(column) for column in self.plan.ranked})
        if len(names) > 2:
            return "value of each column (%)"
        return " or ".join(METRICS.get(name, f"{metric_in_words(name)} (%)") for name in names)

    # -- of one column, one row or two ----------------------------------------------------------

    @property
    def chosen_column(self) -> str:
        """The column that the user asked for, or the first with a number."""
        found = self.column or next(iter(self.entries.dropna(subset="mean")["column"]), None)
        if found is None:
            raise DoesNotApplyError("no cell has a number yet")
        return str(found)

    @property
    def chosen_row(self) -> str:
        """The row that the user asked for, or the best main row of the column with a number."""
        if self.row is not None:
            return self.row
        here = self._numbers.sort_values("mean", ascending=False, kind="stable")
        return str(here.sort_values("reference", kind="stable")["row"].iloc[0])

    @property
    def row_against(self) -> str:
        """The row to compare with: as asked for, or ``none``, or the first other row."""
        if self.against is not None:
            return self.against
        others = [str(row) for row in self._numbers["row"] if row != self.chosen_row]
        if not others:
            raise DoesNotApplyError(
                "only one row has a number: there is nothing to compare it with"
            )
        return "none" if "none" in others else others[0]

    @property
    def _numbers(self) -> pd.DataFrame:
        """The entries of the chosen column that have a number."""
        known = self.entries[self.entries["column"] == self.chosen_column].dropna(subset="mean")
        if known.empty:
            raise DoesNotApplyError("no cell of the column has a number yet")
        return known

    def finished(self, row: str, column: str) -> list[EvaluateUnit | Fusion]:
        """The finished evaluations or fusions of a cell, one per seed and fold.

        Raises:
            DoesNotApplyError: if none is finished.
        """
        found: list[EvaluateUnit | Fusion] = []
        for cell in self.plan.cells:
            unit = cell.unit
            if (cell.row, cell.column) == (row, column) and isinstance(unit, EvaluateUnit | Fusion):
                done = all(self.store.is_done(each.key) for each in evaluations_of(unit))
                found += [unit] if done else []
        if not found:
            labels = f"'{self.rows[row]}' in '{self.columns[column]}'"
            raise DoesNotApplyError(f"{labels} has not been evaluated")
        return found

    def evaluations(self, row: str, column: str) -> list[EvaluateUnit]:
        """The finished evaluations of a cell; of a fusion all of its evaluations."""
        found = (each for unit in self.finished(row, column) for each in evaluations_of(unit))
        return [unit for unit in found if isinstance(unit, EvaluateUnit)]

    def name(self, row: str, column: str | None = None) -> str:
        """The label of a row, with the label of the column if there are several."""
        label = self.rows[row]
        if column is None or len(self.plan.ranked) < 2:
            return label
        return f"{label}, {self.columns[column]}"


def _distinct(labels: dict[str, str]) -> dict[str, str]:
    """The labels, with the name in parentheses if several have the same label."""
    known = list(labels.values())
    return {
        name: label if known.count(label) == 1 else f"{label} ({name})"
        for name, label in labels.items()
    }


def entries_frame(
    table: Table, rows: Mapping[str, str], columns: Mapping[str, str]
) -> pd.DataFrame:
    """A line for each cell: row, label, column, column_label, mean, low, high, best, reference.

    ``low`` and ``high`` are the interval if the table has intervals, else mean ± spread (or error).
    """
    lines = []
    intervals = any(entry.interval is not None for entry in table.entries.values())
    for (column, column_label), (row, label) in itertools.product(columns.items(), rows.items()):
        entry = table.entries[row, column]
        mean = np.nan if entry.mean is None else entry.mean
        low, high = np.nan, np.nan
        if entry.interval is not None:
            low, high = entry.interval
        elif entry.mean is not None and entry.plus_minus is not None and not intervals:
            low, high = mean - entry.plus_minus, mean + entry.plus_minus
        names = (row, label, column, column_label)
        lines.append((*names, mean, low, high, entry.best, row in table.study.references))
    named = ["row", "label", "column", "column_label", "mean", "low", "high", "best", "reference"]
    return pd.DataFrame(lines, columns=named)
