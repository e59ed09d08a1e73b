"""Population based training: members that copy the best and change parameters while they train.

All members train on the first fold of the cross-validation only: members copy weights from each
other, and weights of another fold were trained on the clips that this fold holds out.

A member is not a unit, as no configuration describes it: its last checkpoint is in its own
directory, ``trials/<number>``. Ray Tune's scheduler decides which member copies which.

Importing this module imports Ray (seconds): only a search that has something to run does.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

# isort: off
from ablation.scheduler.session import (  # sets what Ray reads
    check_session,
    cluster,
    leaving_quickly,
    restarting,
)
# isort: on

import torch
from ray import tune
from ray.tune.schedulers import PopulationBasedTraining

from ablation.interrupts import Interrupt
from ablation.scheduler.delivery import data_at
from ablation.scheduler.monitored import validate
from ablation.scheduler.nodes import check_nodes
from ablation.scheduler.queue import Monitor
from ablation.scheduler.resources import Resources, check_fits
from ablation.scheduler.stopping import SaveOnSignal, WithoutState, fit
from ablation.scheduler.tune_parts import reason_of_death
from ablation.search.events import TrialEvents
from ablation.search.problem import DEFAULT, SearchProblem
from ablation.search.record import SearchRecord, State
from ablation.store import Store
from ablation.store.unit_files import CHECKPOINT
from ablation.units import PretrainUnit, read_unit
from ablation.work import cap_memory, prepare
from ablation.work.checkpoints import CheckpointPolicy, Checkpoints
from ablation.work.failures import is_of_the_machine, log
from ablation.work.kinds import bank_of, pretraining_of
from skelcon.config import Json
from skelcon.plugins import load_plugins
from skelcon.pretrain import Pretraining
from skelcon.pretrain.distributed import SINGLE
from skelcon.seeding import derive

PENDING = "TUNE_MAX_PENDING_TRIALS_PG"

# A member that diverges has no value to report.
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")


class Member(tune.Trainable):  # type: ignore[misc]
    """A member as a Ray Tune trainable, which Tune moves from worker to worker.

    ``config``: ``member`` (as JSON: number, parameters, unit and monitor), ``search`` (the search's
    directory), ``data`` (its fingerprint -> path) and the ``node`` to fetch it from where that is
    not seen, ``plugins``, ``directory`` (to look for these), ``gpu`` and ``threads``.
    """

    def setup(self, config: Json) -> None:
        """Called once per worker; training starts with the first step."""
        prepare(config["threads"])
        self._device = "cuda" if config["gpu"] and torch.cuda.is_available() else "cpu"
        if self._device == "cuda":
            cap_memory(config["gpu"])
        self.reset_config(config)

    def reset_config(self, new_config: Json) -> bool:
        """Take another member in this process, or the same with other parameters."""
        self._training: Pretraining | None = None
        self._state: Json | None = None
        self._settings, self._member = new_config, json.loads(new_config["member"])
        self._validation = Monitor.from_json(self._member["monitor"])
        name = f"{self._member['number']:04d}"
        self._directory = Path(new_config["search"]) / "trials" / name
        self._checkpoints = Checkpoints(self._directory, CheckpointPolicy())
        return True

    def step(self) -> Json:
        """Train to the next evaluation, and write a checkpoint."""
        found: Json = {"parameters": self._member["parameters"]}
        try:
            training = self._training = self._training or self._start()
            while not training.done:
                training.run_epoch()
                if training.epoch % self._validation.every == 0:
                    break
            value = validate(training, self._validation, self._dataset)
        except FloatingPointError as error:
            # A result of these parameters, not a failure.
            self._training = None
            return {**found, "done": True, "diverged": str(error)}
        self._checkpoints.save(training.state_dict(), training.epoch)
        return {**found, "epoch": training.epoch, "value": value, "done": training.done}

    def _start(self) -> Pretraining:
        """The member's training, with the state from Tune, or else from its last checkpoint."""
        settings = self._settings
        load_plugins(settings["plugins"], Path(settings["directory"]))
        ((fingerprint, path),) = settings["data"].items()
        data = data_at(fingerprint, Path(path), settings["node"])
        unit = read_unit(self._member["unit"])
        assert isinstance(unit, PretrainUnit)
        self._dataset, bank = bank_of(unit.side, data, self._device)
        training = pretraining_of(unit, self._dataset, bank, SINGLE)
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._state is not None:
            _load(training, self._state)
            return training
        try:
            state = self._checkpoints.read(bank.device)
            if state is not None:
                _load(training, state)
        except Exception as error:  # of any kind, if the file is damaged
            if is_of_the_machine(error):
                raise  # the checkpoint stays for the next attempt
            log(self._directory, f"checkpoint unusable ({error!r}); training starts from scratch")
            training = pretraining_of(unit, self._dataset, bank, SINGLE)
        return training

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Hand the state over to Tune."""
        if self._training is not None:
            torch.save(self._training.state_dict(), Path(checkpoint_dir) / CHECKPOINT)

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Take the state of this or another member."""
        path = Path(checkpoint) / CHECKPOINT
        if path.exists():
            self._state = torch.load(path, map_location=self._device, weights_only=True)
            self._training = None


