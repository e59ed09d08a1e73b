"""A whole search: run, summary, files, JSON document, and the confirmation of what it found."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import typer

from ablation.evidence.hits import hits_of
from ablation.evidence.validation import pooled
from ablation.interrupts import graceful
from ablation.job import Job
from ablation.monitor.output import Output
from ablation.plan import Plan
from ablation.report import cells_frame, display, document, export, make_table, printed
from ablation.report.from_results import save_plan
from ablation.running import RESUME, RunOptions, missing_units, resources_and_cost, run_job
from ablation.search import report
from ablation.search.estimate import expected_units
from ablation.search.events import TrialEvents
from ablation.search.evidence import Lead
from ablation.search.problem import FoldUnits, SearchProblem
from ablation.search.record import JOURNAL, SearchRecord
from ablation.search.report import Summary
from ablation.search.source import SearchSource
from ablation.store import Store
from ablation.store.locks import hold
from ablation.units import EvaluateOn, Unit
from skelcon.cli.console import INTERRUPTED
from skelcon.cli.terminal import line
from skelcon.config import Json
from skelcon.errors import UserError

if TYPE_CHECKING:
    from ablation.store.mirror import Mirror


NOTES: dict[EvaluateOn, str] = {
    "validation": "The best was chosen on these folds, with another seed: elsewhere its lead may "
    "be smaller.",
    "test": "The best was chosen by cross-validation on the training side; the test side is read "
    "here only, after the search.",
}


@dataclass(frozen=True)
class Confirmation:
    """What ``--confirm`` asks for: on which side, with how many seeds; 0 for no confirmation."""

    on: EvaluateOn = "validation"
    seeds: int = 0


def run_search(
    problem: SearchProblem,
    store: Store,
    mirror: Mirror | None,
    options: RunOptions,
    output: Output,
    confirmation: Confirmation,
    as_json: bool,
) -> int:
    """Run the trials that are new or have not ended, show the result and confirm it.

    Returns:
        The exit code: 0 done, 1 a trial or a unit failed, 130 interrupted.

    Raises:
        UserError: if another command runs this search, or its resources do not fit.
    """
    gpus = options.resources.gpus_per_trial
    if problem.population and gpus > 1:
        raise UserError(
            f"--gpus-per-trial {gpus:g}: a member of pbt trains on one device, give 1 or a share "
            "of one"
        )
    store.check_writable()
    directory = problem.directory(store.results)
    directory.mkdir(parents=True, exist_ok=True)
    with hold(directory, wait=False) as held:
        if not held:
            raise UserError(f"'{directory}': another command runs this search; wait for its end")
        search = _Search(problem, store, mirror, output, as_json)
        code = search.run(options)
        summary, confirmed = search.summary, None
        if confirmation.seeds and code != INTERRUPTED and summary.best is not None:
            if summary.best is summary.default:
                output.say("The default is the best: there is nothing to confirm.")
            else:
                ended, confirmed = _confirm(summary, confirmation, store, mirror, options, output)
                code = max(code, ended)
        written = search.write(confirmed)
    if as_json:
        typer.echo(json.dumps(report.document(summary, confirmed), indent=1))
    else:
        place = f"{mirror.uri.rstrip('/')}/{search.name}" if mirror else directory
        line(output.console, f"Written to {place}:")
        output.say(", ".join(written))
        if summary.best is not None:
            line(output.console, f"With these settings: {report.usage(directory)}")
    return code


class _Search:
    """The trials of one command."""

    def __init__(
        self,
        problem: SearchProblem,
        store: Store,
        mirror: Mirror | None,
        output: Output,
        as_json: bool,
    ) -> None:
        self._problem, self._store, self._mirror = problem, store, mirror
        self._output, self._as_json = output, as_json
        self._directory = problem.directory(store.results)
        self.name = self._directory.relative_to(store.results).as_posix()
        if mirror is not None:
            mirror.fetch_longer(f"{self.name}/{JOURNAL}")
        self._record = SearchRecord(problem, self._directory)
        self.summary: Summary

    def run(self, options: RunOptions) -> int:
        """Run what is missing and show the result; the exit code."""
        problem, output = self._problem, self._output
        events = TrialEvents(output, self._record, self._push)
        if not problem.population:
            source = SearchSource(self._record, self._store, self._missing, events)
            name, data = problem.space.name, (problem.dataset,)
            job = Job(name, {}, data, self._directory, source=source)
            return run_job(job, self._store, options, output, self._report, self._mirror)
        whole = self._run_population(options, events)
        failed = self._report()
        if whole:
            return int(failed)
        output.say(RESUME)
        return INTERRUPTED

    def _run_population(self, options: RunOptions, events: TrialEvents) -> bool:
        """Run the members that are new or have not ended; False if it was interrupted."""
        output, store, data = self._output, self._store, (self._problem.dataset,)
        trainings = expected_units(self._record, store, events)
        if not trainings:
            return True
        resources, _ = resources_and_cost(trainings, data, store, options.resources, output)
        options.confirm(resources)
        resources.stay_on_loopback()
        with graceful(output.acknowledge) as interrupt:
            from ablation.search.population import run_population  # imports Ray

            return run_population(self._record, store, resources, events, interrupt, output.say)

    def _report(self) -> bool:
        """Show and write the result so far; gives whether a trial has failed."""
        whole = [trial for trial in self._record.trials() if trial.state == "completed"]
        if self._mirror is not None:  # trials of another machine
            with contextlib.suppress(UserError):
                self._mirror.fetch([key for trial in whole for key in trial.evaluations])
        self.summary = Summary(self._record, self._store)
        if not self._as_json:
            report.print_summary(self._output.console, self.summary)
        count = len(self.summary.trials)
        if count < self._problem.space.trials and self._record.exhausted:
            self._output.say(f"The space holds no more than {count} different trials.")
        self.write(None)
        return any(trial.state == "failed" for trial in self.summary.trials)

    def write(self, confirmation: Json | None) -> list[str]:
        """Write the summary's files, also to the URI; gives their names."""
        written = report.export(self.summary, self._directory, confirmation)
        if self._mirror is not None:
            self._mirror.push_all((), self.name)
        return written

    def _missing(self, units: FoldUnits) -> list[Unit]:
        both = {unit.key: unit for unit in units}
        return missing_units(both, self._store, self._output, repair=True)

    def _push(self) -> None:
        if self._mirror is not None:
            with contextlib.suppress(UserError):  # it is pushed again at the end
                self._mirror.push_file(f"{self.name}/{JOURNAL}")


