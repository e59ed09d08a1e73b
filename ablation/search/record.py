"""The record of a search: an optuna study in a journal file, which only the driver writes.

Each change is a line that is on the disk before the next begins, so that whatever is killed, the
same command resumes. Any tool for optuna reads it (``optuna-dashboard journal.log``).

optuna's states are not all that a search tells apart. A trial that failed stays ``RUNNING``, with
its reason beside it: the next command retries it. One whose loss or features were not finite has an
answer: optuna's ``FAIL``. What optuna's parameters cannot hold (a list; a default outside its
domain) stands in ``user_attrs``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from ablation.search.problem import DEFAULT, SearchProblem, TrialUnits
from ablation.search.sampling import Sampler
from skelcon.config import Json
from skelcon.errors import UserError

State = Literal["completed", "stopped", "diverged", "failed", "unfinished"]
JOURNAL = "journal.log"
NAME = "search"
"""Of optuna's study; the directory has the search's own."""
_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "diverged",
}


@dataclass(frozen=True)
class Report:
    """A trial's value on the validation side after ``epoch`` epochs."""

    epoch: int
    value: float
    seconds: float


@dataclass(frozen=True)
class Trial:
    """A trial as the record has it.

    Attributes:
        parameters: the searched settings; under PBT the last ones.
        first: those it started with.
        units: the keys of its pre-training and its evaluation; none under PBT.
        state: ``completed``, ``stopped`` by the pruner, ``diverged`` (its loss or features were
            not finite), ``failed`` or ``unfinished``.
    """

    number: int
    parameters: Json
    first: Json
    units: tuple[str, ...] = ()
    reports: tuple[Report, ...] = ()
    state: State = "unfinished"
    reason: str = ""

    @classmethod
    def of(cls, trial: FrozenTrial) -> Trial:
        """The trial that optuna has."""
        known = trial.user_attrs
        seconds = known.get("seconds", {})
        reports = (
            Report(epoch, value, seconds.get(str(epoch), 0.0))
            for epoch, value in sorted(trial.intermediate_values.items())
        )
        reason = known.get("reason", "")
        return cls(
            trial.number,
            known["parameters"],
            known.get("first", known["parameters"]),
            tuple(known["units"]),
            tuple(reports),
            _STATES.get(trial.state, "failed" if reason else "unfinished"),
            reason,
        )

    @property
    def epoch(self) -> int:
        """The epoch of its last report; 0 if there is none."""
        return self.reports[-1].epoch if self.reports else 0

    @property
    def value(self) -> float | None:
        """Its last value: early ones of a trial are not compared with late ones of another."""
        return self.reports[-1].value if self.reports else None

    @property
    def seconds(self) -> float:
        """How long it has worked."""
        return sum(report.seconds for report in self.reports)

    @property
    def ended(self) -> bool:
        """Whether it is never run again."""
        return self.state not in ("unfinished", "failed")