def _load(training: Pretraining, state: Json) -> None:
    """Continue from ``state``, with the settings of ``training``."""
    # The state holds the optimiser's settings too.
    optimiser = training.config.optimiser
    for group in state["optimiser"]["param_groups"]:
        group["weight_decay"] = optimiser.weight_decay
        if "momentum" in group:
            group["momentum"] = optimiser.momentum
    training.load_state_dict(state)


class Pbt(WithoutState, PopulationBasedTraining):  # type: ignore[misc]
    """Tune's scheduler; the members wait for each other before they exchange.

    It overrides private methods, as Tune has no public way to stop waiting for a member that has
    ended, to keep the default's member as it is, and to change parameters within their bounds. In a
    version that does not call the method for the last of these, ``_unused`` raises an error.
    ``config_of`` gives ``config["member"]`` for a number and parameters.
    """

    _next_perturbation_sync: float

    def __init__(self, problem: SearchProblem, config_of: Callable[[int, Json], str]) -> None:
        options = problem.space.scheduler
        super().__init__(
            time_attr="epoch",
            metric="value",
            mode="max",
            perturbation_interval=options.interval * problem.every,
            quantile_fraction=options.quantile,
            custom_explore_fn=_unused,
            log_config=False,
            require_attrs=False,
            synch=True,
        )
        self._space, self._config_of = problem.space, config_of
        random.seed(derive(self._space.seed, "whom to copy"))  # Tune uses the global generator

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Json) -> str:
        """Continue after an exchange also if all members were resumed at the same epoch."""
        decision = str(super().on_trial_result(tune_controller, trial, result))
        self._wait_no_longer(tune_controller)
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: Json) -> None:
        """Do not wait for a member that has ended (done, diverged)."""
        super().on_trial_complete(tune_controller, trial, result)
        self._wait_no_longer(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Do not wait for a member that has failed."""
        super().on_trial_error(tune_controller, trial)
        self._wait_no_longer(tune_controller, trial)

    def _wait_no_longer(self, tune_controller: Any, ended: Any = None) -> None:
        # Tune continues members that are before the next exchange. There are none if ``ended`` was
        # the last that the others waited for (this exchange is left out), or after the first
        # exchange of members that were all resumed at one epoch: Tune takes it for the next one.
        others = [trial for trial in tune_controller.get_live_trials() if trial is not ended]
        times = [self._trial_state[trial].last_train_time for trial in others]
        if times and min(times) >= self._next_perturbation_sync:
            self._next_perturbation_sync = max(times) + self._perturbation_interval

    def _quantiles(self) -> tuple[list[Any], list[Any]]:
        """The members that are replaced, never the default's, and the ones that are copied."""
        lower, upper = super()._quantiles()
        return [trial for trial in lower if number_of(trial) != DEFAULT], upper

    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[Json, Json]:
        """For ``trial`` the parameters of the other, each changed a little or drawn at random."""
        number, epoch = number_of(trial), trial.last_result.get("epoch")
        draws = random.Random(derive(self._space.seed, f"explore {number} {epoch}"))
        copied = json.loads(trial_to_clone.config["member"])["parameters"]
        parameters = {}
        for path, domain in self._space.space.items():
            draw = draws.random() < self._space.scheduler.resample
            if draw or not domain.contains(copied[path]):
                parameters[path] = domain.draw(draws)
            else:
                parameters[path] = domain.neighbour(copied[path], draws)
        return {**trial_to_clone.config, "member": self._config_of(number, parameters)}, {}


def _unused(config: Json) -> Json:
    raise RuntimeError("this version of Ray Tune does not ask Pbt for a member's new parameters")


def number_of(trial: Any) -> int:
    """The number of a member, of Tune's trial."""
    return int(json.loads(trial.config["member"])["number"])


class _Callback(WithoutState, tune.Callback):  # type: ignore[misc]
    """Writes what Tune reports to the record."""

    def __init__(self, record: SearchRecord, reporter: TrialEvents) -> None:
        self._record, self._reporter = record, reporter

    def on_trial_start(self, trial: Any, **info: Any) -> None:
        """A worker has started the member."""
        self._reporter.started(self._record.trial(number_of(trial)))

    def on_trial_result(self, trial: Any, result: Json, **info: Any) -> None:
        """The member has been evaluated, perhaps with other parameters than before."""
        if "value" not in result:
            return
        number = number_of(trial)
        if result["parameters"] != self._record.trial(number).parameters:
            self._record.exchange(number, result["parameters"])
        self._record.report(number, result["epoch"], result["value"], result["time_this_iter_s"])
        self._reporter.progressed(self._record.trial(number))

    def on_trial_complete(self, trial: Any, **info: Any) -> None:
        """The member has ended, or Tune stops it."""
        known, result = self._record.trial(number_of(trial)), trial.last_result
        if known.ended:
            return
        if "diverged" in result:
            self._end(trial, "diverged", result["diverged"])
        elif known.epoch >= self._record.problem.steps:
            self._end(trial, "completed")

    def on_trial_error(self, trial: Any, **info: Any) -> None:
        """The member has failed, or its worker has died."""
        check_session()  # what dies with Ray has not failed
        self._end(trial, "failed", reason_of_death(trial).removeprefix("failed: "))

    def on_step_end(self, **info: Any) -> None:
        """Raise an error if Ray has died, for which Tune would wait without an end."""
        check_session()

    def _end(self, trial: Any, state: State, reason: str = "") -> None:
        number = number_of(trial)
        self._record.end(number, state, reason)
        self._reporter.ended(self._record.trial(number))


def run_population(
    record: SearchRecord,
    store: Store,
    resources: Resources,
    reporter: TrialEvents,
    interrupt: Interrupt,
    say: Callable[[str], None],
) -> bool:
    """Run the members that are new or have not ended.

    If more trials are asked for than the record has, the new ones are a population of their own.
    ``say`` receives why Ray is started again.

    Returns:
        False if it was interrupted before all members had ended.

    Raises:
        UserError: if the cluster can never give what a member requests.
    """
    for trial in record.trials():
        record.retry(trial.number)
    while len(record.trials()) < record.problem.space.trials and not record.exhausted:
        record.ask()

    def session() -> bool:
        with (
            warnings.catch_warnings(),
            # Deleted when Ray has ended: until then Tune may write to it.
            tempfile.TemporaryDirectory("", "skelcon-tune-", ignore_cleanup_errors=True) as scratch,
            cluster(resources, len(record.trials())) as nodes,
        ):
            warnings.simplefilter("ignore")  # Ray's own deprecations are not the user's business
            check_fits(resources, nodes)
            if interrupt.requested:
                return False
            node = check_nodes(store, resources, nodes)
            callbacks = [_Callback(record, reporter), SaveOnSignal(interrupt)]
            _fit(record, resources, node, callbacks, scratch)
        return all(trial.state != "unfinished" for trial in record.trials())

    with leaving_quickly(interrupt):
        return restarting(lambda: not interrupt.requested and session(), say)


def _fit(
    record: SearchRecord,
    resources: Resources,
    node: str | None,
    callbacks: list[tune.Callback],
    scratch: str,
) -> None:
    """Run the members that have not ended with Tune."""
    problem, dataset = record.problem, record.problem.dataset

    def config_of(number: int, parameters: Json) -> str:
        (units,) = problem.units(parameters)
        monitor = Monitor(units.evaluation, problem.space.metric, problem.every)
        values = {"unit": units.pretraining.to_json(), "monitor": monitor.to_json()}
        return json.dumps({"number": number, "parameters": parameters, **values})

    trials = [trial for trial in record.trials() if trial.state == "unfinished"]
    members = [config_of(trial.number, trial.parameters) for trial in trials]
    asked = {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}
    space: Json = {
        "search": str(record.directory.resolve()),
        "data": {dataset.fingerprint: str(dataset.path.resolve())},
        "node": node,
        "plugins": list(resources.plugins),
        "directory": str(Path.cwd()),  # where the plugins were found here
        "gpu": resources.gpus_per_trial,
        "threads": max(1, int(resources.cpus_per_trial)),
        "member": tune.grid_search(members),
    }
    options = tune.TuneConfig(
        scheduler=Pbt(problem, config_of),
        reuse_actors=True,
        trial_dirname_creator=lambda trial: str(trial.trial_id),
    )
    never = tune.CheckpointConfig(checkpoint_at_end=False, checkpoint_frequency=0)
    run = tune.RunConfig(
        name="search",
        storage_path=scratch,
        callbacks=callbacks,
        failure_config=tune.FailureConfig(max_failures=resources.retries),
        checkpoint_config=never,
        verbose=0,
    )
    member = tune.with_resources(Member, asked)
    tuner = tune.Tuner(member, param_space=space, tune_config=options, run_config=run)
    pending = os.environ[PENDING]
    os.environ[PENDING] = str(len(trials))  # all start before they exchange
    try:
        fit(tuner)
    finally:
        os.environ[PENDING] = pending  # a confirmation may follow
