"""A whole search: run, summary, files, confirmation, JSON document."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import typer

from ablation.interrupts import graceful
from ablation.live.output import Output
from ablation.run import RESUME, Job, RunOptions, missing_units, run_job
from ablation.search import report
from ablation.search.confirm import Confirmation, confirm
from ablation.search.events import TrialEvents
from ablation.search.problem import SearchProblem, TrialUnits
from ablation.search.record import JOURNAL, SearchRecord
from ablation.search.report import Summary
from ablation.search.source import SearchSource
from ablation.store import Store
from ablation.store.locks import hold
from ablation.units import Unit
from skelcon.cli.console import INTERRUPTED
from skelcon.config import Json
from skelcon.errors import UserError

if TYPE_CHECKING:
    from ablation.store.mirror import Mirror


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

    Args:
        problem: what is searched.
        store: where the units and the record are.
        mirror: the URI at which the results are kept, if they are.
        options: how to run it.
        output: where the command says what it does.
        confirmation: what follows the search.
        as_json: print one JSON document instead of text.

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
                ended, confirmed = confirm(summary, confirmation, store, mirror, options, output)
                code = max(code, ended)
        written = search.write(confirmed)
    if as_json:
        typer.echo(json.dumps(report.document(summary, confirmed), indent=1))
    else:
        place = f"{mirror.uri.rstrip('/')}/{search.name}" if mirror else directory
        output.say(f"Written to {place}: {', '.join(written)}")
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
        whole, known = True, self._record.trials()
        if len(known) < problem.space.trials or not all(trial.ended for trial in known):
            options.confirm(options.resources)
            options.resources.stay_on_loopback()
            with graceful(output.acknowledge) as interrupt:
                from ablation.search.population import run_population  # imports Ray

                whole = run_population(
                    self._record, self._store, options.resources, events, interrupt, output.say
                )
        failed = self._report()
        if not whole:
            output.say(RESUME)
        return int(failed) if whole else INTERRUPTED

    def _report(self) -> bool:
        """Show and write what there is; whether a trial has failed."""
        self.summary = Summary(self._record)
        if not self._as_json:
            report.print_summary(self._output.console, self.summary)
        count = len(self.summary.trials)
        if count < self._problem.space.trials and self._record.exhausted:
            self._output.say(f"The space holds no more than {count} different trials.")
        self.write(None)
        return any(trial.state == "failed" for trial in self.summary.trials)

    def write(self, confirmation: Json | None) -> list[str]:
        """Write the summary's files, to the URI as well; their names."""
        written = report.export(self.summary, self._directory, confirmation)
        if self._mirror is not None:
            self._mirror.push_all((), self.name)
        return written

    def _missing(self, units: TrialUnits) -> list[Unit]:
        both = {unit.key: unit for unit in units}
        return missing_units(both, self._store, self._output, repair=True)

    def _push(self) -> None:
        if self._mirror is not None:
            with contextlib.suppress(UserError):  # it is pushed again at the end
                self._mirror.push_file(f"{self.name}/{JOURNAL}")
