"""What Tune reports of a trial, on a disk that fails, and of a worker that dies late."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from unit_helpers import pretraining

from ablation.events import Event
from ablation.interrupts import Interrupt
from ablation.scheduler.queue import Driver, Queue
from ablation.scheduler.resources import Resources
from ablation.scheduler.tune_parts import UnitCallback, UnitSearcher
from ablation.store import Store
from ablation.store.mirror import Mirror
from ablation.store.unit_claims import Claims

UNIT = pretraining()
KEY = UNIT.key


class Silent:
    """A reporter that shows nothing."""

    def report(self, event: Event) -> None: ...


class Run:
    """A run of one unit without retries, which a trial has."""

    def __init__(self, store: Store, claims: Claims) -> None:
        driver = Driver(store, {}, Resources(retries=0), Silent(), Interrupt())
        self.queue = Queue([UNIT], driver, claims)
        config = UnitSearcher(self.queue, driver, None, None).suggest("t")
        assert config["key"] == KEY
        self.trial: Any = SimpleNamespace(
            trial_id="t", config=config, last_result={"unit_done": True}, error_file=None
        )
        self.driver = driver

    def callback(self, mirror: Mirror | None = None) -> UnitCallback:
        """Of a run that has started."""
        return UnitCallback(self.queue, self.driver, mirror)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    store = Store(tmp_path)
    with Claims(store) as claims:
        yield Run(store, claims)


def no_answer(*_: object) -> bool:
    raise OSError(errno.ESTALE, "Stale file handle")


def test_a_unit_whose_worker_dies_after_it_is_done_has_not_failed(run: Run) -> None:
    run.driver.store.finish(KEY)
    run.callback().on_trial_error(0, [], run.trial)
    assert run.queue.finished == {KEY}
    assert not run.queue.failed
    assert not run.driver.store.files(KEY).has("failed.json")


def test_a_disk_that_does_not_answer_at_a_units_end_ends_no_study(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.driver.store.finish(KEY)
    answers = [no_answer, Store.is_done]

    def is_done(store: Store, key: str) -> bool:
        return (answers.pop(0) if len(answers) > 1 else answers[0])(store, key)

    monkeypatch.setattr(Store, "is_done", is_done)
    run.callback().on_trial_complete(0, [], run.trial)
    assert run.queue.finished == {KEY}


def test_a_disk_that_does_not_answer_at_a_failure_ends_no_study(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "state", no_answer)
    run.callback().on_trial_error(0, [], run.trial)
    assert run.queue.failed == {KEY: "failed: the worker process died"}


@pytest.mark.parametrize("ended", ["on_trial_complete", "on_trial_error"])
def test_a_full_disk_under_the_copy_of_a_uri_ends_no_study(run: Run, ended: str) -> None:
    full = cast(Mirror, SimpleNamespace(fetch=no_answer, fetch_failure=no_answer))
    getattr(run.callback(full), ended)(0, [], run.trial)
    assert not run.queue.failed
    assert not run.queue.exhausted  # it is handed out again
