"""A pre-training in several processes: its numbers, and what ends it."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import distributed

from ablation.plan import make_plan
from ablation.store import Store
from ablation.study import load_study
from ablation.units import PretrainUnit
from ablation.work import OUT_OF_MEMORY, Context, UnitRun, record_failure, worker_group
from ablation.work.checkpoints import CheckpointPolicy
from ablation.work.context import GroupOptions
from ablation.work.kinds import bank_of, pretraining_of
from ablation.work.worker_group import RankError, RankJob, WorkerGroup
from skelcon.data import SkeletonDataset
from skelcon.pretrain.distributed import ProcessGroup


@pytest.fixture
def unit(dataset: SkeletonDataset, study_file: Path) -> PretrainUnit:
    """The pre-training of an image encoder."""
    plan = make_plan(
        load_study(study_file).only(("crop+jitter",)),
        dataset,
        preset="paper",
        seeds=(0,),
        overrides={"pretrain.epochs": 4},
    )
    return next(each for each in plan.units.values() if isinstance(each, PretrainUnit))


def started(
    unit: PretrainUnit, store: Store, dataset: SkeletonDataset, group: GroupOptions
) -> UnitRun:
    data, often = {dataset.fingerprint: dataset.path}, CheckpointPolicy(every=0)
    return UnitRun(unit, store, Context(data, checkpoints=often, group=group))


def test_ranks_may_come_and_go_and_the_numbers_stay(
    tmp_path: Path, dataset: SkeletonDataset, unit: PretrainUnit
) -> None:
    """One process, then two, then one again, against one from start to end."""
    straight, mixed = Store(tmp_path / "a"), Store(tmp_path / "b")
    for store, sizes in ((straight, (1,)), (mixed, (1, 2, 1))):
        for size in sizes:
            run = started(unit, store, dataset, GroupOptions(size))
            assert run.unit.key == unit.key
            for _ in range(4 if store is straight else 2 if size == 2 else 1):
                run.step(budget=0)
            run.close()
    first, second = (s.directory(unit.key) for s in (straight, mixed))
    mine, theirs = (load_file(place / "weights.safetensors") for place in (first, second))
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        torch.testing.assert_close(value, theirs[name], atol=1e-4, rtol=1e-4)
    assert mixed.result(unit.key) == pytest.approx(straight.result(unit.key), abs=1e-4)
    assert "resumed at epoch 1; 0 epochs are trained again" in (second / "log.txt").read_text()
    assert len((second / "metrics.jsonl").read_text().splitlines()) == 4


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks that find torch imported, which takes longest: how they start is not tested."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ablation.work.worker_group"])
    monkeypatch.setattr(torch.multiprocessing, "get_context", lambda method: context)


@pytest.fixture
def timeout() -> float:
    """Seconds that a rank waits for the others: many, as other processes may be at work."""
    return 60.0


@pytest.fixture
def two(
    forked: None, dataset: SkeletonDataset, unit: PretrainUnit, tmp_path: Path, timeout: float
) -> Iterator[tuple[WorkerGroup, RankJob]]:
    """A group of two ranks that trains ``unit``."""
    job = RankJob(unit, dataset.path, tmp_path)
    found: list[Exception] = []
    made = WorkerGroup(GroupOptions(2, timeout=timeout), job, torch.device("cpu"), found.append)
    yield made, job
    made.close()
    assert not found


def trained(made: WorkerGroup, job: RankJob) -> None:
    dataset, bank = bank_of(job.unit.side, job.data, "cpu")
    made.run_epoch(pretraining_of(job.unit, dataset, bank, ProcessGroup(0, 2)))


def ended(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_rank_that_is_killed_is_named_at_once(two: tuple[WorkerGroup, RankJob]) -> None:
    made, job = two
    os.kill(made.processes[1], signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(RankError, match=r"^rank 1 of 2 was ended by SIGKILL$"):
        trained(made, job)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("timeout", [3.0])
def test_a_rank_that_does_not_answer_is_an_error_and_is_ended(
    two: tuple[WorkerGroup, RankJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_group, "NOTICE_SECONDS", 0.2)
    made, job = two
    os.kill(made.processes[1], signal.SIGSTOP)
    with pytest.raises(RankError, match=r"^rank 1 of 2 gave no answer for 3 s$"):
        trained(made, job)
    assert ended(made.processes[1])


def test_an_error_of_rank_0_stays_what_it_is_and_the_others_are_ended(
    two: tuple[WorkerGroup, RankJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, job = two

    def fails(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("skelcon.pretrain.trainer.augmented_view", fails)
    with pytest.raises(torch.OutOfMemoryError):
        trained(made, job)
    assert ended(made.processes[1])


def test_a_death_that_rank_0_does_not_notice_ends_it(
    forked: None,
    dataset: SkeletonDataset,
    unit: PretrainUnit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With NCCL an exchange waits for a dead process, so that rank 0 raises no error."""
    monkeypatch.setattr(worker_group, "GRACE_SECONDS", 0.1)
    errors: list[Exception] = []
    job = RankJob(unit, dataset.path, tmp_path)
    made = WorkerGroup(GroupOptions(2), job, torch.device("cpu"), errors.append)
    os.kill(made.processes[1], signal.SIGKILL)
    give_up = time.monotonic() + 60
    while not errors and time.monotonic() < give_up:
        time.sleep(0.05)
    made.close()
    assert [str(error) for error in errors] == ["rank 1 of 2 was ended by SIGKILL"]


