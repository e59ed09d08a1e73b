"""Runs the trials that the record lacks with Ray Tune. Ray schedules; the record decides.

Importing this module imports Ray (seconds): only a search that has something to run does.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

# isort: off
from ablation.runner.session import (  # sets what Ray reads, then imports it
    check_session,
    cluster,
    restarting,
)
# isort: on

from ray import tune
from ray.tune.search import Searcher

from ablation.runner.nodes import check_nodes
from ablation.runner.resources import Resources, check_fits
from ablation.search.draws import Drawer
from ablation.search.question import Question
from ablation.search.record import Record, Report, Trial
from ablation.search.scheduling import Asha, make_scheduler, number_of
from ablation.search.trainable import TrialTrainable
from ablation.store import Store

# A trial that diverges has no number to report.
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")


class Listener(Protocol):
    """Who is told how the trials fare."""

    def started(self, trial: Trial) -> None:
        """A worker takes up ``trial``."""

    def reported(self, number: int, report: Report) -> None:
        """A trial has a number more."""

    def ended(self, trial: Trial) -> None:
        """A trial is over: see its state."""

    def waiting(self, why: str) -> None:
        """Nothing runs at present, and why."""


class _Desk:
    """What the searcher and the callback share: who is to run, and what has become of them.

    ``tried`` holds the numbers of the trials that this command has brought to an end.
    """

    def __init__(
        self, question: Question, record: Record, trials: int, listener: Listener, tried: set[int]
    ) -> None:
        known = record.trials()
        self.question, self.record, self.listener = question, record, listener
        by_number = {trial.number: trial for trial in known}
        self._again = [t for t in known if not _ended(t) and t.number not in tried]
        self._new = [number for number in range(trials) if number not in by_number]
        self._drawer = Drawer(question, known)
        self.trials = by_number
        self.tried = tried
        self.exhausted = False

    @property
    def waiting(self) -> int:
        """How many are still to be handed out."""
        return len(self._again) + len(self._new)

    def next(self) -> Trial | None:
        """A trial to run: first those that were begun; None when there is none."""
        if self._again:
            trial = self._again.pop(0)
            if trial.state == "failed":
                self.record.started(trial.number, trial.parameters, trial.units)
                trial.state = "unfinished"
            return trial
        if not self._new or self.exhausted:
            return None
        number = self._new.pop(0)
        parameters = self._drawer.parameters(number)
        if parameters is None:
            self.exhausted = True
            return None
        units: tuple[str, ...] = ()
        if not self.population:
            units = tuple(
                unit.key for unit in self.question.units(self.question.changes(parameters))
            )
        self.record.started(number, parameters, units)
        self.trials[number] = Trial(number, parameters, parameters, units)
        return self.trials[number]

    @property
    def population(self) -> bool:
        """Whether PBT changes parameters on the way."""
        return self.question.space.scheduler.name == "pbt"

    def configured(self, number: int, parameters: dict[str, Any]) -> str:
        """What Tune's configuration of a trial says of it, as JSON."""
        units = self.question.units(self.question.changes(parameters))
        return json.dumps(
            {
                "number": number,
                "parameters": parameters,
                "units": [unit.key for unit in units],
                "pretraining": units[0].config,
                "evaluation": units[1].config,
                "reported": self.trials[number].epoch,
            }
        )

    def stopped(self, number: int) -> None:
        """The scheduler has stopped a trial."""
        self.record.ended(number, "stopped")

    def over(self, number: int, error: bool) -> None:
        """Tune lets go of a trial: it has ended, or was interrupted."""
        if error:
            check_session()  # what dies with Ray has not failed
        trial = self.record.trial(number)
        if error and trial.state == "unfinished":
            self.record.ended(number, "failed", "the worker process died")
            trial.state, trial.reason = "failed", "the worker process died"
        self.trials[number] = trial
        if trial.state != "unfinished" and number not in self.tried:
            self.tried.add(number)
            self._drawer.ended(trial)
            self.listener.ended(trial)


def _ended(trial: Trial) -> bool:
    return trial.state not in ("unfinished", "failed")


class _Suggestions(Searcher):  # type: ignore[misc]
    """The search algorithm, as Tune sees it."""

    def __init__(self, desk: _Desk, scheduler: Any) -> None:
        super().__init__(metric="value", mode="max")
        self._desk, self._scheduler = desk, scheduler
        self._number_of: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles it for a restore that is never used

    def suggest(self, trial_id: str) -> Any:
        trial = self._desk.next()
        if trial is None:
            return Searcher.FINISHED
        self._number_of[trial_id] = trial.number
        if isinstance(self._scheduler, Asha):
            self._scheduler.remember(trial, trial_id)
        return {"trial": self._desk.configured(trial.number, trial.parameters)}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """What has become of the trial stands in the record."""
        self._desk.over(self._number_of[trial_id], error)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the record is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the record is the truth."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the record is the truth."""


