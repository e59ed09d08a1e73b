"""Confirmation: the best settings and the default, trained with seeds that chose nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ablation import tables
from ablation.live.output import Output
from ablation.run import Job, RunOptions, run_job
from ablation.search.report import Summary
from ablation.store import Store
from ablation.tables import display, export
from ablation.units import EvaluateOn
from skelcon.config import Json

if TYPE_CHECKING:
    from ablation.store.mirror import Mirror

NOTES: dict[EvaluateOn, str] = {
    "validation": "The best was chosen on this validation side, with another seed: elsewhere its "
    "lead may be smaller.",
    "test": "The best was chosen on the validation side; the test side is read here only, after "
    "the search.",
}


@dataclass(frozen=True)
class Confirmation:
    """What ``--confirm`` asks: on which side, and with how many seeds; none with 0."""

    on: EvaluateOn = "validation"
    seeds: int = 0


def confirm(
    summary: Summary,
    asked: Confirmation,
    store: Store,
    mirror: Mirror | None,
    options: RunOptions,
    output: Output,
) -> tuple[int, Json]:
    """Train the best and the default with seeds that the search did not use.

    Returns:
        The exit code, and the comparison as plain JSON values.
    """
    problem = summary.problem
    assert summary.best is not None
    first = problem.space.seed + 1
    rows = {"best": problem.changes(summary.best.parameters), "default": {}}
    plan = problem.plan(rows, asked.on, tuple(range(first, first + asked.seeds)), NOTES[asked.on])
    directory = problem.directory(store.results) / f"confirmation-{asked.on}"
    values: Json = {"on": asked.on}

    def report() -> bool:
        frame = tables.cells_frame(plan, store)
        table = tables.make_table(plan, frame)
        provenance = [store.provenance(key) for key in plan.units if store.is_done(key)]
        export.export(table, frame, provenance, directory)
        if output.stream is None:  # a script finds it in the document
            display.print_table(output.console, table)
        values.update(tables.summary(table, provenance))
        pairs = frame.pivot_table(index="seed", columns="row", values="value", observed=True)
        if {"best", "default"} <= set(pairs.columns):
            lead = (pairs["best"] - pairs["default"]).dropna().to_numpy(dtype=np.float64)
            values["lead"] = {"seeds": len(lead), "values": lead.tolist()}
            output.say(lead_in_words(lead))
        return bool((frame["state"] == "failed").any())

    if mirror is not None:
        mirror.fetch(plan.units)
    code = run_job(Job.of_plan(plan, directory), store, options, output, report, mirror)
    return code, values


def lead_in_words(lead: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    """The best less the default, seed by seed, in points, and whether it may be chance."""
    points = 100 * lead
    spread = f" ± {points.std(ddof=1):.1f}" if len(points) > 1 else ""
    won = int((points > 0).sum())
    text = f"Best less default: {points.mean():+.1f}{spread} points, better in {won} of "
    text += f"{len(points)} seeds"
    if len(points) < 2:
        return f"{text}; one seed cannot tell it from chance."
    error = points.std(ddof=1) / math.sqrt(len(points))
    if abs(points.mean()) <= 2 * error:
        return f"{text}: within two standard errors, so not told apart from chance."
    return f"{text}."
