"""A signal ends a Tune experiment: each trial saves what it has trained, within a limit.

Tune's own way has other limits, and no option for them: it waits ten seconds for a trial in the
middle of an epoch, ends one that writes a checkpoint for longer than that, and waits for workers
that are just starting.

Importing this module imports Ray Tune (a second).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ray
from ray import tune
from ray.tune.error import TuneError

from ablation.interrupts import ENDING_SECONDS, WRITING_SECONDS, Interrupt
from ablation.scheduler.session import check_session, started_here
from skelcon.config import Json
from skelcon.errors import UserError


class WithoutState:
    """Tune pickles what it is given, for a restore that is never used: nothing of it is kept."""

    def __getstate__(self) -> Json:
        return {}


class InterruptionError(BaseException):
    """Ends an experiment. Tune cleans up after an ``Exception`` alone."""


class ClusterInterruptionError(Exception):
    """Ends an experiment on a Ray that goes on: there Tune has to clean up."""


def fit(tuner: tune.Tuner) -> None:
    """Run an experiment until it ends or a signal ends it (:class:`SaveOnSignal`).

    Raises:
        SessionLostError: if its Ray has died.
        UserError, OSError: if a part that Tune calls raised it.
    """
    try:
        tuner.fit()
    except (InterruptionError, ClusterInterruptionError):
        pass
    except Exception as error:
        check_session()  # Tune wraps what its callbacks raise, or notices it in a way of its own
        if isinstance(error, TuneError) and isinstance(error.__context__, UserError | OSError):
            raise error.__context__ from None
        raise


class SaveOnSignal(WithoutState, tune.Callback):  # type: ignore[misc]
    """After a signal has all running trials save what they have trained; then ends the experiment.

    Raises:
        InterruptionError, ClusterInterruptionError: when they have, or their time is over.
    """

    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt

    def on_step_end(self, iteration: int, trials: Iterable[Any], **info: Any) -> None:
        """Called by Tune ten times a second at least."""
        if self._interrupt.requested:
            save(trials, self._interrupt)
            raise InterruptionError if started_here() else ClusterInterruptionError


def save(trials: Iterable[Any], interrupt: Interrupt) -> None:
    """Have the running ones of Tune's ``trials`` save what they have trained; kill the others.

    `ablation.interrupts` says how long they have.
    """
    # (This is private to Tune: where a version has it elsewhere, only checkpoints are kept that
    # have been written before.)
    states = [trial.temporary_state for trial in trials if trial.status == "RUNNING"]
    actors = [actor for state in states if (actor := getattr(state, "ray_actor", None))]
    # An actor answers one call after another: it is ready when its epoch has ended.
    ready = {actor.__ray_ready__.remote(): actor for actor in actors}
    writes = {actor: actor.cleanup.remote() for actor in actors}
    writing = {writes[ready[call]] for call in _returned(ready, _seconds_of(interrupt))}
    written = _returned(writing, _seconds_of(interrupt) + WRITING_SECONDS)
    for actor, call in writes.items():
        if call not in written:
            ray.kill(actor)


def _seconds_of(interrupt: Interrupt) -> float:
    """What trials have until only :data:`ENDING_SECONDS` are left."""
    return max(0.0, interrupt.seconds_left - ENDING_SECONDS)


def _returned(calls: Iterable[Any], seconds: float) -> set[Any]:
    """The calls that have returned, or failed, within ``seconds``."""
    waiting = list(calls)
    if not waiting:
        return set()
    return set(ray.wait(waiting, num_returns=len(waiting), timeout=seconds)[0])
