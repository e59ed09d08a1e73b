"""From the frame to the entries of a table: mean, spread and interval of each cell."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablation.evidence.evidence import Evidence, Where, evidence_of
from ablation.evidence.validation import pooled
from ablation.plan import Plan
from ablation.report.entry import Entry
from ablation.report.frame import measured


def entries_of(
    plan: Plan, frame: pd.DataFrame, evidence: Evidence | None = None
) -> dict[Where, Entry]:
    """(row, column) -> the entry that the table prints.

    In a cross-validation a seed counts once all of its folds are done: its value is the mean over
    all of their clips.

    Args:
        plan: the table.
        frame: as :func:`ablation.report.cells_frame` gives it.
        evidence: what errors, intervals and the best rows are taken from; the values of the seeds
            in ``frame`` if not given.
    """
    ours = measured(plan, frame)
    evidence = evidence or evidence_of(plan, ours, None)
    if plan.evaluate_on == "validation":
        ours = pooled(plan, ours)
    over_subsets = _spreads_over_subsets(plan, frame)
    entries: dict[Where, Entry] = {}
    for (row, column), lines in ours.groupby(["row", "column"], sort=False):
        cell = str(row), str(column)
        entries[cell] = _entry(plan, cell, lines, evidence, over_subsets.get(cell))
    for cell in evidence.best(plan):
        entries[cell] = replace(entries[cell], best=True)
    for column in plan.ranked:
        found = {row: entries[row, column].mean for row in plan.study.rows}
        means = {row: mean for row, mean in found.items() if mean is not None}
        if len(means) > 2:
            second = sorted(means, key=lambda row: -means[row])[1], column
            entries[second] = replace(entries[second], second=True)
    return entries


def _entry(
    plan: Plan,
    cell: Where,
    lines: pd.DataFrame,
    evidence: Evidence,
    over_subsets: NDArray[np.float64] | None,
) -> Entry:
    """A cell from its lines, one per seed.

    Where a value is a mean over subsets of the labels, the spread is over the subsets, as in
    Table 2 of the paper: the root of the mean variance over seeds.
    """
    unit = plan.study.columns[cell[1]].unit
    values = (lines["value"].dropna() * (100 if unit == "percent" else 1e-6)).tolist()
    reasons = [text for text in lines["reason"] if text]
    validated = plan.evaluate_on == "validation"
    spread = None
    if over_subsets is not None:
        spread = float(np.sqrt(np.mean((100 * over_subsets) ** 2)))
    elif len(values) > 1 and unit == "percent" and not validated:
        spread = float(pd.Series(values).std(ddof=1))
    hits, error = evidence.hits.get(cell), None
    if validated and hits is not None and hits.error is not None:
        error = 100 * hits.error
    estimate, interval = evidence.estimate(cell), None
    if unit == "percent" and estimate is not None and estimate.interval is not None:
        low, high = estimate.interval
        interval = max(0.0, 100 * low), min(100.0, 100 * high)
    return Entry(
        mean=math.fsum(values) / len(values) if values else None,
        spread=spread,
        n=len(values),
        paper=plan.paper_value(*cell),
        reason=reasons[0] if reasons else "",
        unit=unit,
        error=error,
        paper_spread=plan.paper_spread(*cell),
        interval=interval,
    )


def _spreads_over_subsets(plan: Plan, frame: pd.DataFrame) -> dict[Where, NDArray[np.float64]]:
    """Cell -> the standard deviation over the subsets of the labels, one per seed (and fold)."""
    own = frame["column"].map(plan.metric)
    lines = frame[(frame["metric"] == own + "_std") & frame["value"].notna()]
    found = lines.groupby(["row", "column"], sort=False)["value"]
    return {(str(row), str(column)): values.to_numpy() for (row, column), values in found}
