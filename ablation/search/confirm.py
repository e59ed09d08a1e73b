"""Confirmation: the best settings and the default, trained anew with seeds that chose nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from ablation import tables
from ablation.cost.view import Costing
from ablation.live.audience import Audience
from ablation.missing import missing_units, run_missing
from ablation.plan import EvaluateOn
from ablation.runner.resources import Resources
from ablation.search.question import Question
from ablation.search.record import Trial
from ablation.store import Store
from ablation.tables import display, export
from ablation.tracking import Tracking

NOTES: dict[EvaluateOn, str] = {
    "validation": "The best was chosen on this validation side, with another seed: elsewhere its "
    "lead may be smaller.",
    "test": "The best was chosen on the validation side; the test side is read here only, after "
    "the search.",
}


def confirm(
    question: Question,
    best: Trial,
    on: EvaluateOn,
    count: int,
    directory: Path,
    results: Path,
    asked: Resources,
    seen_by: Audience,
) -> tuple[dict[str, Any], bool, bool]:
    """Train ``best`` and the default with ``count`` seeds that the search did not use.

    Returns:
        The comparison as JSON values, whether it was interrupted, and whether a unit has failed.
    """
    first = question.space.seed + 1
    rows = {"best": question.changes(best.parameters), "default": {}}
    plan = question.plan(rows, on, tuple(range(first, first + count)), (NOTES[on],))
    store, console, place = Store(results), seen_by.console, directory / f"confirmation-{on}"
    missing = missing_units(plan.units, store, console, mend=True)
    interrupted = False
    with Tracking(plan, store, place, (), console) as tracking:
        if missing:
            cost = Costing.of(store, [plan], asked).cost(missing)
            seen_by.begin(plan, missing, cost)
            interrupted = not run_missing(plan, missing, store, asked, seen_by, cost, tracking)
    frame = tables.cells_frame(plan, store)
    table = tables.make_table(plan, frame)
    provenance = [store.provenance(key) for key in plan.units if store.is_done(key)]
    export.export(table, frame, provenance, place)
    if seen_by.stream is None:  # a script finds it in the document
        display.print_table(console, table)
    values = frame.pivot_table(index="seed", columns="row", values="value", observed=True)
    found: dict[str, Any] = {"on": on, **tables.summary(table, provenance)}
    if {"best", "default"} <= set(values.columns):
        lead = (values["best"] - values["default"]).dropna().to_numpy(dtype=float)
        found["lead"] = {"seeds": len(lead), "values": lead.tolist()}
        console.print(Text(lead_in_words(lead)))
    return found, interrupted, bool((frame["state"] == "failed").any())


def lead_in_words(lead: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    """The best less the default, seed by seed, in percentage points."""
    points = 100 * lead
    spread = f" ± {points.std(ddof=1):.1f}" if len(points) > 1 else ""
    won = int((points > 0).sum())
    text = f"Best less default: {points.mean():+.1f}{spread} points, better in {won} of "
    text += f"{len(points)} seeds"
    if len(points) < 2:
        return f"{text}; one seed says nothing of chance."
    error = points.std(ddof=1) / math.sqrt(len(points))
    if abs(points.mean()) <= 2 * error:
        return f"{text}: within two standard errors, so not told apart from chance."
    return f"{text}."
