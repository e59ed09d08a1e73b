"""Gives a run the units of one trial after another, and records what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ablation.events import Event, Failed, Finished, Pruned, Started
from ablation.runner.queue import Monitor
from ablation.search.events import TrialEvents
from ablation.search.problem import SearchProblem, TrialUnits
from ablation.search.record import SearchRecord, Trial
from ablation.store import Store
from ablation.units import EvaluateUnit, Unit

DIVERGED = "failed: FloatingPointError"
"""How the reason of a unit starts whose numbers were not finite: an answer, not an accident."""


class SearchSource:
    """The trials of a search as a source of units (`ablation.runner.queue.UnitSource`).

    Trials with different parameters may share units, where a parameter is not used.

    Args:
        problem: what is searched.
        record: what is known, and where what is learnt is written.
        store: where the values of evaluations are.
        trials: how many there shall be in all.
        missing: those of a trial's units that are not done; damaged ones are moved away.
        reporter: receives what happens to trials.
    """

    def __init__(
        self,
        problem: SearchProblem,
        record: SearchRecord,
        store: Store,
        trials: int,
        missing: Callable[[TrialUnits], Sequence[Unit]],
        reporter: TrialEvents,
    ) -> None:
        self._problem, self._record, self._store = problem, record, store
        self._trials, self._missing, self._reporter = trials, missing, reporter
        self._over: set[int] = set()
        self.start()

    def start(self) -> None:
        """Hand out again what has not ended: a run begins, or Ray has died under it."""
        known = self._record.trials()
        self._again = [t for t in known if not t.ended and t.number not in self._over]
        self._left = max(0, self._trials - len(known))
        self._open: dict[int, TrialUnits] = {}
        self._working: dict[int, float] = {}
        self._spent: dict[int, float] = {}

    @property
    def exhausted(self) -> bool:
        """Whether all trials have been handed out."""
        return not self._again and (not self._left or self._record.exhausted)

    @property
    def upcoming(self) -> int:
        """How many units further trials have, about."""
        return 0 if self.exhausted else 2 * (len(self._again) + self._left)

    @property
    def expected(self) -> Sequence[Unit]:
        """As many units as further trials have, each trained to its end."""
        trials = range(self.upcoming // 2)
        if not trials:
            return ()
        return list(self._problem.plan({"default": {}}, "validation", tuple(trials)).units.values())

    def summary(self) -> Sequence[tuple[str, str]]:
        """What the live view shows beside the units."""
        return self._reporter.summary()

    def ask(self) -> Sequence[Unit]:
        """The missing units of the next trial: first of those that have started."""
        while not self.exhausted:
            trial = self._next()
            units = self._record.units(trial)
            self._open[trial.number] = units
            if missing := self._missing(units):
                return missing
            self._complete(trial.number)
        return ()

    def _next(self) -> Trial:
        if self._again:
            trial = self._again.pop(0)
            self._record.retry(trial.number)
            return trial
        self._left -= 1
        return self._record.ask()

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
            self._record.prune(number)
        return True

    def report(self, event: Event) -> None:
        """Something has become of one of the units."""
        if isinstance(event, Started | Finished | Failed | Pruned):
            for number in self._trials_of(event.unit):
                self._report_of(number, event)

    def _report_of(self, number: int, event: Started | Finished | Failed | Pruned) -> None:
        if isinstance(event, Started):
            if number not in self._working:
                self._reporter.started(self._record.trial(number))
            self._working[number] = time.monotonic()
            return
        if isinstance(event, Pruned):
            self._end(number)
        elif isinstance(event, Finished):
            self._stop_clock(number)
            if event.unit == self._open[number].evaluation:
                self._complete(number)
        elif event.verdict != "failed":
            self._stop_clock(number)
        elif event.reason.startswith(DIVERGED):
            self._record.diverge(number, event.reason.removeprefix("failed: "))
            self._end(number)
        else:
            self._record.fail(number, event.reason.removeprefix("failed: "))
            self._end(number)

    def _complete(self, number: int) -> None:
        """A trial's evaluation is done."""
        evaluation = self._open[number].evaluation
        value = float(self._store.result(evaluation.key)[self._problem.space.metric])
        self._report(number, self._problem.epochs, value)
        self._record.complete(number)
        self._end(number)

    def _report(self, number: int, epoch: int, value: float) -> bool:
        self._stop_clock(number)
        prune = self._record.report(number, epoch, value, self._spent.pop(number, 0.0))
        self._working[number] = time.monotonic()
        self._reporter.progressed(self._record.trial(number))
        return prune

    def _stop_clock(self, number: int) -> None:
        """Add to a trial's time how long its unit has worked."""
        now = time.monotonic()
        worked = now - self._working.get(number, now)
        self._spent[number] = self._spent.get(number, 0.0) + worked
        self._working[number] = now

    def _end(self, number: int) -> None:
        del self._open[number]
        self._over.add(number)
        self._reporter.ended(self._record.trial(number))

    def _trials_of(self, unit: Unit) -> list[int]:
        return [number for number, units in self._open.items() if unit.key in units.keys]
