"""Units one after another in this process, sharing the work with other processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console

from ablation.cli.options import StudyDataOptions, StudyOptions
from ablation.cli.parsing import parse_settings
from ablation.cli.request import plan_study
from ablation.events import Event, Failed, Finished, Progressed, Started, Waiting
from ablation.interrupts import graceful
from ablation.plan import Plan
from ablation.scheduler.in_process import run_in_process
from ablation.scheduler.queue import Driver
from ablation.scheduler.resources import Resources
from ablation.store import Store
from ablation.store.heartbeat import Heartbeat
from ablation.store.unit_claims import Claims
from ablation.study import load_study
from ablation.units import EvaluateUnit, Unit
from ablation.work import Context, UnitRun
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError


@dataclass
class Recorded:
    """A reporter that keeps the events of a run."""

    events: list[Event] = field(default_factory=list)
    on_progress: Callable[[], None] = lambda: None

    def report(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Progressed):
            self.on_progress()

    @property
    def waits(self) -> bool:
        return any(isinstance(event, Waiting) for event in self.events)


def run(
    units: list[Unit],
    store: Store,
    dataset: SkeletonDataset,
    recorded: Recorded,
    resources: Resources | None = None,
) -> bool:
    data = {dataset.fingerprint: dataset.path}
    with Heartbeat(store) as heartbeat, graceful(lambda: None) as interrupt:
        return run_in_process(
            units, Driver(store, data, resources or Resources(), recorded, interrupt, heartbeat)
        )


@pytest.fixture
def plan(study_file: Path, dataset: SkeletonDataset) -> Plan:
    options = StudyOptions(only=("crop+jitter",), settings=parse_settings(["pretrain.epochs=6"]))
    study = load_study(study_file)
    return plan_study(study, dataset, StudyDataOptions(), options, Console(stderr=True))


@pytest.fixture
def evaluation(plan: Plan) -> EvaluateUnit:
    return next(unit for unit in plan.units.values() if isinstance(unit, EvaluateUnit))


@pytest.fixture
def pretraining(plan: Plan, evaluation: EvaluateUnit) -> Unit:
    return plan.units[evaluation.needs[0]]


def test_a_failure_that_cannot_be_written_is_reported(
    dataset: SkeletonDataset, pretraining: Unit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ablation.scheduler.in_process.UnitRun", full)
    monkeypatch.setattr(Store, "fail", full)
    recorded = Recorded()
    assert run([pretraining], Store(tmp_path), dataset, recorded, Resources(retries=0))
    failed = recorded.events[-1]
    assert isinstance(failed, Failed)
    assert failed.verdict == "failed"
    assert failed.reason.startswith("failed: OSError: [Errno 28] No space left")


def test_a_signal_ends_the_wait_for_a_lock(
    dataset: SkeletonDataset, pretraining: Unit, tmp_path: Path
) -> None:
    class Signalled(Recorded):
        def report(self, event: Event) -> None:
            super().report(event)
            os.kill(os.getpid(), signal.SIGTERM)

    store, recorded = Store(tmp_path), Signalled()
    with store.locked(pretraining.key):
        assert not run([pretraining], store, dataset, recorded)
    assert {type(event) for event in recorded.events} == {Waiting}


def test_each_unit_has_the_threads_and_the_memory_that_a_trial_has(
    dataset: SkeletonDataset,
    pretraining: Unit,
    evaluation: EvaluateUnit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a stand-in for the GPU, on which every unit runs out of memory."""
    threads: list[int] = []
    caps: list[float] = []

    def hungry(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("ablation.scheduler.in_process.prepare", threads.append)
    monkeypatch.setattr("ablation.scheduler.in_process.cap_memory", caps.append)
    monkeypatch.setattr("ablation.scheduler.in_process.UnitRun", hungry)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    for number, (unit, gpus) in enumerate([(pretraining, 0.25), (pretraining, 2), (evaluation, 2)]):
        resources = Resources(cpus_per_trial=4, gpus_per_trial=gpus)
        assert run([unit], Store(tmp_path / str(number)), dataset, Recorded(), resources)
    assert threads == [4, 4, 2, 2, 4, 4]
    assert caps == [0.25, 1.0, 2, 1.0, 1.0, 1.0]


def test_a_unit_of_another_process_is_waited_for(
    dataset: SkeletonDataset,
    pretraining: Unit,
    evaluation: EvaluateUnit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ablation.scheduler.queue.POLL_SECONDS", 0.2)
    store, recorded = Store(tmp_path), Recorded()
    with Claims(store) as other:
        assert other.take(pretraining.key)

        def work() -> None:
            while not recorded.waits:
                time.sleep(0.05)
            context = Context({dataset.fingerprint: dataset.path})
            unit_run = UnitRun(pretraining, store, context)
            while not unit_run.step().done:
                pass
            unit_run.close()
            other.release(pretraining.key)

        worker = threading.Thread(target=work)
        worker.start()
        assert run([evaluation, pretraining], store, dataset, recorded)
        worker.join()
    # (On a busy machine the evaluation takes long enough to report its progress.)
    events = [event for event in recorded.events if not isinstance(event, Waiting | Progressed)]
    assert events == [Finished(pretraining), Started(evaluation), Finished(evaluation)]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_keeps_what_has_been_trained(
    dataset: SkeletonDataset,
    pretraining: Unit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sent: signal.Signals,
) -> None:
    monkeypatch.setattr("ablation.scheduler.in_process.STEP_SECONDS", 0.0)
    broken, whole = Store(tmp_path / "broken"), Store(tmp_path / "whole")
    before = signal.getsignal(sent)
    assert not run(
        [pretraining], broken, dataset, Recorded(on_progress=lambda: os.kill(os.getpid(), sent))
    )
    assert signal.getsignal(sent) is before
    assert (broken.directory(pretraining.key) / "checkpoint.pt").exists()
    for store in (broken, whole):
        assert run([pretraining], store, dataset, Recorded())
    assert broken.provenance(pretraining.key)["resumed"] == 1
    assert broken.provenance(pretraining.key)["epochs_trained_again"] == 0
    weights = [s.directory(pretraining.key) / "weights.safetensors" for s in (broken, whole)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_request_that_comes_as_several_signals_keeps_what_has_been_trained(
    dataset: SkeletonDataset, pretraining: Unit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`timeout` signals the process and then its group, which has the process in it."""
    monkeypatch.setattr("ablation.scheduler.in_process.STEP_SECONDS", 0.0)

    def send() -> None:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)

    store = Store(tmp_path)
    assert not run([pretraining], store, dataset, Recorded(on_progress=send))
    assert (store.directory(pretraining.key) / "checkpoint.pt").exists()


def test_a_signal_in_the_last_unit_interrupts_nothing_if_the_unit_is_done(
    dataset: SkeletonDataset, pretraining: Unit, tmp_path: Path
) -> None:
    class Signalled(Recorded):
        def report(self, event: Event) -> None:
            super().report(event)
            if isinstance(event, Finished):
                os.kill(os.getpid(), signal.SIGTERM)

    assert run([pretraining], Store(tmp_path), dataset, Signalled())


def test_a_unit_that_cannot_be_claimed_is_waited_for(
    dataset: SkeletonDataset, pretraining: Unit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that is full, or read-only, for a moment."""
    monkeypatch.setattr("ablation.scheduler.in_process.POLL_SECONDS", 0.01)
    take, calls = Claims.take, []

    def full(claims: Claims, key: str) -> bool:
        calls.append(key)
        if len(calls) < 3:
            raise OSError(28, "No space left on device")
        return take(claims, key)

    monkeypatch.setattr(Claims, "take", full)
    recorded = Recorded()
    assert run([pretraining], Store(tmp_path), dataset, recorded)
    reason = "the results directory cannot be written to (No space left on device)"
    assert recorded.events[:2] == [Waiting(reason), Waiting(reason)]
    assert recorded.events[-1] == Finished(pretraining)


def test_a_gpu_that_torch_does_not_see_is_refused(
    dataset: SkeletonDataset, pretraining: Unit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    resources = Resources(gpus_per_trial=0.5)
    with pytest.raises(UserError, match=r"^--gpus-per-trial 0\.5: torch sees no GPU here; leave"):
        run([pretraining], Store(tmp_path), dataset, Recorded(), resources)
