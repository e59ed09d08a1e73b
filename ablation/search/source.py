"""Gives a run the units of one trial after another, and records what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ablation.events import Event, Failed, Finished, Pruned, Started, Waiting
from ablation.scheduler.queue import Monitor
from ablation.search.events import TrialEvents
from ablation.search.problem import TrialUnits
from ablation.search.record import SearchRecord, State
from ablation.store import Store
from ablation.units import EvaluateUnit, Unit

DIVERGED = "failed: FloatingPointError"
"""How the reason of a unit starts whose numbers were not finite: an answer, not an accident."""


class SearchSource:
    """The trials of a search as a source of units (`ablation.scheduler.queue.UnitSource`).

    Trials with different parameters may share units, where a parameter is not used. ``missing``
    gives those of a trial's units that are not done; damaged ones are moved away.
    """

    def __init__(
        self,
        record: SearchRecord,
        store: Store,
        missing: Callable[[TrialUnits], Sequence[Unit]],
        reporter: TrialEvents,
    ) -> None:
        self._problem, self._record, self._store = record.problem, record, store
        self._missing, self._reporter = missing, reporter
        self._over: set[int] = set()
        self.summary = reporter.summary
        self.start()

    def start(self) -> None:
        """Hand out again what has not ended: a run begins, or Ray has died under it."""
        known = self._record.trials()
        self._again = [t for t in known if not t.ended and t.number not in self._over]
        further = self._problem.space.trials - len(known)
        self._left = 0 if self._record.exhausted else max(0, further)
        self._open: dict[int, TrialUnits] = {}
        self._since: dict[int, float] = {}

    @property
    def exhausted(self) -> bool:
        """Whether all trials have been handed out."""
        return not self._again and not self._left

    @property
    def upcoming(self) -> int:
        """How many units further trials have, about."""
        return 2 * (len(self._again) + self._left)

    @property
    def expected(self) -> Sequence[Unit]:
        """As many units as further trials have, each trained to its end."""
        seeds = tuple(range(self.upcoming // 2))
        return list(self._problem.plan({"default": {}}, "validation", seeds).units.values())

    def ask(self) -> Sequence[Unit]:
        """The missing units of the next trial: first of those that have started."""
        while not self.exhausted:
            if self._again:
                trial = self._again.pop(0)
                self._record.retry(trial.number)
            else:
                trial = self._record.ask()
                self._left = 0 if self._record.exhausted else self._left - 1
            units = self._problem.units(trial.first, f"trial {trial.number}")
            self._open[trial.number] = units
            if missing := self._missing(units):
                return missing
            self._complete(trial.number)
        return ()

    def monitor(self, unit: Unit) -> Monitor | None:
        """A pre-training is evaluated as its first trial's evaluation will be."""
        trials = self._trials_of(unit)
        if not trials or isinstance(unit, EvaluateUnit):
            return None
        reported = self._record.trial(trials[0]).epoch
        evaluation = self._open[trials[0]].evaluation
        return Monitor(evaluation, self._problem.space.metric, self._problem.every, reported)

    def tell(self, unit: Unit, epoch: int, value: float) -> bool:
        """A pre-training has a value; prune it if all of its trials may be stopped."""
        trials = self._trials_of(unit)
        if not trials:
            return False
        evaluation = self._open[trials[0]].evaluation
        same = [number for number in trials if self._open[number].evaluation == evaluation]
        prune = [self._report(number, epoch, value) for number in same]
        if len(same) < len(trials) or not all(prune):
            return False
        for number in trials:
            self._record.end(number, "stopped")
        return True

    def report(self, event: Event) -> None:
        """Something has become of one of the units."""
        if not isinstance(event, Waiting):
            for number in self._trials_of(event.unit):
                self._report_of(number, event)

    def _report_of(self, number: int, event: Event) -> None:
        match event:
            case Started() if number not in self._since:
                self._since[number] = time.monotonic()
                self._reporter.started(self._record.trial(number))
            case Finished(unit) if unit == self._open[number].evaluation:
                self._complete(number)
            case Failed(_, reason, verdict="failed"):
                state: State = "diverged" if reason.startswith(DIVERGED) else "failed"
                self._record.end(number, state, reason.removeprefix("failed: "))
                self._close(number)
            case Pruned():
                self._close(number)

    def _complete(self, number: int) -> None:
        """A trial's evaluation is done."""
        evaluation = self._open[number].evaluation
        value = float(self._store.result(evaluation.key)[self._problem.space.metric])
        self._report(number, self._problem.epochs, value)
        self._record.end(number, "completed")
        self._close(number)

    def _report(self, number: int, epoch: int, value: float) -> bool:
        now = time.monotonic()
        seconds = now - self._since.get(number, now)
        self._since[number] = now
        prune = self._record.report(number, epoch, value, seconds)
        self._reporter.progressed(self._record.trial(number))
        return prune

    def _close(self, number: int) -> None:
        del self._open[number]
        self._over.add(number)
        self._reporter.ended(self._record.trial(number))

    def _trials_of(self, unit: Unit) -> list[int]:
        return [number for number, units in self._open.items() if unit.key in units.keys]
