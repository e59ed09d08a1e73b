"""The order in which units are handed out, and what happens to those that fail or stop."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from unit_helpers import evaluation, pretraining

from ablation.events import Event, Finished, Pruned
from ablation.interrupts import Interrupt
from ablation.scheduler import queue as queue_module
from ablation.scheduler.queue import Driver, Monitor, Queue
from ablation.scheduler.resources import Resources
from ablation.store import Store
from ablation.store.unit_claims import Claims
from ablation.units import EvaluateUnit, PretrainUnit, Unit
from ablation.work import OUT_OF_MEMORY

FAULT = "failed: ValueError: no"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def claims(store: Store) -> Iterator[Claims]:
    with Claims(store) as claims:
        yield claims


class Recorded:
    """A reporter that keeps the finished units."""

    def __init__(self) -> None:
        self.finished: list[Unit] = []

    def report(self, event: Event) -> None:
        if isinstance(event, Finished):
            self.finished.append(event.unit)


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def queue_of(
    units: list[Unit],
    store: Store,
    claims: Claims,
    recorded: Recorded,
    source: Any = None,
    **more: Any,
) -> Queue:
    resources = Resources(**{"retries": 0, **more})
    return Queue(units, Driver(store, {}, resources, recorded, Interrupt()), claims, source)


def chain() -> tuple[PretrainUnit, EvaluateUnit]:
    """A pre-training and an evaluation that needs it."""
    first = pretraining(0, "first")
    return first, evaluation(first, label="second")


def make(store: Store, unit: Unit) -> None:
    """Mark the unit as done."""
    store.begin(unit.key, unit.to_json())
    store.finish(unit.key)


def test_a_unit_is_handed_out_when_what_it_needs_is_done(
    store: Store, claims: Claims, recorded: Recorded
) -> None:
    first, second = chain()
    queue = queue_of([second, first], store, claims, recorded)
    assignment = queue.ask()
    assert assignment is not None
    assert (assignment.unit, assignment.alone) == (first, False)
    assert queue.ask() is None
    assert not queue.exhausted  # not yet, and not never
    make(store, first)
    queue.done(first)
    assignment = queue.ask()
    assert assignment is not None
    assert assignment.unit == second
    assert not queue.exhausted
    queue.done(second)
    assert queue.ask() is None
    assert queue.exhausted


def test_evaluations_come_first(store: Store, claims: Claims, recorded: Recorded) -> None:
    trained = [pretraining(n) for n in range(4)]
    units: list[Unit] = [*trained[:2], *(evaluation(unit) for unit in trained[2:])]
    queue = queue_of(units, store, claims, recorded)
    kinds = [assignment.unit.kind for _ in units if (assignment := queue.ask()) is not None]
    assert kinds == ["evaluate", "evaluate", "pretrain", "pretrain"]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_failure_is_retried_and_blocks_only_the_units_that_need_it(
    store: Store, claims: Claims, recorded: Recorded, retries: int
) -> None:
    first, second = chain()
    other = pretraining(1, "other")
    queue = queue_of([first, second, other], store, claims, recorded, retries=retries)
    for tried in range(retries + 1):
        handed = {
            assignment.unit.label for _ in range(3) if (assignment := queue.ask()) is not None
        }
        assert "first" in handed
        assert queue.fail(first, FAULT) == ("retry" if tried < retries else "failed")
    assert queue.failed == {first.key: FAULT, second.key: f"first {FAULT}"}
    assert not queue.exhausted  # the other one runs
    queue.done(other)
    assert queue.exhausted


def test_out_of_memory_is_retried_once_and_alone(
    store: Store, claims: Claims, recorded: Recorded
) -> None:
    first, _ = chain()
    queue = queue_of([first], store, claims, recorded, retries=0)
    assert queue.ask() is not None
    assert queue.fail(first, OUT_OF_MEMORY) == "retry alone"
    assignment = queue.ask()
    assert assignment is not None
    assert assignment.alone
    assert queue.fail(first, OUT_OF_MEMORY) == "failed"
    assert queue.exhausted


def test_fail_fast_hands_out_nothing_more(store: Store, claims: Claims, recorded: Recorded) -> None:
    units = [pretraining(n) for n in range(3)]
    queue = queue_of(units, store, claims, recorded, retries=1, fail_fast=True)
    assert queue.ask() is not None
    assert queue.fail(units[0], FAULT) == "retry"
    assert not queue.stopped
    assert queue.ask() is not None
    assert queue.fail(units[0], FAULT) == "failed"
    assert queue.stopped
    assert queue.ask() is None
    assert queue.exhausted


def test_an_interrupted_unit_has_not_failed(
    store: Store, claims: Claims, recorded: Recorded
) -> None:
    first, second = chain()
    queue = queue_of([first, second], store, claims, recorded)
    assert queue.ask() is not None
    queue.stop(first)
    assert not queue.exhausted
    assert not queue.failed


def test_a_unit_that_another_driver_has_claimed_is_left_to_it(
    store: Store, claims: Claims, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "POLL_SECONDS", -1.0)
    first, second = chain()
    third = pretraining(1, "third")
    with Claims(store) as other:
        assert other.take(first.key)
        queue = queue_of([first, second, third], store, claims, recorded)
        assignment = queue.ask()
        assert assignment is not None
        assert assignment.unit == third
        queue.done(third)
        assert queue.ask() is None
        assert queue.waiting_for_others
        assert not queue.exhausted
        make(store, first)
    assignment = queue.ask()
    assert assignment is not None
    assert assignment.unit == second
    assert recorded.finished == [third, first]


def test_a_unit_of_a_driver_that_left_is_taken_over(
    store: Store, claims: Claims, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "POLL_SECONDS", -1.0)
    first, _ = chain()
    with Claims(store) as other:
        assert other.take(first.key)
        queue = queue_of([first], store, claims, recorded)
        assert queue.ask() is None
    assignment = queue.ask()
    assert assignment is not None
    assert assignment.unit == first


def test_each_unit_of_a_thousand_is_handed_out_once_and_fast(
    store: Store, claims: Claims, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = 0
    is_done: Callable[[str], bool] = store.is_done

    def counted(key: str) -> bool:
        nonlocal looked
        looked += 1
        return is_done(key)

    monkeypatch.setattr(store, "is_done", counted)
    units: list[Unit] = [pretraining(n) for n in range(500)]
    units += [evaluation(unit) for unit in units if isinstance(unit, PretrainUnit)]
    queue = queue_of(units, store, claims, recorded)
    handed = []
    while (assignment := queue.ask()) is not None:
        handed.append(assignment.unit.key)
        queue.done(assignment.unit)
    assert len(handed) == len(set(handed)) == 1000
    assert queue.exhausted
    assert looked <= 4 * len(units)


@pytest.mark.parametrize("call", ["is_done", "take"])
def test_a_unit_that_cannot_be_claimed_at_present_is_not_lost(
    store: Store, claims: Claims, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """On a disk that is full, or read-only, or does not answer, for a moment."""
    first, _ = chain()
    queue = queue_of([first], store, claims, recorded)

    def fails(key: str) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store if call == "is_done" else claims, call, fails)
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                queue.ask()
    assert not queue.exhausted
    assignment = queue.ask()
    assert assignment is not None
    assert assignment.unit == first


def test_a_deterministic_failure_is_not_retried(
    store: Store, claims: Claims, recorded: Recorded
) -> None:
    first, _ = chain()
    queue = queue_of([first], store, claims, recorded, retries=3)
    assert queue.ask() is not None
    assert queue.fail(first, FAULT, deterministic=True) == "failed"
    assert queue.exhausted


class OneMore:
    """A source of one chain, whose pre-training it prunes."""

    expected = ()

    def start(self) -> None:
        self.exhausted = False
        self.recorded: list[Event] = []

    def ask(self) -> Sequence[Unit]:
        self.exhausted = True
        return chain()

    def monitor(self, unit: Unit) -> Monitor | None:
        return None

    def tell(self, unit: Unit, epoch: int, value: float) -> bool:
        return value < 0.5

    def report(self, event: Event) -> None:
        self.recorded.append(event)


def test_a_source_gives_more_units_and_may_prune_them(
    store: Store, claims: Claims, recorded: Recorded
) -> None:
    other, source = pretraining(1), OneMore()
    queue = queue_of([other], store, claims, recorded, source=source)
    asked = [queue.ask(), queue.ask()]
    assert [each.unit.side.seed for each in asked if each is not None] == [1, 0]
    first, _ = chain()
    assert not queue.tell(first, 2, 0.7)
    assert queue.tell(first, 4, 0.2)
    queue.stop(first)
    assert source.recorded == [Pruned(first)]
    assert not queue.exhausted
    queue.done(other)
    assert queue.ask() is None
    assert queue.exhausted


def test_a_pruned_unit_runs_again_for_another_trial_that_needs_it(
    store: Store, claims: Claims, recorded: Recorded
) -> None:
    queue = queue_of([], store, claims, recorded, source=OneMore())
    first, second = chain()
    assert queue.ask() is not None
    assert queue.tell(first, 4, 0.2)
    queue.stop(first)
    queue.add([first, second])
    assert (assignment := queue.ask()) is not None
    assert assignment.unit == first
    assert not queue.tell(first, 6, 0.9)
