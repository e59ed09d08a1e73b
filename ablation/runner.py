"""Runs what the store does not hold yet as Ray Tune trials. Ray schedules; the store decides.

A pre-training and the evaluations that need it are trials of one Tune experiment: the search
algorithm hands out a unit as soon as the units that it needs are done.

Importing this module imports Ray (seconds): only a command that has something to run does.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# isort: off
from ablation.cluster_session import (  # sets what Ray reads, then imports it
    check_session,
    cluster,
    free_resources,
    holds_resources,
    restarting,
)
# isort: on

from ray import tune
from ray.tune.search import Searcher

from ablation.claims import Claims
from ablation.mirror import Mirror, mirror_at
from ablation.nodes import check_nodes
from ablation.plan import Unit
from ablation.queue import NODE_LOST, NODES_LOST, Queue
from ablation.resources import Listener, Resources, check_fits
from ablation.store import Store
from ablation.trainables import UNSHARED, UnitTrainable
from ablation.work import OUT_OF_MEMORY

PENDING_SECONDS = 4.0
"""How long nothing may run before it is said why."""
SHARED = "--results must be a path that all nodes share"


class _Unpickled:
    """Tune pickles what it is given, for a restore that is never used: nothing of it is kept."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _UnitSearcher(_Unpickled, Searcher):  # type: ignore[misc]
    """The search algorithm that hands out units whose needs are met."""

    def __init__(
        self,
        queue: Queue,
        store: Store,
        resources: Resources,
        listener: Listener,
        mirror: Mirror | None,
    ) -> None:
        super().__init__(metric="epoch", mode="max")
        self._queue, self._store, self._listener = queue, store, listener
        self._resources, self._mirror = resources, mirror

    def suggest(self, trial_id: str) -> Any:
        offer = self._queue.next()
        if offer is None:
            if self._queue.waiting_for_others:
                self._listener.waiting("the units that are left are another run's at present")
            return Searcher.FINISHED if self._queue.exhausted else None
        self._store.begin(offer.unit.key, offer.unit.config)
        if self._mirror:
            self._mirror.hand_out(offer.unit.key)
        gpus = self._resources.gpus_of(offer.unit)
        return {"key": offer.unit.key, "alone": offer.alone, "gpu": gpus}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: :class:`_Relay` is told the same, and of what the trial died."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store is the record."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the store is the record."""


class _Relay(_Unpickled, tune.Callback):  # type: ignore[misc]
    """Passes Tune's events on to the queue and the listener."""

    def __init__(
        self,
        units: dict[str, Unit],
        queue: Queue,
        store: Store,
        listener: Listener,
        asks: str,
        mirror: Mirror | None,
    ) -> None:
        self._units, self._queue, self._store = units, queue, store
        self._listener, self._asks, self._mirror = listener, asks, mirror
        self._started: set[str] = set()
        self._idle_since: float | None = None

    def _unit(self, trial: Any) -> Unit:
        return self._units[trial.config["key"]]

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._started.add(trial.trial_id)
        self._listener.started(self._unit(trial))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any
    ) -> None:
        self._listener.progressed(self._unit(trial), result)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        unit = self._unit(trial)
        self._started.discard(trial.trial_id)
        if self._mirror and trial.last_result.get("done"):
            self._mirror.fetch([unit.key])
        if self._store.is_done(unit.key):
            self._queue.done(unit)
            self._listener.finished(unit)
        elif trial.last_result.get("done"):
            self._fail(unit, f"failed: it ended where the driver does not see it: {SHARED}")
        else:
            self._queue.interrupt(unit)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        check_session()  # what dies with Ray has not failed
        unit = self._unit(trial)
        self._started.discard(trial.trial_id)
        if self._mirror:
            self._mirror.fetch_failure(unit.key)
        if self._store.state(unit.key) == "failed":
            self._fail(unit, self._store.failure(unit.key))
        else:
            self._fail(unit, _reason_of_death(trial))

    def _fail(self, unit: Unit, reason: str) -> None:
        with contextlib.suppress(OSError):  # of a disk that is full: the table says so too
            self._store.fail(unit.key, reason)
        verdict = self._queue.fail(unit, reason)
        self._listener.failed(unit, reason, self._store.directory(unit.key) / "log.txt", verdict)

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        """Say why nothing runs, if nothing has for some seconds."""
        check_session()
        now = time.monotonic()
        if self._started or not self._queue.handed_out:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since > PENDING_SECONDS:
            self._idle_since = now
            if not holds_resources():  # else its worker is starting
                self._listener.waiting(f"a trial asks {self._asks}; {free_resources()}")


