"""A population whose Ray is a stand-in: signals and errors before its members run."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial
from search_helpers import Quiet, problem_of, record_of

from ablation.interrupts import Interrupt
from ablation.scheduler.resources import Resources
from ablation.scheduler.session import SessionLostError
from ablation.search import population
from ablation.search.population import PENDING, Pbt, run_population
from ablation.store import Store
from skelcon.data import SkeletonDataset


@pytest.fixture
def run(
    tmp_path: Path, dataset: SkeletonDataset, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., bool]:
    """Run a population; ``start`` is called in place of a start of Ray."""

    def run_it(start: Callable[[], None], interrupt: Interrupt) -> bool:
        @contextlib.contextmanager
        def cluster(resources: Resources, trials: int) -> Iterator[list[dict[str, float]]]:
            start()
            yield [{"CPU": 8.0}]

        monkeypatch.setattr(population, "cluster", cluster)
        monkeypatch.setattr(
            population, "leaving_quickly", lambda interrupt: contextlib.nullcontext()
        )
        problem = problem_of(tmp_path, dataset, trials=2, scheduler={"name": "pbt"})
        record, said = record_of(problem, tmp_path / "s"), []
        store = Store(tmp_path / "r")
        return run_population(record, store, Resources(), Quiet(), interrupt, said.append)

    return run_it


class Tuner:
    """In place of Tune's."""

    started = 0

    def __init__(self, *arguments: Any, **options: Any) -> None: ...

    def fit(self) -> None:
        Tuner.started += 1
        assert os.environ[PENDING] == "2"  # the members start together
        raise RuntimeError("no")


@pytest.fixture(autouse=True)
def _tuner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tuner, "started", 0)
    monkeypatch.setattr(population.tune, "Tuner", Tuner)


def test_nothing_starts_after_a_signal_while_ray_starts(run: Callable[..., bool]) -> None:
    interrupt = Interrupt()
    assert run(interrupt.set, interrupt) is False
    assert Tuner.started == 0


def test_ray_is_not_started_again_after_a_signal(run: Callable[..., bool]) -> None:
    interrupt, starts = Interrupt(), []

    def fail() -> None:
        starts.append(1)
        interrupt.set()
        raise SessionLostError("Ray did not start")

    assert run(fail, interrupt) is False
    assert len(starts) == 1


def test_tunes_limit_is_restored_after_an_error(
    run: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A confirmation may follow in the same process."""
    monkeypatch.setenv(PENDING, "7")
    with pytest.raises(RuntimeError, match="no"):
        run(lambda: None, Interrupt())
    assert (Tuner.started, os.environ[PENDING]) == (1, "7")


def test_members_resumed_at_one_epoch_continue_after_their_first_exchange(
    tmp_path: Path, dataset: SkeletonDataset
) -> None:
    problem = problem_of(tmp_path, dataset, scheduler={"name": "pbt"})
    pbt = Pbt(problem, lambda number, parameters: "")
    members = [
        Trial("member", config={"member": json.dumps({"number": number})}, stub=True)
        for number in range(2)
    ]
    tune = SimpleNamespace(
        search_alg=None, get_trials=lambda: members, get_live_trials=lambda: members
    )
    for member in members:
        member.set_status(Trial.PAUSED)
        pbt.on_trial_add(tune, member)
    for epoch in (70, 72):
        for member in members:
            assert pbt.choose_trial_to_run(tune) is member
            pbt.on_trial_result(tune, member, {"epoch": epoch, "value": 0.5})
