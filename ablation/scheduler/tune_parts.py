"""The parts that Tune calls: a searcher that hands out units, a callback and a stopper."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from ablation.events import Progressed, Waiting
from ablation.scheduler.delivery import UNSHARED
from ablation.scheduler.queue import NODE_LOST, OTHERS, Driver, Queue, unwritable
from ablation.scheduler.session import check_session, free_resources, holds_resources
from ablation.scheduler.stopping import WithoutState
from ablation.store.mirror import Mirror, UnreachedError
from ablation.units import Unit
from ablation.work import OUT_OF_MEMORY
from skelcon.config import Json
from skelcon.errors import UserError

# Tune sets a variable for Lightning in its workers: Ray would start new ones for it, in two steps.
# (The constant is private to Tune: where a version has it elsewhere, only time is lost.)
with contextlib.suppress(ImportError, AttributeError):
    from ray.tune.execution.class_cache import DEFAULT_ENV_VARS

    DEFAULT_ENV_VARS.clear()

PENDING_SECONDS = 4.0
"""How long nothing may run before the reason is reported."""
CATCH_UP_SECONDS = 30.0
"""How long a unit that a worker has finished may stay invisible here."""
SHARED = "--results must be a path that all nodes share"


class UnitSearcher(WithoutState, Searcher):  # type: ignore[misc]
    """A search algorithm for Tune: it hands out units whose needs are met.

    Args:
        queue: which unit is next.
        driver: its store gets the unit's directory, its reporter why nothing is handed out.
        mirror: of results at a URI.
        slots: how many units may be handed out at once; None for as many as Tune asks for. (The
            later a sampler is asked, the more trials it knows.)
    """

    def __init__(
        self, queue: Queue, driver: Driver, mirror: Mirror | None, slots: int | None
    ) -> None:
        super().__init__(metric="epoch", mode="max")
        self._queue, self._driver, self._mirror, self._slots = queue, driver, mirror, slots
        self.paused = False
        """Whether nothing more was handed out although something is left."""

    def suggest(self, trial_id: str) -> Any:
        """A trial's configuration; None if there is none at present; FINISHED if none is left."""
        if self._slots is not None and self._queue.running >= self._slots:
            return None
        assignment = None
        try:
            assignment = self._queue.ask()
            if assignment is None:
                if self._queue.waiting_for_others:
                    return self._later(OTHERS)
                return Searcher.FINISHED if self._queue.exhausted else None
            unit = assignment.unit
            self._driver.store.begin(unit.key, unit.to_json(), unit.label)
            if self._mirror:
                self._mirror.hand_out(unit.key)
        except (OSError, UnreachedError) as error:
            if assignment is not None:
                self._queue.stop(assignment.unit)
            return self._later(reason_to_wait(error))
        monitor = self._queue.monitor(unit)
        return {
            "key": unit.key,
            "alone": assignment.alone,
            "gpu": self._driver.resources.gpus_of(unit),
            "monitor": None if monitor is None else monitor.to_json(),
        }

    def _later(self, reason: str) -> Any:
        """Hand nothing out at present.

        With nothing running Tune would wait and not even notice a signal: then the experiment ends,
        and a new one is started.
        """
        if self._queue.running:
            return None
        self._driver.reporter.report(Waiting(reason))
        self.paused = True
        return Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, **info: Any) -> None:
        """Does nothing: :class:`UnitCallback` gets the same, and the cause of an error."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Does nothing: the store is the record."""


