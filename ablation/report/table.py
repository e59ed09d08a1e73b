"""From the store to one tidy frame, and from the frame to a table with means and spreads."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablation.evidence.claims import Answer, answers_of
from ablation.evidence.effects import Effects, effects_of
from ablation.evidence.evidence import Evidence, evidence_of
from ablation.evidence.predictions import NoPredictionsError, fused_result
from ablation.evidence.validation import folds_in_words, groups_in_words, pooled
from ablation.fusion import Fusion, evaluations_of
from ablation.plan import Cell, Plan
from ablation.report.entry import Entry
from ablation.report.notes import notes_of
from ablation.store import Store
from ablation.study import PARAMETERS, Study
from ablation.study_parts import Reported
from ablation.text import and_joined, metric_in_words, plural
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
    """One line per cell, seed, fold and metric, in table order; the columns are :data:`COLUMNS`.

    The metric that is printed comes first (:func:`printed` selects it); the others of the task
    follow where they are known. ``value`` is a fraction (a count for parameters), ``paper`` what
    the paper prints, ``seed`` is missing where a line is not of ours, and ``fold`` on the test
    side, ``unit`` the key of the evaluation and ``pretraining`` that of what it evaluates (of
    several, as of a fusion, ``key+key``); a cell without a value carries its ``state`` (not run,
    failed, not applicable) and its ``reason``. Rows of other methods have the state ``reported``
    and the source as their reason. ``known`` remembers the results of done units, by their keys,
    for who asks again and again.
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
        beside = [] if plan.study.columns[cell.column].of else _further(cell, metric, result)
        for further, value in beside:
            lines.append((*where, further, value, "done", "", key, None, cell.fold, trained))
    source = plan.report.source if plan.report is not None else ""
    for name, other in reported_rows(plan).items():
        for column in filter(other.values.__contains__, plan.study.columns):
            outcome, paper = (math.nan, "reported", source), other.values[column]
            own = study, name, column, None, plan.metric(column)
            lines.append((*own, *outcome, "", paper, None, ""))
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
    """The lines of :func:`cells_frame` that the table prints: of one metric a column."""
    return frame[frame["metric"] == frame["column"].map(plan.metric)]


def _further(cell: Cell, metric: str, result: Json | Missing | None) -> list[tuple[str, float]]:
    """What else a done unit's task found, but for its columns of another metric."""
    if cell.unit is None or not isinstance(result, dict) or metric == PARAMETERS:
        return []
    others = [name for name in _metrics(cell.unit) if name != metric and name in result]
    return [(name, float(result[name])) for name in others]


def _metrics(unit: Unit | Fusion) -> tuple[str, ...]:
    """The numbers that an evaluation's task may find, its size apart."""
    if isinstance(unit, Fusion):
        return ("top1", "top1_std")
    return unit.task.metrics if isinstance(unit, EvaluateUnit) else ()


def _result(unit: Unit | Fusion, store: Store) -> Json | Missing:
    """The numbers of a unit, or of a fusion of units; or why there are none."""
    for each in evaluations_of(unit):
        if store.state(each.key) != "done":
            return _why_none(each, store)
    if not isinstance(unit, Fusion):
        return store.result(unit.key)
    try:
        return fused_result(store, unit)
    except NoPredictionsError as error:
        return "not run", str(error)


def _why_none(unit: Unit, store: Store) -> Missing:
    """Of a unit that is not done."""
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
    known = result if isinstance(result, dict) else (*_metrics(cell.unit), PARAMETERS)
    if metric not in known:
        reason = f"{cell.unit.task_name} has no {metric}"
        if isinstance(cell.unit, EvaluateUnit) and metric in _metrics(cell.unit):
            reason = cell.unit.task.why_without(metric, cell.unit.settings, dimensions)
        return math.nan, "not applicable", f"not applicable: {reason}"
    if isinstance(result, dict):
        return float(result[metric]), "done", ""
    return math.nan, *result


