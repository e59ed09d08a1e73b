"""A study of one pre-training and its evaluation, and what trackers read of it."""

from __future__ import annotations

import io

from rich.console import Console

from ablation.job import Job
from ablation.plan import Plan
from ablation.store import Store
from ablation.tracking import Tracking
from ablation.units import Unit
from ablation.work import Context, UnitRun
from ablation.work.checkpoints import CheckpointPolicy


def start(plan: Plan, unit: Unit, store: Store) -> UnitRun:
    data = {plan.dataset.fingerprint: plan.dataset.path}
    return UnitRun(unit, store, Context(data, checkpoints=CheckpointPolicy(1e-6)))


def finish(plan: Plan, store: Store) -> None:
    for unit in plan.units.values():
        run = start(plan, unit, store)
        while not run.step().done:
            pass
        run.close()


def tracked(plan: Plan, store: Store, *names: str) -> tuple[Tracking, io.StringIO]:
    out = io.StringIO()
    job = Job.of_plan(plan, store.results / plan.study.name)
    return Tracking(job, store, names, Console(file=out)), out
