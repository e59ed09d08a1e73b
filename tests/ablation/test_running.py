"""The run sequence: when the user is asked, and a signal that comes as the last unit ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ablation import running
from ablation.interrupts import Interrupt
from ablation.job import Job
from ablation.monitor.output import output
from ablation.plan import make_plan
from ablation.running import RunOptions, run_job
from ablation.scheduler.resources import Resources
from ablation.store import Store
from ablation.study import load_study
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError


class FakeTracking:
    """In place of trackers; ``calls`` keeps what was asked of any of them."""

    calls: list[str]

    def __init__(self, *arguments: object) -> None: ...

    def __enter__(self) -> FakeTracking:
        self.calls.append("start")
        return self

    def __exit__(self, *error: object) -> None:
        self.calls.append("end")

    def report(self, event: object) -> None: ...

    def drop(self, interrupt: Interrupt) -> None:
        self.calls.append("drop")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    FakeTracking.calls = []
    monkeypatch.setattr(running, "Tracking", FakeTracking)
    return FakeTracking.calls


@pytest.fixture
def job(study_file: Path, dataset: SkeletonDataset, tmp_path: Path) -> Job:
    plan = make_plan(load_study(study_file).only(("none",)), dataset, preset="paper", seeds=(0,))
    return Job.of_plan(plan, tmp_path / "tiny")


def run(job: Job, options: RunOptions) -> int:
    with output(as_json=False) as shown:
        return run_job(job, Store(job.directory.parent), options, shown, lambda: False)


def test_the_user_is_asked_before_trackers_start(calls: list[str], job: Job) -> None:
    def refuse(resources: Resources) -> None:
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        run(job, RunOptions(Resources(), in_process=True, confirm=refuse))
    assert calls == []


def test_a_signal_as_the_last_unit_ends_limits_the_wait_for_trackers(
    calls: list[str], job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def done(*arguments: object) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return True

    monkeypatch.setattr("ablation.scheduler.in_process.run_in_process", done)
    assert run(job, RunOptions(Resources(), in_process=True)) == 0
    assert calls == ["start", "drop", "end"]
