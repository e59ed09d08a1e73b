"""The order in which units are handed out, and what becomes of those that end badly."""

from __future__ import annotations

from pathlib import Path

from ray.tune.search import Searcher

from ablation.plan import Unit
from ablation.runner import Queue, _UnitSearcher
from ablation.store import Store


def chain() -> tuple[Unit, Unit]:
    """A pre-training and an evaluation that needs it."""
    first = Unit({"unit": "pretrain"}, (), "first")
    return first, Unit({"unit": "evaluate"}, (first.key,), "second")


def test_a_unit_is_handed_out_when_what_it_needs_is_done(tmp_path: Path) -> None:
    store, (first, second) = Store(tmp_path), chain()
    searcher = _UnitSearcher(Queue([second, first], store.is_done), store)
    assert searcher.suggest("a")["key"] == first.key
    assert searcher.suggest("b") is None  # not yet, and not never
    store.begin(first.key, first.config)
    store.finish(first.key)
    searcher.on_trial_complete("a", {"done": True})
    assert searcher.suggest("b")["key"] == second.key
    assert searcher.suggest("c") == Searcher.FINISHED


def test_a_unit_that_ended_where_the_driver_does_not_see_it_keeps_nothing_waiting(
    tmp_path: Path,
) -> None:
    store, (first, second) = Store(tmp_path), chain()
    searcher = _UnitSearcher(Queue([first, second], store.is_done), store)
    searcher.suggest("a")
    searcher.on_trial_complete("a", {"done": True})
    assert searcher.suggest("b") == Searcher.FINISHED


def test_an_interrupted_unit_has_not_failed(tmp_path: Path) -> None:
    store, (first, second) = Store(tmp_path), chain()
    queue = Queue([first, second], store.is_done)
    searcher = _UnitSearcher(queue, store)
    searcher.suggest("a")
    searcher.on_trial_complete("a", {"done": False})
    assert not queue.exhausted
