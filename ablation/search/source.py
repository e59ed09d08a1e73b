"""Gives a run the units of one trial after another, fold by fold, and records their values."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ablation.events import Event, Failed, Finished, Pruned, Started, Waiting
from ablation.scheduler.queue import Monitor
from ablation.search.events import TrialEvents
from ablation.search.problem import FoldUnits
from ablation.search.record import SearchRecord, State
from ablation.search.steps import Steps
from ablation.store import Store
from ablation.units import EvaluateUnit, Unit

DIVERGED = "failed: FloatingPointError"
"""How the reason of a unit starts whose numbers were not finite. It is not retried."""


@dataclass
class _OpenTrial:
    """A trial that has been handed out and has not ended.

    Attributes:
        values: of the folds that are done; the next one runs.
        clips: how many each fold is evaluated on.
        waiting: whether the next fold has still to be handed out.
        since: when it last reported; None before it has started.
    """

    units: tuple[FoldUnits, ...]
    steps: Steps
    clips: tuple[int, ...]
    values: list[float] = field(default_factory=list)
    waiting: bool = True
    since: float | None = None

    @property
    def fold(self) -> int:
        """The number of the current fold."""
        return len(self.values)

    @property
    def now(self) -> FoldUnits:
        """The units of the current fold."""
        return self.units[self.fold]

    def pooled(self, *further: float) -> float:
        """The accuracy over the clips of all folds that have a value."""
        values = (*self.values, *further)
        pairs = list(zip(values, self.clips[: len(values)], strict=True))
        return sum(value * clips for value, clips in pairs) / sum(clips for _, clips in pairs)


class SearchSource:
    """The trials of a search as a source of units (`ablation.scheduler.queue.UnitSource`).

    The folds of a trial are handed out one after another, before a new trial is. Trials with
    different parameters may share units, where a parameter is not used. ``missing`` gives the units
    of a fold that are not done, and moves damaged ones away.
    """

    def __init__(
        self,
        record: SearchRecord,
        store: Store,
        missing: Callable[[FoldUnits], Sequence[Unit]],
        reporter: TrialEvents,
    ) -> None:
        self._problem, self._record, self._store = record.problem, record, store
        self._missing, self._reporter = missing, reporter
        self._over: set[int] = set()
        self.summary = reporter.summary
        self.start()

    def start(self) -> None:
        """Hand out again what has not ended: at the start of a run, or after Ray has died."""
        known = self._record.trials()
        self._again = [t for t in known if not t.ended and t.number not in self._over]
        further = self._problem.space.trials - len(known)
        self._left = 0 if self._record.exhausted else max(0, further)
        self._open: dict[int, _OpenTrial] = {}
        self._failed: dict[str, tuple[State, str]] = {}

    @property
    def exhausted(self) -> bool:
        """Whether all folds of all trials have been handed out."""
        trials = self._open.values()
        ahead = any(each.waiting or each.fold + 1 < len(each.units) for each in trials)
        return not (self._again or self._left or ahead)

    @property
    def upcoming(self) -> int:
        """How many units further folds and trials have, if none of them is stopped."""
        folds, scale = len(self._problem.folds), self._problem.epochs
        done = sum(trial.epoch // scale for trial in list(self._again))
        ahead = sum(folds - each.fold - (not each.waiting) for each in list(self._open.values()))
        return 2 * (ahead + folds * (len(self._again) + self._left) - done)

    @property
    def expected(self) -> Sequence[Unit]:
        """Units for an estimate: as many as further trials have, each trained to its end."""
        return self._problem.expected(self.upcoming)

    def ask(self) -> Sequence[Unit]:
        """The missing units of the next fold: of an open trial, of one to resume, or of a new one.

        Empty if each remaining fold waits for the one before it.
        """
        while True:
            number = next((n for n, each in self._open.items() if each.waiting), None)
            number = self._next_trial() if number is None else number
            if number is None:
                return ()
            if missing := self._hand_out(number):
                return missing

    def _next_trial(self) -> int | None:
        if self._again:
            trial = self._again.pop(0)
            self._record.retry(trial.number)
        elif self._left:
            trial = self._record.ask()
            self._left = 0 if self._record.exhausted else self._left - 1
        else:
            return None
        problem, name = self._problem, f"trial {trial.number}"
        units, steps = problem.units(trial.first, name), problem.steps_of(trial.first)
        self._open[trial.number] = _OpenTrial(units, steps, problem.clips)
        return trial.number

    def _hand_out(self, number: int) -> Sequence[Unit]:
        """The units of the trial's next fold that are not done; none if the trial has ended."""
        while (trial := self._open.get(number)) is not None:
            if failed := [self._failed[key] for key in trial.now.keys if key in self._failed]:
                self._end(number, *failed[0])  # of another trial that shares it
            elif missing := self._missing(trial.now):
                trial.waiting = False
                return missing
            else:
                self._fold_done(number)
        return ()

    def monitor(self, unit: Unit) -> Monitor | None:
        """A pre-training is evaluated as its first trial's evaluation will be."""
        trials = self._trials_of(unit)
        if not trials or isinstance(unit, EvaluateUnit):
            return None
        first, problem = self._open[trials[0]], self._problem
        reported = first.steps.epoch(first.fold, self._record.trial(trials[0]).epoch)
        every = first.steps.every(problem.every)
        return Monitor(first.now.evaluation, problem.space.metric, every, reported)

    def tell(self, unit: Unit, epoch: int, value: float) -> bool:
        """A pre-training has a value; prune it if all of its trials may be stopped."""
        trials = self._trials_of(unit)
        if not trials:
            return False
        evaluation = self._open[trials[0]].now.evaluation
        same = [number for number in trials if self._open[number].now.evaluation == evaluation]
        prune = [self._report(number, epoch, value) for number in same]
        if len(same) < len(trials) or not all(prune):
            return False
        for number in trials:
            self._record.end(number, "stopped")
        return True

    def report(self, event: Event) -> None:
        """``event`` of one of the units has happened."""
        if isinstance(event, Failed) and event.verdict == "failed":
            diverged = event.reason.startswith(DIVERGED)
            reason = event.reason.removeprefix("failed: ")
            self._failed[event.unit.key] = ("diverged" if diverged else "failed"), reason
        if not isinstance(event, Waiting):
            for number in self._trials_of(event.unit):
                self._report_of(number, event)

    def _report_of(self, number: int, event: Event) -> None:
        trial = self._open[number]
        match event:
            case Started() if trial.since is None:
                trial.since = time.monotonic()
                self._reporter.started(self._record.trial(number))
            case Finished(unit) if unit == trial.now.evaluation:
                self._fold_done(number)
            case Failed(unit, verdict="failed"):
                self._end(number, *self._failed[unit.key])
            case Pruned():
                self._close(number)

    def _fold_done(self, number: int) -> None:
        """The evaluation of a trial's fold is done: the next fold follows, or the trial ends."""
        trial = self._open[number]
        value = float(self._store.result(trial.now.evaluation.key)[self._problem.space.metric])
        prune = self._report(number, trial.steps.own, value)
        trial.values.append(value)
        trial.waiting = True
        whole = trial.fold == len(trial.units)
        if whole or prune:
            self._end(number, "completed" if whole else "stopped")

    def _report(self, number: int, epoch: int, value: float) -> bool:
        """Record a value of the current fold; gives whether the trial may be stopped."""
        trial, seconds, now = self._open[number], 0.0, time.monotonic()
        if trial.since is not None:  # else nothing of it has run
            seconds, trial.since = now - trial.since, now
        step = trial.steps.at(trial.fold, epoch)
        prune = self._record.report(number, step, trial.pooled(value), seconds)
        self._reporter.progressed(self._record.trial(number))
        return prune

    def _end(self, number: int, state: State, reason: str = "") -> None:
        self._record.end(number, state, reason)
        self._close(number)

    def _close(self, number: int) -> None:
        del self._open[number]
        self._over.add(number)
        self._reporter.ended(self._record.trial(number))

    def _trials_of(self, unit: Unit) -> list[int]:
        """The trials whose current fold has ``unit``."""
        return [
            number
            for number, trial in self._open.items()
            if not trial.waiting and unit.key in trial.now.keys
        ]