@dataclass(frozen=True)
class Table:
    """A study's table, ready to be printed.

    Attributes:
        entries: (row, column) -> entry.
        reported: other methods' rows, as the paper reports them.
        caption: what it shows, of which data, and what n and the spread are.
        notes: what a reader must know beside it.
        answers: what it says to the claims of its study.
        evidence: the samples behind the cells.
        effects: what the factors of its design do.
    """

    plan: Plan
    entries: dict[tuple[str, str], Entry]
    reported: dict[str, Reported]
    caption: str
    notes: tuple[str, ...]
    show_paper: bool
    answers: tuple[Answer, ...] = ()
    evidence: Evidence = field(default_factory=lambda: Evidence({}))
    effects: tuple[Effects, ...] = ()

    def __repr__(self) -> str:
        study, counts = self.study, [entry.n for entry in self.entries.values()]
        parts = (
            plural(len(study.all_rows), "row"),
            plural(len(study.columns), "column"),
            f"n = {plural(max(counts, default=0), 'seed')}",
            self.plan.dataset.name,
            f"{self.plan.preset} preset",
        )
        return f"Table('{study.name}': {', '.join(parts)})"

    def __str__(self) -> str:
        from ablation.report.markdown import to_markdown

        return to_markdown(self)

    def _repr_html_(self) -> str:
        """Called by notebooks."""
        from ablation.report.notebook import to_html

        return to_html(self)

    @property
    def study(self) -> Study:
        """What is asked."""
        return self.plan.study

    def label(self, row: str) -> str:
        """What a row is called in print."""
        return self.study.all_rows[row].label or row

    def column_label(self, column: str) -> str:
        """What a column is called in print."""
        return self.study.columns[column].label or column


def make_table(plan: Plan, frame: pd.DataFrame, store: Store | None = None) -> Table:
    """The entries with caption and notes; of ``store`` what pre-trainings and folds tell."""
    shown = printed(plan, frame)
    ours = shown[shown["state"] != "reported"]
    evidence = evidence_of(plan, ours, store)
    entries = entries_of(plan, frame, evidence)
    answers, effects = answers_of(plan, evidence), effects_of(plan, evidence)
    return Table(
        plan=plan,
        entries=entries,
        reported=reported_rows(plan),
        caption=_caption(plan, entries),
        notes=notes_of(plan, entries, ours, store, evidence.hits, answers, effects),
        # Not on synthetic data: a number beside the paper's would suggest a comparison.
        show_paper=plan.report is not None and not plan.synthetic,
        answers=answers,
        evidence=evidence,
        effects=effects,
    )


def entries_of(
    plan: Plan, frame: pd.DataFrame, evidence: Evidence | None = None
) -> dict[tuple[str, str], Entry]:
    """(row, column) -> mean, spread or error, interval, and whether it is its column's best.

    Of a cross-validation a seed counts once all of its folds are done: its value is the one over
    all their clips. Error, interval and best are those of ``evidence``. Where a value is a mean
    over subsets of the labels, the spread is over them, as in Table 2: the root of the seeds' mean
    variance.
    """
    entries: dict[tuple[str, str], Entry] = {}
    subsets = _spreads_over_subsets(plan, frame)
    ours = printed(plan, frame[frame["state"] != "reported"])
    evidence = evidence or evidence_of(plan, ours, None)
    validated = plan.evaluate_on == "validation"
    if validated:
        ours = pooled(plan, ours)
    for (row, column), group in ours.groupby(["row", "column"], sort=False):
        unit = plan.study.columns[str(column)].unit
        values = (group["value"].dropna() * (100 if unit == "percent" else 1e-6)).tolist()
        reasons = [text for text in group["reason"] if text]
        n, paper = len(values), plan.paper_value(str(row), str(column))
        mean = math.fsum(values) / n if n else None
        spread, error = None, None
        where = str(row), str(column)
        of_subsets = 100 * subsets.get(where, np.empty(0))
        if len(of_subsets):
            spread = float(np.sqrt(np.mean(of_subsets**2)))
        elif n > 1 and unit == "percent" and not validated:
            spread = float(pd.Series(values).std(ddof=1))
        hits = evidence.hits.get(where)
        if validated and hits is not None and hits.error is not None:
            error = 100 * hits.error
        estimate = evidence.estimate(where) if unit == "percent" else None
        within = estimate.interval if estimate is not None else None
        reason = reasons[0] if reasons else ""
        beside = plan.paper_spread(*where)
        entries[where] = Entry(
            mean,
            spread,
            n,
            paper,
            reason,
            unit=unit,
            error=error,
            paper_spread=beside,
            interval=within and (max(0.0, 100 * within[0]), min(100.0, 100 * within[1])),
        )
    for where in evidence.best(plan):
        entries[where] = replace(entries[where], best=True)
    for column in plan.ranked:
        cells = [(row, column) for row in plan.study.rows]
        found = {each: mean for each in cells if (mean := entries[each].mean) is not None}
        if len(found) > 2:
            second = sorted(found, key=lambda each: -found[each])[1]
            entries[second] = replace(entries[second], second=True)
    return entries


