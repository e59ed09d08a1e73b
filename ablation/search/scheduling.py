"""Tune's schedulers, as a search uses them: ASHA that is told of the past, PBT within bounds.

Importing this module imports Ray.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)

from ablation.search.draws import explored
from ablation.search.question import DEFAULT, Question
from ablation.search.record import Trial
from skelcon.seeding import derive


def number_of(trial: Any) -> int:
    """Our number of one of Tune's trials."""
    return int(json.loads(trial.config["trial"])["number"])


class Asha(ASHAScheduler):  # type: ignore[misc]
    """Asynchronous successive halving; the default's trial is never stopped, to compare with.

    Args:
        question: what is searched.
        stopped: is told the number of a trial when it is stopped.
    """

    def __init__(self, question: Question, stopped: Callable[[int], None]) -> None:
        options = question.space.scheduler
        super().__init__(
            time_attr="epoch",
            metric="value",
            mode="max",
            max_t=question.epochs,
            grace_period=min(question.epochs, options.grace * question.every),
            reduction_factor=options.reduction,
        )
        self._stopped, self._epochs = stopped, question.epochs

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles it for a restore that is never used

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Stop the trial, or let it go on."""
        action = str(super().on_trial_result(tune_controller, trial, result))
        if action != TrialScheduler.STOP or result["epoch"] >= self._epochs:
            return action
        if number_of(trial) == DEFAULT:
            return str(TrialScheduler.CONTINUE)
        self._stopped(number_of(trial))
        return action

    def remember(self, trial: Trial, name: str) -> None:
        """Let what ``trial`` has reported in an earlier command count, as Tune's ``name``."""
        told = SimpleNamespace(trial_id=name)
        self.on_trial_add(None, told)
        for report in trial.reports:
            super().on_trial_result(None, told, {"epoch": report.epoch, "value": report.value})


class Pbt(PopulationBasedTraining):  # type: ignore[misc]
    """Population based training: all members wait for each other before they exchange.

    Args:
        question: what is searched.
        configured: number and parameters -> what a trial's configuration holds.
    """

    _next_perturbation_sync: float

    def __init__(
        self, question: Question, configured: Callable[[int, dict[str, Any]], str]
    ) -> None:
        options = question.space.scheduler
        super().__init__(
            time_attr="epoch",
            metric="value",
            mode="max",
            perturbation_interval=options.interval * question.every,
            quantile_fraction=options.quantile,
            custom_explore_fn=_unused,
            log_config=False,
            require_attrs=False,
            synch=True,
        )
        self._question, self._configured = question, configured
        random.seed(derive(question.space.seed, "whom to copy"))  # Tune draws from the global one

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles it for a restore that is never used

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Nobody waits for a member that is over (done, diverged)."""
        super().on_trial_complete(tune_controller, trial, result)
        self._wait_no_longer(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Nobody waits for a member that has failed."""
        super().on_trial_error(tune_controller, trial)
        self._wait_no_longer(tune_controller, trial)

    def _wait_no_longer(self, tune_controller: Any, gone: Any) -> None:
        """Let the others go on if ``gone`` was the last that they waited for.

        (Tune lets them wait for ever: it only looks when a member reports. This exchange is left
        out.)
        """
        others = [trial for trial in tune_controller.get_live_trials() if trial is not gone]
        times = [self._trial_state[trial].last_train_time for trial in others]
        if times and min(times) >= self._next_perturbation_sync:
            self._next_perturbation_sync = max(times) + self._perturbation_interval

    def _quantiles(self) -> tuple[list[Any], list[Any]]:
        """Who is replaced and who is copied; the default's member stays itself, to compare with."""
        lower, upper = super()._quantiles()
        return [trial for trial in lower if number_of(trial) != DEFAULT], upper

    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[dict[str, Any], Any]:
        """The other's parameters, moved; the number stays the member's own."""
        number, space = number_of(trial), self._question.space
        draws = random.Random(
            derive(space.seed, f"explore {number} {trial.last_result.get('epoch')}")
        )
        copied = json.loads(trial_to_clone.config["trial"])["parameters"]
        parameters = explored(space.space, copied, space.scheduler.resample, draws)
        config = copy.copy(trial_to_clone.config)
        return {**config, "trial": self._configured(number, parameters)}, {}


def _unused(config: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError("this version of Ray Tune does not ask Pbt for a member's new parameters")


def make_scheduler(
    question: Question,
    stopped: Callable[[int], None],
    configured: Callable[[int, dict[str, Any]], str],
) -> Any:
    """The scheduler that the question asks for."""
    if question.space.scheduler.name == "asha":
        return Asha(question, stopped)
    if question.space.scheduler.name == "pbt":
        return Pbt(question, configured)
    return FIFOScheduler()
