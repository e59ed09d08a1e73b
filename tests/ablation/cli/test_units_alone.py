"""Units without Ray: one after another in this process, sharing the work with others."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ablation.cli.commands import plan_study
from ablation.runner.here import run_here

from ablation.cli import main
from ablation.plan import Plan, Unit
from ablation.runner.queue import Verdict
from ablation.runner.resources import Resources
from ablation.store import Store
from ablation.store.claims import Claims
from ablation.study import load_study
from ablation.work import UnitRun
from skelcon.data import SkeletonDataset


@dataclass
class Ears:
    """Notes what a listener is told."""

    heard: list[str] = field(default_factory=list)
    on_progress: Callable[[], None] = lambda: None

    def started(self, unit: Unit) -> None:
        self.heard.append(f"started {unit.key}")

    def progressed(self, unit: Unit, progress: Mapping[str, Any]) -> None:
        self.on_progress()

    def finished(self, unit: Unit) -> None:
        self.heard.append(f"finished {unit.key}")

    def failed(self, unit: Unit, reason: str, log: Path, verdict: Verdict) -> None:
        self.heard.append(f"{verdict} {reason}")

    def waiting(self, why: str) -> None:
        self.heard.append("waiting")


def plan_of(study_file: Path, dataset: SkeletonDataset, *assignments: str) -> Plan:
    return plan_study(
        load_study(study_file),
        dataset,
        preset=None,
        seeds="1",
        protocol=None,
        assignments=list(assignments),
        only="crop+jitter",
        evaluate_on="test",
    )


def chain(plan: Plan) -> tuple[Unit, Unit]:
    """A pre-training and the evaluation that needs it."""
    evaluation = next(unit for unit in plan.units.values() if unit.needs)
    return plan.units[evaluation.needs[0]], evaluation


@pytest.fixture
def ablate(
    dataset: SkeletonDataset, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Run a command with the tiny study behind its words; gives the exit code."""

    def run(*words: str, options: tuple[str, ...] = ()) -> int:
        study = [str(study_file), "--data", str(dataset.path), "--only", "crop+jitter"]
        arguments = ["skelcon-ablate", *words, *study, "--results", str(tmp_path / "r"), *options]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0)

    return run


