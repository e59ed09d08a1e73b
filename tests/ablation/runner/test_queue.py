"""The order in which units are handed out, and what becomes of those that end badly."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ablation.plan import Unit
from ablation.runner import queue as queue_module
from ablation.runner.queue import Queue
from ablation.store import Store
from ablation.store.claims import Claims
from ablation.work import OUT_OF_MEMORY

FAULT = "failed: ValueError: no"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def claims(store: Store) -> Iterator[Claims]:
    with Claims(store) as claims:
        yield claims


def chain() -> tuple[Unit, Unit]:
    """A pre-training and an evaluation that needs it."""
    first = Unit({"unit": "pretrain"}, (), "first")
    return first, Unit({"unit": "evaluate"}, (first.key,), "second")


def make(store: Store, unit: Unit) -> None:
    """The unit is done, by whomever."""
    store.begin(unit.key, unit.config)
    store.finish(unit.key)


def test_a_unit_is_handed_out_when_what_it_needs_is_done(store: Store, claims: Claims) -> None:
    first, second = chain()
    queue = Queue([second, first], store, claims)
    offer = queue.next()
    assert offer is not None
    assert (offer.unit, offer.alone) == (first, False)
    assert queue.next() is None
    assert not queue.exhausted  # not yet, and not never
    make(store, first)
    queue.done(first)
    offer = queue.next()
    assert offer is not None
    assert offer.unit == second
    assert not queue.exhausted
    queue.done(second)
    assert queue.next() is None
    assert queue.exhausted


def test_evaluations_come_first(store: Store, claims: Claims) -> None:
    units = [
        Unit({"unit": kind, "n": n}, (), "") for n in (0, 1) for kind in ("pretrain", "evaluate")
    ]
    queue = Queue(units, store, claims)
    kinds = [offer.unit.kind for _ in units if (offer := queue.next()) is not None]
    assert kinds == ["evaluate", "evaluate", "pretrain", "pretrain"]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_failure_is_tried_again_so_often_and_blocks_only_what_needs_it(
    store: Store, claims: Claims, retries: int
) -> None:
    first, second = chain()
    other = Unit({"unit": "pretrain", "n": 1}, (), "other")
    queue = Queue([first, second, other], store, claims, retries=retries)
    for tried in range(retries + 1):
        handed = {offer.unit.label for _ in range(3) if (offer := queue.next()) is not None}
        assert "first" in handed
        assert queue.fail(first, FAULT) == ("again" if tried < retries else "failed")
    assert queue.failed == {first.key: FAULT, second.key: f"first {FAULT}"}
    assert not queue.exhausted  # the other one runs
    queue.done(other)
    assert queue.exhausted


def test_out_of_memory_is_tried_once_more_alone(store: Store, claims: Claims) -> None:
    first, _ = chain()
    queue = Queue([first], store, claims, retries=0)
    assert queue.next() is not None
    assert queue.fail(first, OUT_OF_MEMORY) == "alone"
    offer = queue.next()
    assert offer is not None
    assert offer.alone
    assert queue.fail(first, OUT_OF_MEMORY) == "failed"
    assert queue.exhausted


def test_fail_fast_hands_out_nothing_more(store: Store, claims: Claims) -> None:
    units = [Unit({"unit": "pretrain", "n": n}, (), str(n)) for n in range(3)]
    queue = Queue(units, store, claims, retries=1, fail_fast=True)
    assert queue.next() is not None
    assert queue.fail(units[0], FAULT) == "again"
    assert not queue.stopped
    assert queue.next() is not None
    assert queue.fail(units[0], FAULT) == "failed"
    assert queue.stopped
    assert queue.next() is None
    assert queue.exhausted


def test_an_interrupted_unit_has_not_failed(store: Store, claims: Claims) -> None:
    first, second = chain()
    queue = Queue([first, second], store, claims)
    assert queue.next() is not None
    queue.interrupt(first)
    assert not queue.exhausted
    assert not queue.failed


def test_what_another_driver_works_on_is_left_to_it_and_found_done(
    store: Store, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "LOOK_AGAIN", -1.0)
    first, second = chain()
    third = Unit({"unit": "pretrain", "n": 1}, (), "third")
    found: list[Unit] = []
    with Claims(store) as other:
        assert other.take(first.key)
        queue = Queue([first, second, third], store, claims, elsewhere=found.append)
        offer = queue.next()
        assert offer is not None
        assert offer.unit == third
        queue.done(third)
        assert queue.next() is None
        assert queue.waiting_for_others
        assert not queue.exhausted
        make(store, first)
    offer = queue.next()
    assert offer is not None
    assert offer.unit == second
    assert found == [first]


def test_a_unit_of_a_driver_that_left_is_taken_over(
    store: Store, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "LOOK_AGAIN", -1.0)
    first, _ = chain()
    with Claims(store) as other:
        assert other.take(first.key)
        queue = Queue([first], store, claims)
        assert queue.next() is None
    offer = queue.next()
    assert offer is not None
    assert offer.unit == first


def test_each_unit_of_a_thousand_is_handed_out_once_and_fast(
    store: Store, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = 0
    is_done: Callable[[str], bool] = store.is_done

    def counted(key: str) -> bool:
        nonlocal looked
        looked += 1
        return is_done(key)

    monkeypatch.setattr(store, "is_done", counted)
    units = [Unit({"unit": "pretrain", "n": n}, (), str(n)) for n in range(500)]
    units += [Unit({"unit": "evaluate", "n": n}, (u.key,), "") for n, u in enumerate(units)]
    queue = Queue(units, store, claims)
    handed = []
    while (offer := queue.next()) is not None:
        handed.append(offer.unit.key)
        queue.done(offer.unit)
    assert len(handed) == len(set(handed)) == 1000
    assert queue.exhausted
    assert looked <= 4 * len(units)


def test_a_unit_that_cannot_be_claimed_at_present_is_not_lost(
    store: Store, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that is full, or read-only, for a moment."""
    first, _ = chain()
    queue = Queue([first], store, claims)

    def full(key: str) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(claims, "take", full)
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                queue.next()
    assert not queue.exhausted
    offer = queue.next()
    assert offer is not None
    assert offer.unit == first