def test_a_rank_0_that_hangs_at_the_end_is_ended_with_the_first_cause(
    forked: None,
    dataset: SkeletonDataset,
    unit: PretrainUnit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors: list[Exception] = []
    job = RankJob(unit, dataset.path, tmp_path)
    made = WorkerGroup(GroupOptions(2), job, torch.device("cpu"), errors.append)
    destroy = distributed.destroy_process_group
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: (time.sleep(1), destroy()))
    os.kill(made.processes[1], signal.SIGKILL)
    with pytest.raises(RankError, match="SIGKILL"):
        trained(made, job)
    monkeypatch.setattr(worker_group, "GRACE_SECONDS", 0.1)
    made.close()
    assert [str(error) for error in errors] == ["rank 1 of 2 was ended by SIGKILL"]


def test_a_rank_that_cannot_start_says_why(
    forked: None, tmp_path: Path, dataset: SkeletonDataset, unit: PretrainUnit
) -> None:
    group = GroupOptions(2, plugins=("no_such_plugin",), directory=tmp_path)
    with pytest.raises(RankError, match=r"rank 1 of 2 ended with exit code 1: .*no_such_plugin"):
        started(unit, Store(tmp_path / "r"), dataset, group)


def test_a_rank_without_memory_is_out_of_memory(
    forked: None, tmp_path: Path, dataset: SkeletonDataset, unit: PretrainUnit
) -> None:
    """What the rank printed is in the unit's log."""
    plugin = tmp_path / "hungry.py"
    plugin.write_text(
        "import sys\n"
        "print('this rank asks for much', file=sys.stderr)\n"
        "raise SystemExit('torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB')\n"
    )
    store, group = (
        Store(tmp_path / "r"),
        GroupOptions(2, plugins=(str(plugin),), directory=tmp_path),
    )
    with pytest.raises(RankError) as caught:
        started(unit, store, dataset, group)
    record_failure(store, unit.key, caught.value)
    assert store.failure(unit.key) == OUT_OF_MEMORY
    log = (store.directory(unit.key) / "log.txt").read_text()
    assert "rank 1 said:\nthis rank asks for much\n" in log


def test_more_ranks_than_gpus_are_refused(
    dataset: SkeletonDataset, unit: PretrainUnit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    job = RankJob(unit, dataset.path, tmp_path)
    with pytest.raises(RankError, match="--gpus-per-trial 2: this worker sees 1 GPU"):
        WorkerGroup(GroupOptions(2), job, torch.device("cuda"), lambda error: None)


RANK_0 = """
import json, os, signal, sys, torch
from pathlib import Path
from ablation.units import read_unit
from ablation.work.context import GroupOptions
from ablation.work.worker_group import RankJob, WorkerGroup

config, data, unit = sys.argv[1:]
job = RankJob(read_unit(json.loads(config)), Path(data), Path(unit))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
for _ in range(2):
    if os.fork() == 0:
        group = WorkerGroup(GroupOptions(2), job, torch.device("cpu"), print)
        print(os.getpid(), group.processes[1], flush=True)
        signal.sigwait([signal.SIGUSR1])
        break
else:
    os.wait(), os.wait()
"""


def test_a_rank_ends_with_its_rank_0(
    dataset: SkeletonDataset, unit: PretrainUnit, tmp_path: Path
) -> None:
    """Rank 0 is killed, or exits without leaving the group."""
    words = [json.dumps(unit.to_json()), str(dataset.path), str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", RANK_0, *words], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        groups = [list(map(int, program.stdout.readline().split())) for _ in range(2)]
        assert not any(ended(each) for group in groups for each in group)
        for (rank_0, _), sent in zip(groups, (signal.SIGKILL, signal.SIGUSR1), strict=True):
            os.kill(rank_0, sent)
        assert program.wait(30) == 0
    give_up = time.monotonic() + 60
    while not all(ended(rank) for _, rank in groups):
        assert time.monotonic() < give_up
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc")
def test_ranks_listen_on_loopback_only(two: tuple[WorkerGroup, RankJob]) -> None:
    made, _ = two
    links = set()
    for process in (os.getpid(), *made.processes.values()):
        for handle in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed since
                links.add(str(handle.readlink()))
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and f"socket:[{rest[5]}]" in links:
                found.add(local.split(":")[0])
    assert found == {"0100007F"}