def test_unit_runs_what_its_unit_needs_and_then_itself(
    ablate: Callable[..., int],
    dataset: SkeletonDataset,
    study_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pretraining, evaluation = chain(plan_of(study_file, dataset))
    store = Store(tmp_path / "r")
    assert ablate("unit", evaluation.key[:6]) == 0
    assert {path.parent.name for path in store.units.glob("*/DONE")} == {
        pretraining.key,
        evaluation.key,
    }
    told = capsys.readouterr().out
    lines = [(words[0], words[2]) for words in map(str.split, told.splitlines()) if words[2:]]
    assert lines.index(("done", pretraining.key)) < lines.index(("started", evaluation.key))
    assert "top1 " in told
    before = {path: path.stat().st_mtime_ns for path in store.units.glob("*/DONE")}
    assert ablate("unit", f"{evaluation.key},{pretraining.key}", options=("--json",)) == 0
    printed = capsys.readouterr()
    first, second = json.loads(printed.out)
    assert [json.loads(line)["event"] for line in printed.err.splitlines()] == ["plan", "finished"]
    assert first == {
        "unit": evaluation.key,
        "directory": str(store.directory(evaluation.key)),
        "result": store.result(evaluation.key),
    }
    assert second["unit"] == pretraining.key
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not list(store.results.glob("drivers/*.json"))


@pytest.mark.parametrize(
    ("words", "options", "told"),
    [
        (("unit", "zz"), (), "unit 'zz' of study 'tiny' on UTD-MHAD: no key begins so"),
        (("unit", ""), (), "keys begin so"),
        (("unit", "0"), ("--plan",), "--plan: leave it out here"),
        (("unit", "0", "augmentation"), (), "'augmentation' is no study: did you mean"),
        (("unit", "0"), ("--sed", "1"), "--sed"),
        (("unit", "0"), ("--track", "mlflow"), "--track"),
        (("unit", "0"), ("--address", "auto"), "--address: leave it out here"),
        (("unit", "0"), ("--max-concurrent", "2"), "--max-concurrent: leave it out here"),
        (("unit", "0"), ("--format", "csv"), "--format: leave it out here"),
        (("unit", "0"), ("--format", "nope"), "unknown format 'nope'"),
        (("unit", "0"), ("--probe", "3"), "--probe 3: measures for a plan"),
        (("unit", "0"), ("--results", "s3://bucket/x"), "'s3://bucket/x' is no directory"),
    ],
)
def test_a_mistake_is_one_line(
    ablate: Callable[..., int],
    words: tuple[str, ...],
    options: tuple[str, ...],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ablate(*words, options=options) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert told in line
    assert not (tmp_path / "r").exists()


def test_a_unit_that_fails_is_the_exit_code(
    ablate: Callable[..., int],
    dataset: SkeletonDataset,
    study_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pretraining, evaluation = chain(plan_of(study_file, dataset))
    # A directory where its log should be: the pre-training cannot succeed.
    (tmp_path / "r" / "units" / pretraining.key / "metrics.jsonl").mkdir(parents=True)
    assert ablate("unit", evaluation.key) == 1
    told = capsys.readouterr().out
    assert "IsADirectoryError" in told
    assert "it is tried again" in told
    assert Store(tmp_path / "r").state(pretraining.key) == "failed"
    assert Store(tmp_path / "r").state(evaluation.key) == "absent"


def test_an_interrupted_command_prints_its_document(
    ablate: Callable[..., int],
    dataset: SkeletonDataset,
    study_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("ablation.cli.units.run_missing", lambda *some, **more: False)
    _, evaluation = chain(plan_of(study_file, dataset))
    assert ablate("unit", evaluation.key, options=("--json",)) == 130
    printed = capsys.readouterr()
    assert json.loads(printed.out) == []
    last = json.loads(printed.err.splitlines()[-1])
    assert (last["event"], last["state"]) == ("finished", "interrupted")


def test_a_failure_that_cannot_be_written_down_is_told(
    dataset: SkeletonDataset, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ablation.runner.here.UnitRun", full)
    monkeypatch.setattr("ablation.work.unit_run.log", full)
    monkeypatch.setattr(Store, "fail", full)
    pretraining, _ = chain(plan_of(study_file, dataset))
    ears, data = Ears(), {dataset.fingerprint: dataset.path}
    assert run_here([pretraining], Store(tmp_path), data, Resources(retries=0), ears)
    assert ears.heard[1].startswith("failed failed: OSError: [Errno 28] No space left")


def test_a_signal_ends_the_wait_for_a_lock(
    dataset: SkeletonDataset, study_file: Path, tmp_path: Path
) -> None:
    pretraining, _ = chain(plan_of(study_file, dataset))
    store, ears, data = Store(tmp_path), Ears(), {dataset.fingerprint: dataset.path}
    with store.locked(pretraining.key):
        timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        assert not run_here([pretraining], store, data, Resources(), ears)
        timer.join()
    assert set(ears.heard) == {"waiting"}


def test_each_unit_has_the_threads_and_the_memory_that_a_trial_has(
    dataset: SkeletonDataset, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for the GPU, on which every unit runs out of memory."""
    threads: list[int] = []
    caps: list[float] = []

    def hungry(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("ablation.runner.here.prepare", threads.append)
    monkeypatch.setattr("ablation.runner.here.cap_memory", caps.append)
    monkeypatch.setattr("ablation.runner.here.UnitRun", hungry)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    pretraining, evaluation = chain(plan_of(study_file, dataset))
    for number, (unit, gpus) in enumerate([(pretraining, 0.25), (pretraining, 2), (evaluation, 2)]):
        alone = Unit(unit.config, (), unit.label)
        resources = Resources(cpus_per_trial=4, gpus_per_trial=gpus)
        assert run_here([alone], Store(tmp_path / str(number)), {}, resources, Ears())
    assert threads == [4, 4, 2, 2, 4, 4]
    assert caps == [0.25, 1.0, 2, 1.0, 1.0, 1.0]


def test_what_another_process_works_on_is_waited_for(
    dataset: SkeletonDataset, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ablation.runner.queue.LOOK_AGAIN", 0.2)
    pretraining, evaluation = chain(plan_of(study_file, dataset))
    store, data = Store(tmp_path), {dataset.fingerprint: dataset.path}
    ears = Ears()
    with Claims(store) as other:
        assert other.take(pretraining.key)

        def work() -> None:
            while "waiting" not in ears.heard:
                time.sleep(0.05)
            run = UnitRun(pretraining.config, store, data, "cpu")
            while not run.step().done:
                pass
            run.close()
            other.release(pretraining.key)

        worker = threading.Thread(target=work)
        worker.start()
        assert run_here([evaluation, pretraining], store, data, Resources(), ears)
        worker.join()
    assert [text for text in ears.heard if text != "waiting"] == [
        f"finished {pretraining.key}",
        f"started {evaluation.key}",
        f"finished {evaluation.key}",
    ]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_keeps_what_has_been_trained(
    dataset: SkeletonDataset,
    study_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sent: signal.Signals,
) -> None:
    monkeypatch.setattr("ablation.runner.here.STEP_SECONDS", 0.0)
    pretraining, _ = chain(plan_of(study_file, dataset, "pretrain.epochs=6"))
    data = {dataset.fingerprint: dataset.path}
    broken, whole = Store(tmp_path / "broken"), Store(tmp_path / "whole")
    before = signal.getsignal(sent)
    ears = Ears(on_progress=lambda: os.kill(os.getpid(), sent))
    assert not run_here([pretraining], broken, data, Resources(), ears)
    assert signal.getsignal(sent) is before
    assert (broken.directory(pretraining.key) / "checkpoint.pt").exists()
    for store in (broken, whole):
        assert run_here([pretraining], store, data, Resources(), Ears())
    assert broken.provenance(pretraining.key)["resumed"] == 1
    assert broken.provenance(pretraining.key)["epochs_trained_again"] == 0
    weights = [s.directory(pretraining.key) / "weights.safetensors" for s in (broken, whole)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
