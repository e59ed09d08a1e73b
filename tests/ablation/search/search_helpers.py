"""A search that takes a moment."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ablation.events import Event
from ablation.interrupts import Interrupt
from ablation.scheduler.monitored import MonitoredRun
from ablation.scheduler.queue import Driver, Queue
from ablation.scheduler.resources import Resources
from ablation.search.problem import FoldUnits, SearchProblem
from ablation.search.record import SearchRecord, Trial
from ablation.search.source import SearchSource
from ablation.search.space import load_space
from ablation.store import Store
from ablation.store.unit_claims import Claims
from ablation.units import Unit
from ablation.work import Context, UnitRun
from ablation.work.context import GroupOptions
from skelcon.data import SkeletonDataset

SPACE: dict[str, Any] = {
    "title": "A tiny search",
    "protocols": ["xsub"],
    "task": "retrieval",
    "downstream": ["seq"],
    "base": {
        "pretrain.epochs": 4,
        "pretrain.batch": 4,
        "pretrain.contrast": {"queue": 16, "dim": 8, "head_hidden": 8, "momentum": 0.9},
        "pretrain.encoders.frames": 16,
        "pretrain.encoders.seq": {"hidden": 4, "layers": 1},
        "pretrain.optimiser": {"name": "adamw", "lr": 0.01, "schedule": "cosine"},
    },
    "space": {
        "pretrain.optimiser.lr": {"loguniform": [0.0001, 0.1]},
        "pretrain.contrast.temperature": {"uniform": [0.02, 0.5]},
    },
    "evaluate_every": 2,
    "scheduler": {"name": "fifo"},
    "algorithm": "random",
}


class Quiet:
    """Receives what happens to trials, and keeps what has ended."""

    def __init__(self) -> None:
        self.ended_trials: list[Trial] = []

    def started(self, trial: Trial) -> None: ...
    def progressed(self, trial: Trial) -> None: ...
    def report(self, event: Event) -> None: ...

    def ended(self, trial: Trial) -> None:
        self.ended_trials.append(trial)

    def summary(self) -> list[tuple[str, str]]:
        return []


def problem_of(tmp_path: Path, dataset: SkeletonDataset, **changes: Any) -> SearchProblem:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**SPACE, **changes}, sort_keys=False))
    return SearchProblem.of(load_space(path), dataset, preset="quick", protocol=None, overrides={})


def record_of(problem: SearchProblem, directory: Path) -> SearchRecord:
    directory.mkdir(parents=True, exist_ok=True)
    return SearchRecord(problem, directory)


def source_of(record: SearchRecord, store: Store) -> SearchSource:
    def missing(units: FoldUnits) -> list[Unit]:
        return [unit for unit in units if not store.is_done(unit.key)]

    return SearchSource(record, store, missing, Quiet())


def run_trials(
    problem: SearchProblem, results: Path, trials: int, steps: int = 10**6, world_size: int = 1
) -> Any:
    """Run a search without Ray, one unit after another, as a worker would; gives its trials.

    After ``steps`` steps in all it stops, as a driver that is interrupted does.
    """
    problem = replace(problem, space=problem.space.chosen(trials=trials))
    store, record = Store(results), record_of(problem, problem.directory(results))
    source = source_of(record, store)
    context = Context(
        {problem.dataset.fingerprint: problem.dataset.path}, group=GroupOptions(world_size)
    )
    with Claims(store) as claims:
        driver = Driver(store, {}, Resources(retries=0), Quiet(), Interrupt())
        queue = Queue([], driver, claims, source)
        while steps and (assignment := queue.ask()) is not None:
            unit = assignment.unit
            queue.started(unit)
            unit_run = UnitRun(unit, store, context)
            monitor = queue.monitor(unit)
            run = unit_run if monitor is None else MonitoredRun(unit_run, monitor)
            with contextlib.closing(run):
                while steps:
                    steps -= 1
                    try:
                        progress = run.step(0.0)
                    except FloatingPointError as error:
                        queue.fail(unit, f"failed: FloatingPointError: {error}")
                        break
                    value = run.value if isinstance(run, MonitoredRun) else None
                    if value is not None and queue.tell(unit, progress.epoch, value):
                        queue.stop(unit)
                        break
                    if progress.done:
                        queue.done(unit)
                        break
    return record.trials()


def numbers(trials: list[Trial]) -> list[Any]:
    """All of the trials but their times."""
    return [
        (t.number, t.parameters, t.state, [(r.epoch, r.value) for r in t.intermediate_values])
        for t in trials
    ]
