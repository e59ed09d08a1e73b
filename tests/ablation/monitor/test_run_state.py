"""The state of a run after its events: counts, and the ETA."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from unit_helpers import evaluation, pretraining, progressed

from ablation.costs import forecast
from ablation.events import Failed, Finished, Pruned, Started, Waiting
from ablation.monitor import run_state
from ablation.monitor.run_state import RunState

LOG = Path("log.txt")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (run_state, forecast):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr(run_state, "ETA_SECONDS", 0.0)
    return clock


def test_the_eta_is_from_the_speed_between_two_reports(clock: Clock) -> None:
    units = [pretraining(seed) for seed in range(3)]
    state = RunState("tiny", units, cached=1, slots=2)
    assert state.snapshot().eta_s is None
    state.report(Started(units[0]))
    clock.now += 60  # neither a slow start nor epochs of an earlier run show a speed
    state.report(progressed(units[0], 4))
    assert state.snapshot().eta_s is None
    clock.now += 6
    state.report(progressed(units[0], 6))
    (running,) = state.snapshot().running
    assert (running.unit, running.epoch, running.epochs) == (units[0].key, 6, 10)
    assert running.eta_s == pytest.approx(12)
    assert state.snapshot().eta_s == pytest.approx(12 + 30)  # the other slot is done by then
    clock.now += 12
    state.report(Finished(units[0]))
    now = state.snapshot()
    assert (now.done, now.cached, now.units, now.to_come, now.running) == (2, 1, 4, 2, ())
    assert state.seconds_of(units[0]) == pytest.approx(78)
    assert state.seconds_of(units[1]) is None
    # 30 s of 10 epochs, not the 78 s that passed.
    assert state.snapshot().eta_s == pytest.approx(30)


def test_earlier_results_give_the_eta_before_anything_has_run(clock: Clock) -> None:
    units = [pretraining(0), pretraining(1)]
    estimates = {units[0].key: 40.0, units[1].key: 100.0}
    assert RunState("tiny", units, 0, 1, estimates).snapshot().eta_s == pytest.approx(140)
    state = RunState("tiny", units, 0, 2, estimates)
    assert state.snapshot().eta_s == pytest.approx(100)
    state.report(Started(units[1]))
    clock.now += 30
    assert state.snapshot().eta_s == pytest.approx(70)


def test_what_needs_a_failed_unit_is_not_to_come(clock: Clock) -> None:
    first, second = pretraining(0), pretraining(1)
    state = RunState("tiny", [first, evaluation(first), second], 0, 1)
    state.report(Started(first))
    state.report(Failed(first, "failed: x", LOG, "retry"))
    now = state.snapshot()
    assert (now.failed, now.cannot_run, now.to_come) == (0, 0, 3)
    state.report(Failed(first, "failed: x", LOG, "failed"))
    now = state.snapshot()
    assert (now.failed, now.cannot_run, now.to_come) == (1, 1, 1)


def test_units_of_more_epochs_take_longer(clock: Clock) -> None:
    short, long = pretraining(0, epochs=10), pretraining(1, epochs=40)
    state = RunState("tiny", [short, long], 0, 1)
    state.report(Started(short))
    for epoch in (1, 3):
        state.report(progressed(short, epoch))
        clock.now += 2
    state.report(Finished(short))  # one second an epoch
    assert state.snapshot().eta_s == pytest.approx(40)


def test_units_without_an_estimate_take_as_long_as_the_others(clock: Clock) -> None:
    first, second = pretraining(0), pretraining(1)
    other = pretraining(2, epochs=30, representations=["img"])
    check = evaluation(first)
    state = RunState("tiny", [first, check, second, other], 0, 1)
    state.report(Started(first))
    state.report(progressed(first, 1))
    clock.now += 9
    state.report(progressed(first, 10))
    state.report(Finished(first))
    # Another training of SEQ and one of IMG, 10 s each whatever its epochs; an evaluation, 1 s.
    assert state.snapshot().eta_s == pytest.approx(10 + 10 + 1)
    state.report(Started(check))
    clock.now += 5
    state.report(Finished(check))
    assert state.snapshot().eta_s == pytest.approx(10 + 10)


def test_a_search_asks_for_units_while_it_runs(clock: Clock) -> None:
    upcoming = [4]
    state = RunState("lr", [], slots=2, upcoming=lambda: upcoming[0])
    assert (state.snapshot().units, state.snapshot().eta_s) == (4, None)
    first, second = pretraining(0), pretraining(1)
    upcoming[0] = 2
    for unit in (first, second):
        state.report(Started(unit))
        state.report(progressed(unit, 0))
    clock.now += 10
    state.report(Finished(first))
    now = state.snapshot()
    assert (now.units, now.done, now.to_come, len(now.running)) == (4, 1, 2, 1)
    assert now.eta_s == pytest.approx(2 * 10 / 2)
    state.report(Pruned(second))
    now = state.snapshot()
    assert (now.units, now.done, now.pruned, now.running) == (4, 1, 1, ())
    assert now.progress == 2
    state.report(Finished(pretraining(2)))  # by another driver
    assert state.snapshot().done == 2


def test_what_ran_in_a_ray_that_died_does_not_run(clock: Clock) -> None:
    unit = pretraining(0)
    state = RunState("tiny", [unit], 0, 1, waiting="Ray and its workers start")
    assert state.snapshot().waiting == "Ray and its workers start"
    state.report(Started(unit))
    assert state.snapshot().waiting == ""
    state.report(Waiting("Ray has died and is started again"))
    now = state.snapshot()
    assert (now.running, now.to_come) == ((), 1)
    assert now.waiting == "Ray has died and is started again"


def test_snapshots_are_taken_while_units_come_and_go() -> None:
    units = [pretraining(seed) for seed in range(300)]
    state, wrong, over = RunState("tiny", units, 0, 4), [], threading.Event()

    def look() -> None:
        while not over.is_set():
            now = state.snapshot()
            if now.done + len(now.running) + now.to_come != now.units:
                wrong.append(now)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for unit in units:
        for event in (Started(unit), progressed(unit, 1), Finished(unit)):
            state.report(event)
    over.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert state.snapshot().done == 300


def test_the_eta_of_thousands_of_units_is_quick() -> None:
    units = [pretraining(seed) for seed in range(5000)]
    state = RunState("tiny", units, 0, 64)
    for unit in units[:64]:
        state.report(Started(unit))
        for epoch in (1, 2):
            state.report(progressed(unit, epoch))
    started = time.process_time()  # other processes may be at work
    assert state.snapshot().eta_s is not None
    assert time.process_time() - started < 0.5
