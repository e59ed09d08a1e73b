"""What Tune is given: who hands out units, who hears of them and who ends them. The queue decides.

Tune calls these in the driver's thread.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

# isort: off
from ablation.runner.session import (  # sets what Ray reads, then imports it
    check_session,
    free_resources,
    holds_resources,
)
# isort: on

from ray import tune
from ray.tune.search import Searcher

from ablation.plan import Unit
from ablation.runner.queue import NODE_LOST, Queue
from ablation.runner.resources import Listener, Resources
from ablation.runner.trainables import UNSHARED
from ablation.store import Store
from ablation.store.mirror import Mirror, UnreachedError
from ablation.work import OUT_OF_MEMORY
from skelcon.errors import UserError

PENDING_SECONDS = 4.0
"""How long nothing may run before it is said why."""
CATCH_UP_SECONDS = 30.0
"""How long a unit that a worker has done may not be seen here."""
CANNOT_WRITE = "the results directory cannot be written to"
OTHERS = "the units that are left are another run's at present"
SHARED = "--results must be a path that all nodes share"


class _Unpickled:
    """Tune pickles what it is given, for a restore that is never used: nothing of it is kept."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class UnitSearcher(_Unpickled, Searcher):  # type: ignore[misc]
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
        self.paused = False
        """Whether nothing more was handed out although something is left."""

    def suggest(self, trial_id: str) -> Any:
        """What a trial is to run; nothing at present (None); or that nothing is left."""
        try:
            offer = self._queue.next()
        except OSError as error:
            return self._later(f"{CANNOT_WRITE} ({error.strerror or error})")
        if offer is None:
            if self._queue.waiting_for_others:
                return self._later(OTHERS)
            return Searcher.FINISHED if self._queue.exhausted else None
        try:
            self._store.begin(offer.unit.key, offer.unit.config)
            if self._mirror:
                self._mirror.hand_out(offer.unit.key)
        except UnreachedError as error:
            self._queue.interrupt(offer.unit)
            return self._later(str(error))
        except OSError as error:
            self._queue.interrupt(offer.unit)
            return self._later(f"{CANNOT_WRITE} ({error.strerror or error})")
        gpus = self._resources.gpus_of(offer.unit)
        return {"key": offer.unit.key, "alone": offer.alone, "gpu": gpus}

    def _later(self, why: str) -> Any:
        """Hand nothing out at present. With nothing running Tune would hear nothing, Ctrl-C too,
        while it waits: then it is to end, and is started again."""
        if self._queue.handed_out:
            return None
        self._listener.waiting(why)
        self.paused = True
        return Searcher.FINISHED

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: :class:`Relay` is told the same, and of what the trial died."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store is the record."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the store is the record."""


class Relay(_Unpickled, tune.Callback):  # type: ignore[misc]
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
        """A worker has it."""
        self._started.add(trial.trial_id)
        self._listener.started(self._unit(trial))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any
    ) -> None:
        """It has worked for about a second."""
        self._listener.progressed(self._unit(trial), result)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """It has ended: done, if the store says so too; else it was interrupted."""
        unit = self._unit(trial)
        self._over(trial)
        if self._mirror and trial.last_result.get("done"):
            try:
                self._mirror.fetch([unit.key])
            except UnreachedError as error:
                return self._again_later(unit, error)
        if not trial.last_result.get("done"):
            self._queue.interrupt(unit)
        elif self._appears(unit):
            self._queue.done(unit)
            self._listener.finished(unit)
        else:
            self._fail(unit, f"failed: it ended where the driver does not see it: {SHARED}")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """It has failed, or its worker has died."""
        check_session()  # what dies with Ray has not failed
        unit = self._unit(trial)
        self._over(trial)
        if self._mirror:
            try:
                self._mirror.fetch_failure(unit.key)
            except UnreachedError as error:
                return self._again_later(unit, error)
        reason = None
        with contextlib.suppress(UserError):  # half a file, of a disk that is full
            if self._store.state(unit.key) == "failed":
                reason = self._store.failure(unit.key)
        self._fail(unit, reason or _reason_of_death(trial))

    def _over(self, trial: Any) -> None:
        self._started.discard(trial.trial_id)
        # Tune keeps all trials, each with a history of all its metrics: most of the memory. (An
        # inside of Tune's: where a version has it elsewhere only memory is lost.)
        kept = getattr(trial, "run_metadata", None)
        if kept is not None:
            kept.metric_analysis, kept.metric_n_steps = {}, {}

    def _again_later(self, unit: Unit, error: UnreachedError) -> None:
        """Take ``unit`` back, as the URI of the results cannot be reached at present."""
        self._queue.interrupt(unit)
        self._listener.waiting(str(error))

    def _appears(self, unit: Unit) -> bool:
        """Whether the unit is done here too: a network's file system may show it a moment late."""
        until = time.monotonic() + CATCH_UP_SECONDS
        while not self._store.is_done(unit.key):
            if time.monotonic() > until:
                return False
            time.sleep(0.5)
            with contextlib.suppress(OSError):
                list(self._store.directory(unit.key).iterdir())  # has it look again
        return True

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
    if UnreachedError.__name__ in text:
        return "failed: its worker does not reach the URI of --results"
    # Of a single process that has died its node tells at once.
    if "node has died" in text or "is unavailable" in text:
        return NODE_LOST
    lines = text.strip().splitlines()
    if lines and "died" not in text:  # an error, where not even that could be written down
        return f"failed: {lines[-1][:200]}"
    return "failed: the worker process died"


class Stop(tune.Stopper):  # type: ignore[misc]
    """A trial ends when its unit is done; all do after a failure that is to end the run."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether the unit is done."""
        return bool(result["done"])

    def stop_all(self) -> bool:
        """Whether all are to end."""
        return self._queue.stopped

    def __getstate__(self) -> dict[str, Any]:
        return {}
