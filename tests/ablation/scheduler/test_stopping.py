"""What a signal does to the trials of an experiment, with stand-ins for Ray's actors."""

from __future__ import annotations

import errno
import threading
import time
from concurrent.futures import Future, wait
from types import SimpleNamespace
from typing import Any, cast

import pytest
import ray
from ray.tune.error import TuneError

from ablation.interrupts import Interrupt
from ablation.scheduler import stopping
from ablation.scheduler.stopping import (
    ClusterInterruptionError,
    InterruptionError,
    SaveOnSignal,
    fit,
)
from skelcon.errors import UserError


class Actor:
    """Answers one call after another, as Ray's do: ``epoch`` is left of its epoch, in seconds."""

    def __init__(self, epoch: float, writing: float = 0.0) -> None:
        self.__ray_ready__ = SimpleNamespace(remote=lambda: _returning(epoch))
        self.cleanup = SimpleNamespace(remote=lambda: _returning(epoch + writing))


def _returning(after: float) -> Future[None]:
    call: Future[None] = Future()
    timer = threading.Timer(after, call.set_result, (None,))
    timer.daemon = True
    timer.start()
    return call


def trial(actor: Actor | None, status: str = "RUNNING") -> Any:
    return SimpleNamespace(status=status, temporary_state=SimpleNamespace(ray_actor=actor))


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[Actor]:
    """The actors that were killed. A command has 0.4 s, 0.1 s of them for its end."""
    found: list[Actor] = []

    def wait_for(calls: list[Future[None]], num_returns: int, timeout: float) -> Any:
        assert num_returns == len(calls)
        done, waiting = wait(calls, timeout)
        return list(done), list(waiting)

    monkeypatch.setattr(ray, "wait", wait_for)
    monkeypatch.setattr(ray, "kill", found.append)
    monkeypatch.setattr("ablation.interrupts.EXIT_SECONDS", 0.4)
    monkeypatch.setattr(stopping, "ENDING_SECONDS", 0.1)
    monkeypatch.setattr(stopping, "WRITING_SECONDS", 1.0)
    return found


def interrupted(*trials: Any) -> float:
    """Seconds that the trials take to end after a signal."""
    start_time = time.monotonic()
    saving = SaveOnSignal(Interrupt(requested=True))
    with pytest.raises((InterruptionError, ClusterInterruptionError)):
        saving.on_step_end(1, trials)
    return time.monotonic() - start_time


def test_a_checkpoint_that_is_being_written_is_waited_for(
    killed: list[Actor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than the command may take otherwise: no training is lost to a slow disk."""
    monkeypatch.setattr("ablation.interrupts.EXIT_SECONDS", 1.0)
    monkeypatch.setattr(stopping, "WRITING_SECONDS", 60.0)
    assert interrupted(trial(Actor(0.1, writing=1.2))) > 1.2
    assert killed == []


def test_an_epoch_that_does_not_end_in_time_is_given_up(killed: list[Actor]) -> None:
    long = Actor(30.0)
    assert interrupted(trial(long), trial(Actor(0.05))) < 5
    assert killed == [long]


def test_a_checkpoint_that_is_never_written_does_not_hold_up_the_end(killed: list[Actor]) -> None:
    stuck = Actor(0.0, writing=60.0)
    assert interrupted(trial(stuck)) < 10
    assert killed == [stuck]


def test_what_does_not_run_is_not_waited_for(
    killed: list[Actor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ablation.interrupts.EXIT_SECONDS", 60.0)
    assert interrupted(trial(None), trial(Actor(30.0), "PENDING")) < 10
    assert killed == []


def test_nothing_happens_without_a_signal(killed: list[Actor]) -> None:
    SaveOnSignal(Interrupt()).on_step_end(1, [trial(Actor(0.0))])
    assert killed == []


@pytest.mark.parametrize("here", [True, False])
def test_tune_cleans_up_where_ray_continues(
    here: bool, killed: list[Actor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tune cleans up after an ``Exception`` only, and waits for workers that are just starting."""
    monkeypatch.setattr(stopping, "started_here", lambda: here)
    with pytest.raises(BaseException) as ended:  # noqa: PT011
        SaveOnSignal(Interrupt(requested=True)).on_step_end(1, [])
    assert isinstance(ended.value, Exception) is not here


@pytest.mark.parametrize("raised", [UserError("a mistake"), OSError(errno.ENOSPC, "No space")])
def test_what_a_part_raises_is_not_hidden_in_an_error_of_tune(raised: Exception) -> None:
    class Wraps:
        def fit(self) -> None:
            try:
                raise raised
            except Exception:
                raise TuneError("a traceback")  # noqa: B904  (as Tune does)

    with pytest.raises(type(raised)) as found:
        fit(cast(Any, Wraps()))
    assert found.value is raised
