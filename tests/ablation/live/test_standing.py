"""What is made of what the runner says: counts, and the ETA."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ablation.live.standing import Standing
from unit_helpers import evaluation, report, training

from ablation.live import standing as standing_module


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(standing_module, "time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr(standing_module, "ETA_EVERY", 0.0)
    return clock


def test_the_eta_comes_of_the_speed_between_two_reports(clock: Clock) -> None:
    units = [training(0), training(1), training(2)]
    standing = Standing("tiny", units, cached=1, slots=2)
    assert standing.snapshot().eta_s is None
    standing.started(units[0])
    clock.now += 60  # a slow start, and epochs of an earlier run, tell no speed
    standing.progressed(units[0], report(4))
    assert standing.snapshot().eta_s is None
    clock.now += 6
    standing.progressed(units[0], report(6))
    (running,) = standing.snapshot().running
    assert (running.unit, running.epoch, running.epochs) == (units[0].key, 6, 10)
    assert running.eta_s == pytest.approx(12)
    assert standing.snapshot().eta_s == pytest.approx((12 + 30 + 30) / 2)
    clock.now += 12
    standing.finished(units[0])
    now = standing.snapshot()
    assert (now.done, now.cached, now.units, now.to_come, now.running) == (2, 1, 4, 2, ())
    assert standing.took(units[0]) == pytest.approx(78)
    assert standing.took(units[1]) is None
    assert standing.snapshot().eta_s == pytest.approx(
        30
    )  # 30 s of 10 epochs, not the 78 s that passed


def test_earlier_results_tell_the_eta_before_anything_has_run(clock: Clock) -> None:
    units = [training(0), training(1)]
    believed = {units[0].key: 40.0, units[1].key: 100.0}
    assert Standing("tiny", units, 0, 1, believed).snapshot().eta_s == pytest.approx(140)
    standing = Standing("tiny", units, 0, 2, believed)
    assert standing.snapshot().eta_s == pytest.approx(100)  # the longest has nobody to share with
    standing.started(units[1])
    clock.now += 30
    assert standing.snapshot().eta_s == pytest.approx(70)


def test_what_needs_a_failed_unit_is_not_to_come(clock: Clock) -> None:
    first, second = training(0), training(1)
    standing = Standing("tiny", [first, evaluation(first), second], 0, 1)
    standing.started(first)
    standing.failed(first, "failed: x", Path("log"), "again")
    now = standing.snapshot()
    assert (now.failed, now.cannot_run, now.to_come) == (0, 0, 3)
    standing.failed(first, "failed: x", Path("log"), "failed")
    now = standing.snapshot()
    assert (now.failed, now.cannot_run, now.to_come) == (1, 1, 1)


def test_units_of_more_epochs_take_longer(clock: Clock) -> None:
    short, long = training(0, epochs=10), training(1, epochs=40)
    standing = Standing("tiny", [short, long], 0, 1)
    standing.started(short)
    for epoch in (1, 3):
        standing.progressed(short, report(epoch))
        clock.now += 2
    standing.finished(short)  # one second an epoch
    assert standing.snapshot().eta_s == pytest.approx(40)


def test_what_nothing_is_known_of_takes_as_long_as_the_others(clock: Clock) -> None:
    units = [training(0), evaluation(training(0)), training(1)]
    other = training(2, epochs=30)
    other.config["config"]["representations"] = ["img"]
    standing = Standing("tiny", [*units, other], 0, 1)
    standing.started(units[0])
    standing.progressed(units[0], report(1))
    clock.now += 9
    standing.progressed(units[0], report(10))
    standing.finished(units[0])
    # Another training of SEQ and one of IMG, 10 s each whatever its epochs; an evaluation, 1 s.
    assert standing.snapshot().eta_s == pytest.approx(10 + 10 + 1)
    standing.started(units[1])
    clock.now += 5
    standing.finished(units[1])
    assert standing.snapshot().eta_s == pytest.approx(10 + 10)


def test_what_ran_in_a_ray_that_died_does_not_run(clock: Clock) -> None:
    unit = training(0)
    standing = Standing("tiny", [unit], 0, 1)
    standing.started(unit)
    assert standing.snapshot().waiting == ""
    standing.waiting("Ray has died and is started again")
    now = standing.snapshot()
    assert (now.running, now.to_come) == ((), 1)
    assert now.waiting == "Ray has died and is started again"


def test_snapshots_are_taken_while_units_come_and_go() -> None:
    units = [training(seed) for seed in range(300)]
    standing, wrong, over = Standing("tiny", units, 0, 4), [], threading.Event()

    def look() -> None:
        while not over.is_set():
            now = standing.snapshot()
            if now.done + len(now.running) + now.to_come != now.units:
                wrong.append(now)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for unit in units:
        standing.started(unit)
        standing.progressed(unit, report(1))
        standing.finished(unit)
    over.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert standing.snapshot().done == 300


def test_the_eta_of_thousands_of_units_is_quick() -> None:
    units = [training(seed) for seed in range(5000)]
    standing = Standing("tiny", units, 0, 64)
    for unit in units[:64]:
        standing.started(unit)
        for epoch in (1, 2):
            standing.progressed(unit, report(epoch))
    began = time.perf_counter()
    assert standing.snapshot().eta_s is not None
    assert time.perf_counter() - began < 0.5