def _reason_of_death(trial: Any) -> str:
    """Why a worker ended that left no word itself."""
    text = ""
    with contextlib.suppress(OSError, TypeError):  # (get_error() looks where it is copied later)
        text = Path(trial.error_file).read_text()
    if "OutOfMemoryError" in text or "memory pressure" in text:
        return OUT_OF_MEMORY
    if UNSHARED in text:
        return f"failed: its worker does not see the results directory: {SHARED}"
    # Of a single process that has died its node tells at once.
    if "node has died" in text or "is unavailable" in text:
        return NODE_LOST
    return "failed: the worker process died"


class _Stop(tune.Stopper):  # type: ignore[misc]
    """A trial ends when its unit is done; all do after a failure that is to end the run."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return bool(result["done"])

    def stop_all(self) -> bool:
        return self._queue.stopped

    def __getstate__(self) -> dict[str, Any]:
        return {}


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

    def session() -> bool:
        missing = [unit for unit in units if not store.is_done(unit.key)]
        return _run_session(missing, store, data, resources, listener)

    return restarting(session, listener.waiting)


def _run_session(
    units: list[Unit],
    store: Store,
    data: Mapping[str, Path],
    resources: Resources,
    listener: Listener,
) -> bool:
    """:func:`run_units` as long as Ray lives; ``SessionLostError`` if it dies."""
    with (
        warnings.catch_warnings(),
        cluster(resources) as nodes,
        tempfile.TemporaryDirectory(prefix="skelcon-tune-") as scratch,
        Claims(store) as claims,
    ):
        warnings.simplefilter("ignore")  # Ray's own deprecations are not the user's business
        check_fits(resources, nodes)
        node = check_nodes(store, resources, nodes)
        queue = Queue(
            units, store, claims, retries=resources.retries, fail_fast=resources.fail_fast,
            elsewhere=listener.finished,
        )  # fmt: skip
        mirror = mirror_at(resources.mirror) if resources.mirror else None
        by_key = {unit.key: unit for unit in units}
        relay = _Relay(by_key, queue, store, listener, resources.asks, mirror)

        def asked(config: Mapping[str, Any]) -> dict[str, float]:
            return resources.of_trial(config["gpu"], nodes, alone=config["alone"])

        tune.Tuner(
            tune.with_resources(UnitTrainable, asked),
            param_space={
                "results": str(store.results.resolve()),
                "mirror": resources.mirror,
                "data": {key: str(path.resolve()) for key, path in data.items()},
                "node": node,
                "plugins": list(resources.plugins),
                "directory": str(Path.cwd()),  # where the plugins were found here
                "threads": max(1, int(resources.cpus_per_trial)),
                "checkpoints": resources.checkpoints,
            },
            tune_config=tune.TuneConfig(
                search_alg=_UnitSearcher(queue, store, resources, listener, mirror),
                num_samples=len(units) * (resources.retries + NODES_LOST + 2),  # at most
                max_concurrent_trials=resources.max_concurrent,
                reuse_actors=True,
                trial_dirname_creator=_trial_id,
            ),
            run_config=tune.RunConfig(
                name="units",
                storage_path=scratch,
                stop=_Stop(queue),
                callbacks=[relay],
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(
                    checkpoint_at_end=False, checkpoint_frequency=0
                ),
                verbose=0,
            ),
        ).fit()
        return queue.exhausted


def _trial_id(trial: Any) -> str:
    return str(trial.trial_id)