def _confirm(
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
    problem, first = summary.problem, summary.problem.space.seed + 1
    assert summary.best is not None
    rows = {"best": problem.changes(summary.best.parameters), "default": {}}
    plan = problem.plan(rows, asked.on, tuple(range(first, first + asked.seeds)), NOTES[asked.on])
    directory = problem.directory(store.results) / f"confirmation-{asked.on}"
    values: Json = {"on": asked.on}

    def report() -> bool:
        frame = cells_frame(plan, store)
        table = make_table(plan, frame, store)
        provenance = [store.provenance(key) for key in plan.units if store.is_done(key)]
        save_plan(plan, store.results, directory)
        export.export(table, frame, provenance, directory)
        if output.stream is None:  # a script finds it in the document
            display.print_table(output.console, table)
        values.update(document(table, frame, provenance))
        shown = printed(plan, frame)
        seeds = pooled(plan, shown) if asked.on == "validation" else shown
        pairs = seeds.pivot_table(index="seed", columns="row", values="value", observed=True)
        if {"best", "default"} <= set(pairs.columns):
            lead = (pairs["best"] - pairs["default"]).dropna().to_numpy(dtype=np.float64)
            values["lead"] = {"seeds": len(lead), "values": lead.tolist()}
            output.say(lead_in_words(lead))
            values["lead"] |= _over_clips(plan, store, output)
        return bool((frame["state"] == "failed").any())

    if mirror is not None:
        mirror.fetch(plan.units)
    code = run_job(Job.of_plan(plan, directory), store, options, output, report, mirror)
    return code, values


def _over_clips(plan: Plan, store: Store, output: Output) -> Json:
    """The difference over clips and groups, all seeds together; empty without predictions."""
    hits = hits_of(plan, store)
    best, default = hits.get(("best", "value")), hits.get(("default", "value"))
    found = best.less(default) if best is not None and default is not None else None
    if found is None:
        return {}
    lead = Lead(*found)
    within = "" if lead.clear else ": within one standard error of the default"
    output.say(f"Over clips and their groups: {lead.in_words}{within}.")
    return {"value": lead.value, "error": lead.error}


def lead_in_words(lead: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    """The best less the default, seed by seed, in points, and whether it may be due to chance."""
    points = 100 * lead
    spread = f" ± {points.std(ddof=1):.1f}" if len(points) > 1 else ""
    won = int((points > 0).sum())
    text = f"Best less default: {points.mean():+.1f}{spread} points, better in {won} of "
    text += f"{len(points)} seeds"
    if len(points) < 2:
        return f"{text}; with one seed it may be chance."
    error = points.std(ddof=1) / math.sqrt(len(points))
    if abs(points.mean()) <= 2 * error:
        return f"{text}: within two standard errors of zero, so it may be chance."
    return f"{text}."
