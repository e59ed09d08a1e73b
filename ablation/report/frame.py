"""From the store to one tidy frame: one line per cell, seed, fold and metric."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from ablation.evidence.predictions import NoPredictionsError, fused_result
from ablation.fusion import Fusion, evaluations_of
from ablation.plan import Cell, Plan
from ablation.store import Store
from ablation.study import PARAMETERS
from ablation.study_parts import Reported
from ablation.units import EvaluateUnit, Unit
from skelcon.config import Json
from skelcon.data.layouts import Dimensions

_OF_CELLS = ("study", "row", "column", "seed", "metric")
COLUMNS = (*_OF_CELLS, "value", "state", "reason", "unit", "paper", "fold", "pretraining")

Outcome = tuple[float, str, str]
"""Value, state and reason of a cell for one seed."""
Missing = tuple[str, str]
"""State and reason of a cell without a value."""


def cells_frame(plan: Plan, store: Store, known: dict[str, Json] | None = None) -> pd.DataFrame:
    """One line per cell, seed, fold and metric, in table order.

    Args:
        plan: the cells.
        store: where the results of their units are.
        known: key -> result of the units that are done. Results that are read are added, so that a
            caller that asks repeatedly reads each file once.

    Returns:
        The columns :data:`COLUMNS`. The printed metric of a cell comes first (:func:`printed`
        selects it); the other metrics of its task follow where they are known.

        - ``value``: a fraction, or a count of parameters; NaN if missing.
        - ``state``, ``reason``: done, not run, failed or not applicable, and why.
        - ``paper``: the number that the paper prints.
        - ``unit``: the key of the evaluation, ``key+key`` of a fusion.
        - ``pretraining``: the keys of the pre-trainings that it evaluates, joined by ``+``.
        - ``fold``: missing on the test side.

        Rows of other methods have no seed, the state ``reported`` and the source as the reason.
    """
    known = {} if known is None else known
    lines: list[tuple[Any, ...]] = []
    study = plan.study.name
    for cell in plan.cells:
        key = cell.unit.key if cell.unit else ""
        metric, paper = plan.metric(cell.column), plan.paper_value(cell.row, cell.column)
        result: Json | Missing | None = known.get(key)
        if cell.unit is not None and result is None:
            result = _result(cell.unit, store)
        if isinstance(result, dict):
            known[key] = result
        outcome = _outcome(cell, metric, result, plan.dataset.layout.dimensions)
        where = study, cell.row, cell.column, cell.seed
        trained = "+".join(cell.unit.needs) if cell.unit is not None else ""
        lines.append((*where, metric, *outcome, key, paper, cell.fold, trained))
        if plan.study.columns[cell.column].of is None:
            for other, value in _other_metrics(cell, metric, result):
                lines.append((*where, other, value, "done", "", key, None, cell.fold, trained))
    source = plan.report.source if plan.report is not None else ""
    for name, reported in reported_rows(plan).items():
        for column in plan.study.columns:
            if column in reported.values:
                where_reported = study, name, column, None, plan.metric(column)
                outcome, paper = (math.nan, "reported", source), reported.values[column]
                lines.append((*where_reported, *outcome, "", paper, None, ""))
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    return frame.astype({"seed": "Int64", "value": "float64", "paper": "float64", "fold": "Int64"})


def reported_rows(plan: Plan) -> dict[str, Reported]:
    """Other methods' rows, as the paper reports them; none beside synthetic data."""
    if plan.report is None or plan.synthetic:
        return {}
    columns = set(plan.study.columns)
    others = plan.report.others.items()
    return {name: other for name, other in others if not columns.isdisjoint(other.values)}


def printed(plan: Plan, frame: pd.DataFrame) -> pd.DataFrame:
    """The lines of :func:`cells_frame` that the table prints: one metric per column."""
    return frame[frame["metric"] == frame["column"].map(plan.metric)]


def measured(plan: Plan, frame: pd.DataFrame) -> pd.DataFrame:
    """The :func:`printed` lines of the study's own rows, without the rows of other methods."""
    return printed(plan, frame[frame["state"] != "reported"])


def metrics_of(unit: Unit | Fusion) -> tuple[str, ...]:
    """The metrics that an evaluation's task may have, without the number of parameters."""
    if isinstance(unit, Fusion):
        return ("top1", "top1_std")
    return unit.task.metrics if isinstance(unit, EvaluateUnit) else ()


def _other_metrics(
    cell: Cell, metric: str, result: Json | Missing | None
) -> list[tuple[str, float]]:
    """The metrics of a finished unit besides ``metric``, each with its value."""
    if cell.unit is None or not isinstance(result, dict) or metric == PARAMETERS:
        return []
    others = [name for name in metrics_of(cell.unit) if name != metric and name in result]
    return [(name, float(result[name])) for name in others]


def _result(unit: Unit | Fusion, store: Store) -> Json | Missing:
    """The numbers of a unit, or of a fusion of units; or why there are none."""
    for each in evaluations_of(unit):
        if store.state(each.key) != "done":
            return _why_missing(each, store)
    if not isinstance(unit, Fusion):
        return store.result(unit.key)
    try:
        return fused_result(store, unit)
    except NoPredictionsError as error:
        return "not run", str(error)


def _why_missing(unit: Unit, store: Store) -> Missing:
    """Why a unit is not done."""
    if store.state(unit.key) == "failed":
        return "failed", store.failure(unit.key)
    for needed in unit.needs:
        if store.state(needed) == "failed":
            return "failed", f"pre-training {store.failure(needed)}"
    return "not run", "not run yet"


def _outcome(
    cell: Cell, metric: str, result: Json | Missing | None, dimensions: Dimensions
) -> Outcome:
    if cell.unit is None or result is None:
        return math.nan, "not applicable", cell.reason
    known = result if isinstance(result, dict) else (*metrics_of(cell.unit), PARAMETERS)
    if metric not in known:
        reason = f"{cell.unit.task_name} has no {metric}"
        if isinstance(cell.unit, EvaluateUnit) and metric in metrics_of(cell.unit):
            reason = cell.unit.task.why_without(metric, cell.unit.settings, dimensions)
        return math.nan, "not applicable", f"not applicable: {reason}"
    if isinstance(result, dict):
        return float(result[metric]), "done", ""
    return math.nan, *result
