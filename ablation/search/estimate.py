"""What a search would cost, before it runs."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from ablation.costs import CostModel, nodes_of_cluster, resolve_gpus
from ablation.costs.view import show_search
from ablation.monitor.output import Output
from ablation.scheduler.resources import Resources
from ablation.search.events import TrialEvents
from ablation.search.problem import SearchProblem
from ablation.search.record import JOURNAL, SearchRecord
from ablation.search.source import SearchSource
from ablation.store import Store
from ablation.store.mirror import Mirror
from ablation.units import Unit


def plan_search(
    problem: SearchProblem,
    store: Store,
    mirror: Mirror | None,
    resources: Resources,
    output: Output,
    as_json: bool,
    probe: int | None,
) -> None:
    """Print the trials of a search and the cost of those that have not ended; run nothing.

    Args:
        problem: the search.
        store: where its units are.
        mirror: of results that are kept at a URI.
        resources: what a trial requests.
        output: where the command prints.
        as_json: print one JSON document on standard output instead.
        probe: first measure so many steps of each kind of unit whose cost is not known.
    """
    journal = problem.directory(store.results) / JOURNAL
    if mirror is not None:
        mirror.fetch_longer(journal.relative_to(store.results).as_posix())
    with tempfile.TemporaryDirectory() as copied:
        # A copy, as opening a record creates or repairs its file.
        if journal.exists():
            shutil.copy(journal, copied)
        record = SearchRecord(problem, Path(copied))
        known = record.trials()
        events = TrialEvents(output, record, lambda: None)
        units = expected_units(record, store, events)
    model = CostModel.of(store, (problem.dataset,), resources, nodes_of_cluster(resources))
    model = resolve_gpus(model, units, output.say)
    about = {
        "search": problem.space.name,
        "trials": max(problem.space.trials, len(known)),
        "ended": sum(trial.ended for trial in known),
        "folds": len(problem.folds),
        "epochs": problem.steps,
    }
    show_search(output.console, about, units, as_json, model, probe)
    if units and not as_json:
        early = "; asha stops bad ones earlier" if problem.space.scheduler.name == "asha" else ""
        output.say(f"This is for trials that run to their end{early}. --confirm is not included.")


def expected_units(record: SearchRecord, store: Store, events: TrialEvents) -> list[Unit]:
    """Units like those that the trials without an end still need, to estimate time and disk."""
    problem = record.problem
    if not problem.population:
        return list(SearchSource(record, store, lambda units: units, events).expected)
    known = record.trials()
    missing = max(problem.space.trials, len(known)) - sum(trial.ended for trial in known)
    units = problem.expected(2 * missing)  # the evaluations are no units of their own
    return [unit for unit in units if unit.kind == "pretrain"]
