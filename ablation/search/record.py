"""The record of a search: an optuna study in a journal file, which only the driver writes.

Each change is a line that is on the disk before the next is made, so that the same command resumes
whatever was killed. Any tool for optuna reads it (``optuna-dashboard journal.log``).

A trial that failed stays ``RUNNING`` for optuna, with its reason in ``user_attrs``: the next
command retries it. A trial that diverged is ``FAIL``, and not retried. Values that optuna's
parameters cannot have (a list; a default outside its domain) are in ``user_attrs``.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from ablation.search.problem import DEFAULT, SearchProblem
from ablation.search.sampling import Sampler
from ablation.store.unit_files import whole_lines
from skelcon.config import Json
from skelcon.errors import UserError

State = Literal["completed", "stopped", "diverged", "failed", "unfinished"]
JOURNAL = "journal.log"
NAME = "search"
"""The name of optuna's study; the directory is named after the search."""
_ENDS: dict[State, TrialState] = {
    "completed": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "diverged": TrialState.FAIL,
}
_STATES = {theirs: ours for ours, theirs in _ENDS.items()}


@dataclass(frozen=True)
class IntermediateValue:
    """A trial's value on the validation side.

    It is pooled over the clips of the folds that are done and of the one that trains.

    Attributes:
        epoch: how many have been trained, over all folds (see `ablation.search.steps`).
    """

    epoch: int
    value: float
    seconds: float


@dataclass(frozen=True)
class Trial:
    """A trial in the record.

    Attributes:
        parameters: the searched settings; under PBT the last ones.
        first: the settings that it started with.
        units: the keys of its pre-training and its evaluation in the first fold, then in the
            second, and so on; none under PBT.
        state: ``stopped`` by the pruner; ``diverged``: its loss or features were not finite.
    """

    number: int
    parameters: Json
    first: Json
    units: tuple[str, ...]
    intermediate_values: tuple[IntermediateValue, ...]
    state: State
    reason: str

    @classmethod
    def of(cls, trial: FrozenTrial) -> Trial:
        """The trial, from optuna's."""
        known = trial.user_attrs
        parameters, units, reason = known["parameters"], known["units"], known.get("reason", "")
        seconds = known.get("seconds", {})
        values = tuple(
            IntermediateValue(epoch, value, seconds.get(str(epoch), 0.0))
            for epoch, value in sorted(trial.intermediate_values.items())
        )
        state = _STATES.get(trial.state, "failed" if reason else "unfinished")
        first = known.get("first", parameters)
        return cls(trial.number, parameters, first, tuple(units), values, state, reason)

    @property
    def epoch(self) -> int:
        """The epoch of its last value; 0 if there is none."""
        return self.intermediate_values[-1].epoch if self.intermediate_values else 0

    @property
    def value(self) -> float | None:
        """Its last value; None if there is none."""
        return self.intermediate_values[-1].value if self.intermediate_values else None

    @property
    def evaluations(self) -> tuple[str, ...]:
        """The keys of its evaluations, one for each fold."""
        return self.units[1::2]

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return sum(each.seconds for each in self.intermediate_values)

    @property
    def ended(self) -> bool:
        """Whether it is never run again."""
        return self.state not in ("unfinished", "failed")


class SearchRecord:
    """The trials of a search, in its ``directory``, which exists and is locked.

    Raises:
        UserError: if the journal is damaged.
    """

    def __init__(self, problem: SearchProblem, directory: Path) -> None:
        self.problem, self.directory, self._sampler = problem, directory, Sampler(problem)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        path = directory / JOURNAL
        if path.exists():  # a crash in the middle of a write leaves a part of a line
            os.truncate(path, whole_lines(path.read_bytes()))
        try:
            # No lock of optuna's: the driver has locked the whole search.
            storage = JournalStorage(JournalFileBackend(str(path), threading.Lock()))
            if not optuna.get_all_study_names(storage):
                optuna.create_study(storage=storage, study_name=NAME, direction="maximize")
            self.study = optuna.load_study(storage=storage, study_name=NAME, pruner=self._pruner())
            self.trials()
        except (ValueError, LookupError, TypeError, AssertionError) as error:
            raise UserError(
                f"'{path}': damaged ({error!r}); delete '{directory}' to start the search from "
                "scratch (trained units are kept)"
            ) from None

    def trials(self) -> list[Trial]:
        """All trials, in the order of their numbers."""
        return [Trial.of(trial) for trial in self.study.get_trials(deepcopy=False)]

    def trial(self, number: int) -> Trial:
        """The trial with this number."""
        return self.trials()[number]

    @property
    def exhausted(self) -> bool:
        """Whether the space holds no further parameters."""
        return self._sampler.exhausted([trial.first for trial in self.trials()])

    def ask(self) -> Trial:
        """A new trial; there must be parameters left."""
        known, sampler = [trial.first for trial in self.trials()], self._sampler
        parameters = sampler.suggest(self.study, known)
        inside = sampler.contains(parameters)
        folds = () if self.problem.population else self.problem.units(parameters)
        units = [key for fold in folds for key in fold.keys]
        # Not study.ask(), which takes several writes: a crash would leave a part of a trial.
        self.study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params=sampler.encoded(parameters) if inside else {},
                distributions=sampler.distributions if inside else {},
                user_attrs={"parameters": parameters, "units": units},
            )
        )
        return self.trial(len(known))

    def retry(self, number: int) -> None:
        """A trial that failed in an earlier command runs again."""
        if self.trial(number).state == "failed":
            self._open(number).set_user_attr("reason", "")

    def report(self, number: int, epoch: int, value: float, seconds: float) -> bool:
        """Record a value; gives whether the pruner would stop the trial, never the default.

        A value that is known already, as an epoch was trained again, changes nothing.
        """
        trial = self._open(number)
        times = {each.epoch: each.seconds for each in self.trial(number).intermediate_values}
        if epoch in times:
            return False
        trial.set_user_attr("seconds", {**times, epoch: round(seconds, 3)})
        trial.report(value, epoch)
        prune = epoch < self.problem.steps and trial.should_prune()  # (this stores the value)
        return prune and number != DEFAULT

    def exchange(self, number: int, parameters: Json) -> None:
        """A member of a population has other ``parameters`` from now on."""
        trial, known = self._open(number), self.trial(number)
        trial.set_user_attr("first", known.first)
        trial.set_user_attr("parameters", parameters)

    def end(self, number: int, state: State, reason: str = "") -> None:
        """A trial has ended; one that ``failed`` is retried by the next command."""
        if reason:
            self._open(number).set_user_attr("reason", reason)
        if state != "failed":
            value = self.trial(number).value if state == "completed" else None
            self.study.tell(number, value, _ENDS[state])

    def _open(self, number: int) -> optuna.Trial:
        # optuna has no public way to resume a RUNNING trial by its number.
        return optuna.Trial(self.study, self.study.get_trials(deepcopy=False)[number]._trial_id)

    def _pruner(self) -> optuna.pruners.BasePruner:
        options = self.problem.space.scheduler
        if options.name != "asha":
            return optuna.pruners.NopPruner()
        grace = min(self.problem.steps, options.grace * self.problem.every)
        return optuna.pruners.SuccessiveHalvingPruner(grace, options.reduction)