class UnitCallback(WithoutState, tune.Callback):  # type: ignore[misc]
    """Passes Tune's events on to the queue and the reporter."""

    def __init__(self, queue: Queue, driver: Driver, mirror: Mirror | None) -> None:
        self._queue, self._driver, self._mirror = queue, driver, mirror
        self._store, self._reporter = driver.store, driver.reporter
        self._started: set[str] = set()
        self._idle_since: float | None = None

    def _unit(self, trial: Any) -> Unit:
        return self._queue.units[trial.config["key"]]

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A worker has started the trial."""
        self._started.add(trial.trial_id)
        self._queue.started(self._unit(trial))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any
    ) -> None:
        """The trial has worked for about a second."""
        progress = (result[name] for name in ("epoch", "loss", "samples_per_s"))
        self._reporter.report(Progressed(self._unit(trial), *progress))

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """The trial has ended: its unit is done if the store says so too; else it was stopped."""
        unit = self._ended(trial)
        # (Tune sets "done" for a trial that is stopped as well.)
        if not trial.last_result.get("unit_done"):
            return self._queue.stop(unit)
        try:
            if self._mirror:
                self._mirror.fetch([unit.key])
        except (UnreachedError, OSError) as error:
            return self._retry_later(unit, error)
        if self._appears(unit):
            return self._queue.done(unit)
        self._fail(unit, f"failed: it ended where the driver does not see it: {SHARED}")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """The trial has failed, or its worker has died."""
        check_session()  # what dies with Ray has not failed
        unit = self._ended(trial)
        try:
            if self._mirror:
                self._mirror.fetch_failure(unit.key)
        except (UnreachedError, OSError) as error:
            return self._retry_later(unit, error)
        store, key = self._store, unit.key
        # Half a file, of a disk that is full; or a disk that does not answer.
        with contextlib.suppress(UserError, OSError):
            state = store.state(key)
            if state == "done":  # its worker has died since
                return self._queue.done(unit)
            if state == "failed":
                return self._fail(unit, store.failure(key), store.failed_for_good(key))
        self._fail(unit, reason_of_death(trial))

    def _ended(self, trial: Any) -> Unit:
        """The unit of a trial that has ended."""
        self._started.discard(trial.trial_id)
        # Tune keeps all trials, each with a history of all its metrics: most of the memory. (This
        # is private to Tune: where a version has it elsewhere, only memory is lost.)
        kept = getattr(trial, "run_metadata", None)
        if kept is not None:
            kept.metric_analysis, kept.metric_n_steps = {}, {}
        return self._unit(trial)

    def _retry_later(self, unit: Unit, error: UnreachedError | OSError) -> None:
        """Take ``unit`` back: the URI of the results or their copy here cannot be used now."""
        self._queue.stop(unit)
        if not self._queue.running:
            self._reporter.report(Waiting(reason_to_wait(error)))

    def _appears(self, unit: Unit) -> bool:
        """Whether the unit is done here too: a network file system may show it a moment late."""
        until = time.monotonic() + CATCH_UP_SECONDS
        while True:
            with contextlib.suppress(OSError):
                if self._store.is_done(unit.key):
                    return True
                list(self._store.directory(unit.key).iterdir())  # makes the file system look again
            if time.monotonic() > until:
                return False
            time.sleep(0.5)

    def _fail(self, unit: Unit, reason: str, deterministic: bool = False) -> None:
        with contextlib.suppress(OSError):  # of a disk that is full: the table says so too
            self._store.fail(unit.key, reason, deterministic=deterministic)
        self._queue.fail(unit, reason, deterministic=deterministic)

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        """Report why nothing runs, if nothing has for some seconds."""
        check_session()
        now = time.monotonic()
        if self._started or not self._queue.running:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since > PENDING_SECONDS:
            self._idle_since = now
            if not holds_resources():  # else its worker is starting
                asked = self._driver.resources.in_words
                reason = f"a trial requests {asked}; {free_resources()}"
                self._reporter.report(Waiting(reason))


def reason_to_wait(error: UnreachedError | OSError) -> str:
    """Why nothing is handed out at present."""
    return unwritable(error) if isinstance(error, OSError) else str(error)


def reason_of_death(trial: Any) -> str:
    """Why a worker ended, where it has not recorded a failure itself."""
    text = ""
    with contextlib.suppress(OSError, TypeError):  # (get_error() reads where it is copied later)
        text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    if "OutOfMemoryError" in text or "memory pressure" in text:
        return OUT_OF_MEMORY
    if UNSHARED in text:
        return f"failed: its worker does not see the results directory: {SHARED}"
    if UnreachedError.__name__ in text:
        return "failed: its worker does not reach the URI of --results"
    # A node reports at once when a single process of it has died.
    if "node has died" in text or "is unavailable" in text:
        return NODE_LOST
    lines = text.strip().splitlines()
    if lines and "died" not in text:  # an error that the worker could not write to the disk
        return f"failed: {lines[-1][:200]}"
    return "failed: the worker process died"


class Stop(WithoutState, tune.Stopper):  # type: ignore[misc]
    """A trial ends when its unit is done or pruned; all do after a failure that ends the run."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def __call__(self, trial_id: str, result: Json) -> bool:
        """Whether the unit is done or pruned."""
        if result["value"] is not None:
            unit = self._queue.units[result["key"]]
            if self._queue.tell(unit, result["epoch"], result["value"]):
                return True
        return bool(result["unit_done"])

    def stop_all(self) -> bool:
        """Whether all trials are to end."""
        return self._queue.stopped
