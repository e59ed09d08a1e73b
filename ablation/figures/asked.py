"""What a figure is made of: a study's results, and which of them the user asked for."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ablation.plan import Plan
from ablation.report import Table, cells_frame, make_table
from ablation.store import Store
from ablation.units import EvaluateUnit
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError, nearest

METRICS = {
    "top1": "top-1 accuracy (%)",
    "nn_top1": "nearest-neighbour accuracy (%)",
}
"""What axes call a metric; another has its name."""


class DoesNotApplyError(Exception):
    """Why a figure cannot be made of these results, in a line."""


@dataclass(frozen=True)
class Asked:
    """A study's results, and what the user wants to see of them.

    Attributes:
        plan, store: the study and where its units are.
        row, column, against: of figures of one row, or of two; None for their defaults.
        data: the data set with its frames, for figures that need encoders.
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
        return make_table(self.plan, cells_frame(self.plan, self.store), self.store)

    @functools.cached_property
    def entries(self) -> pd.DataFrame:
        """What the table prints, of the columns that rank; see :func:`entries_of`."""
        return entries_of(self.table, [self.column] if self.column else self.plan.ranked)

    @property
    def whiskers(self) -> str:
        """What ``low`` and ``high`` of :attr:`entries` are."""
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
        """What an axis of accuracies is called."""
        names = {self.plan.metric(column) for column in self.plan.ranked}
        return " or ".join(METRICS.get(name, f"{name} (%)") for name in sorted(names))

    # -- of one column, one row or two ----------------------------------------------------------

    @property
    def chosen_column(self) -> str:
        """The one asked for, or the first with a number."""
        found = self.column or next(iter(self.entries.dropna(subset="mean")["column"]), None)
        if found is None:
            raise DoesNotApplyError("no cell has a number yet")
        return str(found)

    @property
    def chosen_row(self) -> str:
        """The one asked for, or the best of the column's main rows (if any has a number)."""
        if self.row is not None:
            return self.row
        here = self.entries.query("column == @self.chosen_column").dropna(subset="mean")
        here = here.sort_values(["reference", "mean"], ascending=[True, False], kind="stable")
        return str(here["row"].iloc[0])

    @property
    def row_against(self) -> str:
        """The one asked for, or the row ``none``, or the first that is another one."""
        here = self.entries.query("column == @self.chosen_column").dropna(subset="mean")
        others = [str(row) for row in here["row"] if row != self.chosen_row]
        if self.against is not None:
            return self.against
        if not others:
            raise DoesNotApplyError("there is one row with a number: nothing to compare it with")
        return "none" if "none" in others else others[0]

    def evaluations(self, row: str, column: str) -> list[EvaluateUnit]:
        """The finished ones behind a cell: of each seed, and of each fold.

        Raises:
            DoesNotApplyError: if there is none.
        """
        found = []
        for cell in self.plan.cells:
            if (cell.row, cell.column) == (row, column) and isinstance(cell.unit, EvaluateUnit):
                found += [cell.unit] if self.store.is_done(cell.unit.key) else []
        if not found:
            labels = f"'{self.table.label(row)}' in '{self.table.column_label(column)}'"
            raise DoesNotApplyError(f"{labels} has not been evaluated")
        return found

    def name(self, row: str, column: str | None = None) -> str:
        """What a row is called in print; with its column where there are several."""
        label = self.table.label(row)
        if column is None or len(self.plan.ranked) < 2:
            return label
        return f"{label}, {self.table.column_label(column)}"


def entries_of(table: Table, columns: Iterable[str]) -> pd.DataFrame:
    """A line for each cell: row, label, column, column_label, mean, low, high, best, reference.

    ``low`` and ``high`` are the interval where there is one, else mean ± spread (or error).
    """
    lines = []
    for column in columns:
        for row in table.study.all_rows:
            entry = table.entries[row, column]
            mean = np.nan if entry.mean is None else entry.mean
            low, high = np.nan, np.nan
            if entry.interval is not None:
                low, high = entry.interval
            elif entry.mean is not None and entry.plus_minus is not None:
                low, high = mean - entry.plus_minus, mean + entry.plus_minus
            names = (row, table.label(row), column, table.column_label(column))
            lines.append((*names, mean, low, high, entry.best, row in table.study.references))
    named = ["row", "label", "column", "column_label", "mean", "low", "high", "best", "reference"]
    return pd.DataFrame(lines, columns=named)