class _Relay(tune.Callback):  # type: ignore[misc]
    """Passes Tune's events on."""

    def __init__(self, desk: _Desk) -> None:
        self._desk = desk

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles it for a restore that is never used

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._desk.listener.started(self._desk.trials[number_of(trial)])

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any
    ) -> None:
        if "value" in result:
            report = Report(result["epoch"], result["value"], result["time_this_iter_s"])
            self._desk.listener.reported(number_of(trial), report)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._desk.over(number_of(trial), error=False)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._desk.over(number_of(trial), error=True)

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        """Ray waits for ever for a process of its own that has died."""
        check_session()


def run_trials(
    question: Question,
    record: Record,
    trials: int,
    results: Path,
    resources: Resources,
    listener: Listener,
) -> bool:
    """Run the trials that are new or have not ended.

    Args:
        question: what is searched.
        record: what is known, and where what is learnt is written.
        trials: how many there shall be in all.
        results: where the units are.
        resources: what a trial may take.
        listener: is told how it goes.

    Returns:
        False if it was interrupted (Ctrl-C) before all had been tried.

    Raises:
        UserError: if the cluster can never give what a trial asks.
    """
    tried: set[int] = set()

    def session() -> bool:
        desk = _Desk(question, record, trials, listener, tried)
        return _run_session(desk, results, resources)

    return restarting(session, listener.waiting)


def _run_session(desk: _Desk, results: Path, resources: Resources) -> bool:
    """:func:`run_trials` as long as Ray lives; ``SessionLostError`` if it dies."""
    question, record = desk.question, desk.record
    desk.tried.update(trial.number for trial in desk.trials.values() if _ended(trial))
    scheduler = make_scheduler(question, desk.stopped, desk.configured)
    if isinstance(scheduler, Asha):
        for number in sorted(desk.tried):
            scheduler.remember(desk.trials[number], f"earlier {number}")
    fixed = {
        "search": str(record.directory.resolve()),
        "results": str(results.resolve()),
        "data": {question.dataset.fingerprint: str(question.dataset.path.resolve())},
        "population": desk.population,
        "every": question.every,
        "metric": question.space.metric,
        "plugins": list(resources.plugins),
        "directory": str(Path.cwd()),  # where the plugins were found here
        "gpu": resources.gpus_per_trial,
        "threads": max(1, int(resources.cpus_per_trial)),
    }
    with (
        warnings.catch_warnings(),
        cluster(resources) as nodes,
        tempfile.TemporaryDirectory(prefix="skelcon-tune-") as scratch,
    ):
        warnings.simplefilter("ignore")  # Ray's own deprecations are not the user's business
        check_fits(resources, nodes)
        fixed["node"] = check_nodes(Store(results), resources, nodes)
        trainable = tune.with_resources(
            TrialTrainable, {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}
        )
        tune.Tuner(
            trainable,
            param_space={**fixed, **_members(desk)},
            tune_config=tune.TuneConfig(
                scheduler=scheduler,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: str(trial.trial_id),
                **_suggestions(desk, scheduler, resources, nodes),
            ),
            run_config=tune.RunConfig(
                name="search",
                storage_path=scratch,
                stop={"done": True},
                callbacks=[_Relay(desk)],
                failure_config=tune.FailureConfig(max_failures=resources.retries),
                checkpoint_config=tune.CheckpointConfig(
                    checkpoint_at_end=False, checkpoint_frequency=0
                ),
                verbose=0,
            ),
        ).fit()
    return desk.tried.issuperset(desk.trials) and (desk.exhausted or not desk.waiting)


def _members(desk: _Desk) -> dict[str, Any]:
    """PBT's population: Tune wants it before it begins, and no search algorithm beside it."""
    if not desk.population:
        return {}
    members = []
    while (trial := desk.next()) is not None:
        members.append(desk.configured(trial.number, trial.parameters))
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(len(members))  # all begin before they exchange
    return {"trial": tune.grid_search(members)}


def _suggestions(
    desk: _Desk, scheduler: Any, resources: Resources, nodes: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    if desk.population:
        return {}
    cpus, gpus = (sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU"))
    slots = int(cpus // resources.cpus_per_trial)
    if resources.gpus_per_trial:
        slots = min(slots, int(gpus / resources.gpus_per_trial))
    return {
        "search_alg": _Suggestions(desk, scheduler),
        "num_samples": desk.waiting,
        # A suggestion is the better the more ends it knows: none is made before it can run.
        "max_concurrent_trials": min(resources.max_concurrent or slots, max(1, slots)),
    }