def _spreads_over_subsets(
    plan: Plan, frame: pd.DataFrame
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """(row, column) -> of each seed (and fold) the deviation over the subsets of the labels."""
    own = frame["column"].map(plan.metric)
    lines = frame[(frame["metric"] == own + "_std") & frame["value"].notna()]
    found = lines.groupby(["row", "column"], sort=False)["value"]
    return {(str(row), str(column)): values.to_numpy() for (row, column), values in found}


def _caption(plan: Plan, entries: dict[tuple[str, str], Entry]) -> str:
    study, dataset = plan.study, plan.dataset
    counts = sorted({entry.n for entry in entries.values() if entry.n})
    seeds = "no result yet"
    if counts:
        fewest = "" if len(counts) == 1 else f"{counts[0]} to "
        seeds = f"n = {fewest}{plural(counts[-1], 'seed')}"
        if any(entry.error is not None for entry in entries.values()):
            mean = "mean ± " if counts[-1] > 1 else "± "
            seeds += f", {mean}standard error over clips and {groups_in_words(plan)}"
        if plan.evaluate_on == "validation":
            seeds += f" ({folds_in_words(plan)})"
        elif subsets := _subsets(plan):
            seeds += _over_subsets(plan, subsets, counts[-1])
        elif counts[-1] > 1:
            seeds += ", mean ± sample standard deviation (ddof = 1)"
    data = "synthetic data made by skelcon" if dataset.synthetic else dataset.name
    if plan.source is not None and plan.source.synthetic and not dataset.synthetic:
        data += " after synthetic data made by skelcon"
    changed = ", changed by --set" if plan.overrides else ""
    side = ""
    if plan.evaluate_on == "validation":
        side = f", cross-validation over the {groups_in_words(plan)} of the training side"
    like = f" (as {study.reproduces} of the paper)" if study.reproduces else ""
    own = all(study.columns[study.behind(name)].protocol for name in study.columns)
    protocol = "" if own else f", {plan.protocol}"
    return (
        f"{study.title}{like}: {_metric_in_words(plan)}, "
        f"in percent, {data}{protocol}{side}, {plan.preset} preset{changed}, {seeds}."
    )


def _subsets(plan: Plan) -> dict[str, int]:
    """Column -> over how many subsets of the labels its number has a spread, if over several."""
    found: dict[str, int] = {}
    for cell in plan.cells:
        if cell.unit is None or f"{plan.metric(cell.column)}_std" not in _metrics(cell.unit):
            continue  # such as nn_top1: its spread is over the seeds
        units = evaluations_of(cell.unit)
        count = max((int(unit.options.get("subsets", 1)) for unit in units), default=1)
        if count > 1:
            found[cell.column] = max(count, found.get(cell.column, 0))
    return found


def _over_subsets(plan: Plan, subsets: dict[str, int], seeds: int) -> str:
    """What ± is, where (in some columns) it is over subsets."""
    spread = f"sample standard deviation over {max(subsets.values())} random subsets (ddof = 1)"
    over = f"mean ± {spread}{' of each seed' if seeds > 1 else ''}"
    if all(column in subsets for column in plan.ranked):
        return f", {over}"
    labels = and_joined([plan.study.columns[column].label or column for column in subsets])
    others = ", mean ± sample standard deviation (ddof = 1)" if seeds > 1 else ""
    return f"{others}, in {labels} {over}"


def _metric_in_words(plan: Plan) -> str:
    """``linear top-1``; of columns that differ ``linear and knn top-1, clustering ari``."""
    study = plan.study
    found: dict[str, dict[str, None]] = {}
    for column in plan.ranked or study.columns:
        found.setdefault(plan.metric(column), {})[study.task_of_column(column)] = None
    if set(found) == {"nn_top1"}:
        return "nearest-neighbour top-1 of the same features"
    return ", ".join(
        f"{and_joined([*tasks])} {metric_in_words(metric)}" for metric, tasks in found.items()
    )
