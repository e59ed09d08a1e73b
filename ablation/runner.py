"""Runs what the store does not hold yet as Ray Tune trials. Ray schedules; the store decides.

A pre-training and the evaluations that need it are trials of one Tune experiment: the search
algorithm hands out a unit as soon as the units that it needs are done.

Importing this module imports Ray (seconds): only a command that has something to run does.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# isort: off
from ablation.cluster_session import check_fits, cluster  # sets what Ray reads, then imports it
# isort: on

from ray import tune
from ray.tune.search import Searcher

from ablation.plan import Unit
from ablation.resources import Listener, Resources
from ablation.store import Store
from ablation.trainables import UnitTrainable


class Queue:
    """The units still to be handed out, each after the units that it needs."""

    def __init__(self, units: list[Unit], is_done: Callable[[str], bool]) -> None:
        self._waiting = list(units)
        self._done = {key for unit in units for key in unit.needs if is_done(key)}
        self._failed: set[str] = set()

    def next(self) -> Unit | None:
        """A unit that can be run now; evaluations first, so that the table fills early."""
        ready = [unit for unit in self._waiting if self._done.issuperset(unit.needs)]
        if not ready:
            return None
        unit = min(ready, key=lambda unit: unit.kind != "evaluate")
        self._waiting.remove(unit)
        return unit

    def done(self, unit: Unit) -> None:
        """``unit`` is done: what needs it may run."""
        self._done.add(unit.key)

    def fail(self, unit: Unit) -> None:
        """``unit`` failed: what needs it never runs."""
        self._failed.add(unit.key)
        self._waiting = [u for u in self._waiting if self._failed.isdisjoint(u.needs)]

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to hand out, now or later."""
        return not self._waiting


class _Unpickled:
    """Tune pickles what it is given, for a restore that is never used: nothing of it is kept."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _UnitSearcher(_Unpickled, Searcher):  # type: ignore[misc]
    """The search algorithm that hands out units whose needs are met."""

    def __init__(self, queue: Queue, store: Store) -> None:
        super().__init__(metric="epoch", mode="max")
        self._queue, self._store = queue, store
        self._unit_of: dict[str, Unit] = {}

    def suggest(self, trial_id: str) -> Any:
        unit = self._queue.next()
        if unit is None:
            return Searcher.FINISHED if self._queue.exhausted else None
        self._unit_of[trial_id] = unit
        return {"unit": json.dumps(unit.config), "key": unit.key}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        unit = self._unit_of[trial_id]
        if self._store.is_done(unit.key):
            self._queue.done(unit)
        elif error or (result or {}).get("done"):
            self._queue.fail(unit)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store is the record."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the store is the record."""


class _Relay(_Unpickled, tune.Callback):  # type: ignore[misc]
    """Passes Tune's events on to the listener."""

    def __init__(self, units: dict[str, Unit], store: Store, listener: Listener) -> None:
        self._units, self._store, self._listener = units, store, listener
        self.tried: set[str] = set()

    def _unit(self, trial: Any) -> Unit:
        return self._units[trial.config["key"]]

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._listener.started(self._unit(trial))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any
    ) -> None:
        self._listener.progressed(self._unit(trial), result)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        unit = self._unit(trial)
        if self._store.is_done(unit.key):
            self.tried.add(unit.key)
            self._listener.finished(unit)
        elif trial.last_result.get("done"):
            self._store.fail(
                unit.key,
                "failed: it ended where the driver does not see it: --results must be a path that "
                "all nodes share",
            )
            self.on_trial_error(iteration, trials, trial, **info)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        unit = self._unit(trial)
        self.tried.add(unit.key)
        directory = self._store.directory(unit.key)
        if self._store.state(unit.key) != "failed":
            directory.mkdir(parents=True, exist_ok=True)
            self._store.fail(unit.key, "failed: the worker process died")
        self._listener.failed(unit, self._store.failure(unit.key), directory / "log.txt")


def run_units(
    units: list[Unit],
    store: Store,
    data: Mapping[str, Path],
    resources: Resources,
    listener: Listener,
) -> bool:
    """Run ``units``, each after those it needs, and record failures in the store.

    Args:
        units: what is missing, in any order.
        store: where the results go.
        data: fingerprint -> packed data set.
        resources: what a trial may take.
        listener: is told how it goes.

    Returns:
        False if it was interrupted (Ctrl-C) before all units had been tried.

    Raises:
        UserError: if the cluster can never give what a trial asks.
    """
    by_key = {unit.key: unit for unit in units}
    relay = _Relay(by_key, store, listener)
    with (
        warnings.catch_warnings(),
        cluster(resources) as total,
        tempfile.TemporaryDirectory(prefix="skelcon-tune-") as scratch,
    ):
        warnings.simplefilter("ignore")  # Ray's own deprecations are not the user's business
        check_fits(resources, total)
        trainable = tune.with_resources(
            UnitTrainable, {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}
        )
        tune.Tuner(
            trainable,
            param_space={
                "results": str(store.results.resolve()),
                "data": {key: str(path.resolve()) for key, path in data.items()},
                "plugins": list(resources.plugins),
                "directory": str(Path.cwd()),  # where the plugins were found here
                "gpu": resources.gpus_per_trial > 0,
                "threads": max(1, int(resources.cpus_per_trial)),
            },
            tune_config=tune.TuneConfig(
                search_alg=_UnitSearcher(Queue(units, store.is_done), store),
                num_samples=len(units),
                max_concurrent_trials=resources.max_concurrent,
                reuse_actors=True,
                trial_dirname_creator=_trial_id,
            ),
            run_config=tune.RunConfig(
                name="units",
                storage_path=scratch,
                stop={"done": True},
                callbacks=[relay],
                failure_config=tune.FailureConfig(max_failures=resources.retries),
                checkpoint_config=tune.CheckpointConfig(
                    checkpoint_at_end=False, checkpoint_frequency=0
                ),
                verbose=0,
            ),
        ).fit()
    blocked = {u.key for u in units if any(store.state(k) == "failed" for k in u.needs)}
    return all(key in relay.tried or key in blocked for key in by_key)


def _trial_id(trial: Any) -> str:
    return str(trial.trial_id)