class _NoLock:
    """optuna's lock of a journal; a whole search is locked for its driver (``run_search``)."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class SearchRecord:
    """The trials of a search, and where the parameters of further ones come from.

    Args:
        problem: what is searched.
        directory: the search's, which exists and is locked.

    Raises:
        UserError: if the journal is damaged.
    """

    def __init__(self, problem: SearchProblem, directory: Path) -> None:
        self.problem, self.directory = problem, directory
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        path = directory / JOURNAL
        _drop_torn_line(path)
        try:
            storage = JournalStorage(JournalFileBackend(str(path), _NoLock()))
            if not optuna.get_all_study_names(storage):
                optuna.create_study(storage=storage, study_name=NAME, direction="maximize")
            self._study = optuna.load_study(storage=storage, study_name=NAME, pruner=self._pruner())
            self.trials()
        except (ValueError, LookupError, TypeError, AssertionError) as error:
            raise UserError(
                f"'{path}': damaged ({error!r}); delete '{directory}' to start the search from "
                "scratch (trained units are kept)"
            ) from None
        self._sampler = Sampler(problem)

    def trials(self) -> list[Trial]:
        """All of them, in the order of their numbers."""
        return [Trial.of(trial) for trial in self._study.get_trials(deepcopy=False)]

    def trial(self, number: int) -> Trial:
        """One of them."""
        return Trial.of(self._frozen(number))

    @property
    def exhausted(self) -> bool:
        """Whether the space holds no further parameters."""
        return self._sampler.exhausted([trial.first for trial in self.trials()])

    def ask(self) -> Trial:
        """A new trial; there must be parameters left."""
        known = [trial.first for trial in self.trials()]
        number, sampler = len(known), self._sampler
        parameters = sampler.suggest(self._study, number, known)
        inside = sampler.contains(parameters)
        units = () if self.problem.population else self.problem.units(parameters).keys
        # Not study.ask(), which takes several writes: a crash would leave a part of a trial.
        self._study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params=sampler.encoded(parameters) if inside else {},
                distributions=sampler.distributions if inside else {},
                user_attrs={"parameters": parameters, "units": list(units)},
            )
        )
        return self.trial(number)

    def retry(self, number: int) -> None:
        """A trial that failed in an earlier command runs again."""
        if self.trial(number).state == "failed":
            self._open(number).set_user_attr("reason", "")

    def report(self, number: int, epoch: int, value: float, seconds: float) -> bool:
        """A trial has a value; whether the pruner would stop it. The default is never stopped."""
        trial, known = self._open(number), self.trial(number)
        if epoch not in (report.epoch for report in known.reports):  # else trained again
            times = {str(report.epoch): report.seconds for report in known.reports}
            trial.set_user_attr("seconds", {**times, str(epoch): round(seconds, 3)})
            trial.report(value, epoch)
        prune = epoch < self.problem.epochs and trial.should_prune()
        return prune and number != DEFAULT

    def exchange(self, number: int, parameters: Json) -> None:
        """A member of a population has other ``parameters`` from now on."""
        trial, known = self._open(number), self.trial(number)
        trial.set_user_attr("first", known.first)
        trial.set_user_attr("parameters", parameters)

    def complete(self, number: int) -> None:
        """A trial has reached its last epoch, which is reported."""
        self._study.tell(number, self.trial(number).value)

    def prune(self, number: int) -> None:
        """A trial is stopped before its end."""
        self._study.tell(number, state=TrialState.PRUNED)

    def diverge(self, number: int, reason: str) -> None:
        """A trial's loss or features were not finite: nobody needs to try its parameters again."""
        self._open(number).set_user_attr("reason", reason)
        self._study.tell(number, state=TrialState.FAIL)

    def fail(self, number: int, reason: str) -> None:
        """A trial has failed; the next command retries it."""
        self._open(number).set_user_attr("reason", reason)

    def units(self, trial: Trial) -> TrialUnits:
        """The units of a trial."""
        return self.problem.units(trial.first, f"trial {trial.number}")

    def inside(self, trial: Trial) -> bool:
        """Whether its parameters are inside the space: the default's may be elsewhere."""
        return self._sampler.contains(trial.parameters)

    def at_epoch(self, epoch: int) -> optuna.Study:
        """The trials inside the space that have a value after ``epoch`` epochs, all complete."""
        study = optuna.create_study(direction="maximize")
        for trial in self._study.get_trials(deepcopy=False):
            if trial.params and epoch in trial.intermediate_values:
                value = trial.intermediate_values[epoch]
                study.add_trial(
                    optuna.trial.create_trial(
                        params=trial.params, distributions=trial.distributions, value=value
                    )
                )
        return study

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    def _open(self, number: int) -> optuna.Trial:
        # optuna has no public way to resume a RUNNING trial by its number.
        return optuna.Trial(self._study, self._frozen(number)._trial_id)

    def _pruner(self) -> optuna.pruners.BasePruner:
        options = self.problem.space.scheduler
        if options.name != "asha":
            return optuna.pruners.NopPruner()
        grace = min(self.problem.epochs, options.grace * self.problem.every)
        return optuna.pruners.SuccessiveHalvingPruner(grace, options.reduction)


def _drop_torn_line(path: Path) -> None:
    """Cut off the part of a line that a crash in the middle of a write has left."""
    if path.exists():
        with path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
