"""A unit whose pre-training several processes share: its numbers, and what ends it."""

from __future__ import annotations

import contextlib
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

from ablation.plan import Unit, make_plan
from ablation.store import Store
from ablation.study import load_study
from ablation.work import OUT_OF_MEMORY, UnitRun, bank_of, crew, pretraining_of, record_failure
from ablation.work.checkpoints import CheckpointPolicy
from ablation.work.crew import Crew, Job, RankError, Ranks
from skelcon.data import SkeletonDataset
from skelcon.pretrain.distributed import Team


@pytest.fixture
def unit(dataset: SkeletonDataset, study_file: Path) -> Unit:
    """The pre-training of an image encoder."""
    plan = make_plan(
        load_study(study_file).only(("crop+jitter",)),
        dataset,
        preset="paper",
        preset_tree={},
        seeds=(0,),
        overrides={"pretrain.epochs": 4},
    )
    return next(each for each in plan.units.values() if each.kind == "pretrain")


def begun(unit: Unit, store: Store, dataset: SkeletonDataset, ranks: Ranks) -> UnitRun:
    where = {dataset.fingerprint: dataset.path}
    often = CheckpointPolicy(every=0)
    return UnitRun(unit.config, store, where, "cpu", checkpoints=often, ranks=ranks)


def test_ranks_may_come_and_go_and_the_numbers_stay(
    tmp_path: Path, dataset: SkeletonDataset, unit: Unit
) -> None:
    """One process, then two, then one again, against one from start to end."""
    straight, mixed = Store(tmp_path / "a"), Store(tmp_path / "b")
    for store, sizes in ((straight, (1,)), (mixed, (1, 2, 1))):
        for size in sizes:
            run = begun(unit, store, dataset, Ranks(size))
            assert run.key == unit.key
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
def two(dataset: SkeletonDataset, unit: Unit, tmp_path: Path) -> Iterator[tuple[Crew, Job]]:
    """A crew of two ranks that trains ``unit``."""
    job = Job(unit.config, dataset.path, tmp_path)
    found: list[Exception] = []
    made = Crew(Ranks(2, answer=3), job, torch.device("cpu"), found.append)
    yield made, job
    made.close()
    assert not found


def trained(made: Crew, job: Job) -> None:
    dataset, bank = bank_of(job.config, job.data, "cpu")
    made.run_epoch(pretraining_of(job.config, dataset, bank, Team(0, 2)))


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_rank_that_is_killed_is_named_at_once(two: tuple[Crew, Job]) -> None:
    made, job = two
    os.kill(made.processes[1], signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(RankError, match=r"^rank 1 of 2 was ended by SIGKILL$"):
        trained(made, job)
    assert time.monotonic() - began < 3


def test_a_rank_that_does_not_answer_is_an_error_and_is_ended(
    two: tuple[Crew, Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "NOTICE_SECONDS", 0.2)
    made, job = two
    os.kill(made.processes[1], signal.SIGSTOP)
    with pytest.raises(RankError, match=r"^rank 1 of 2 gave no answer for 3 s$"):
        trained(made, job)
    assert gone(made.processes[1])


def test_an_error_of_rank_0_stays_what_it_is_and_the_others_are_ended(
    two: tuple[Crew, Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, job = two

    def fails(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("skelcon.pretrain.trainer.augmented_view", fails)
    with pytest.raises(torch.OutOfMemoryError):
        trained(made, job)
    assert gone(made.processes[1])


def test_a_death_that_rank_0_does_not_notice_ends_it(
    dataset: SkeletonDataset, unit: Unit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with NCCL, whose exchanges wait for a process that is dead."""
    monkeypatch.setattr(crew, "GRACE_SECONDS", 0.1)
    told: list[Exception] = []
    job = Job(unit.config, dataset.path, tmp_path)
    made = Crew(Ranks(2), job, torch.device("cpu"), told.append)
    os.kill(made.processes[1], signal.SIGKILL)
    give_up = time.monotonic() + 10
    while not told and time.monotonic() < give_up:
        time.sleep(0.05)
    made.close()
    assert [str(error) for error in told] == ["rank 1 of 2 was ended by SIGKILL"]


def test_who_waits_for_the_dead_when_letting_go_is_ended_with_the_first_cause(
    dataset: SkeletonDataset, unit: Unit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Exception] = []
    job = Job(unit.config, dataset.path, tmp_path)
    made = Crew(Ranks(2), job, torch.device("cpu"), told.append)
    let_go = distributed.destroy_process_group
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: (time.sleep(1), let_go()))
    monkeypatch.setattr(crew, "GRACE_SECONDS", 0.1)
    os.kill(made.processes[1], signal.SIGKILL)
    with pytest.raises(RankError, match="SIGKILL"):
        trained(made, job)
    made.close()
    assert [str(error) for error in told] == ["rank 1 of 2 was ended by SIGKILL"]


def test_a_rank_that_cannot_start_says_why(
    tmp_path: Path, dataset: SkeletonDataset, unit: Unit
) -> None:
    ranks = Ranks(2, plugins=("no_such_plugin",), directory=tmp_path)
    with pytest.raises(RankError, match=r"rank 1 of 2 ended with exit code 1: .*no_such_plugin"):
        begun(unit, Store(tmp_path / "r"), dataset, ranks)


def test_a_rank_without_memory_is_told_from_other_deaths(
    tmp_path: Path, dataset: SkeletonDataset, unit: Unit
) -> None:
    """And what it said stands in the unit's log."""
    plugin = tmp_path / "hungry.py"
    plugin.write_text(
        "import sys\n"
        "print('this rank asks for much', file=sys.stderr)\n"
        "raise SystemExit('torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB')\n"
    )
    store, ranks = Store(tmp_path / "r"), Ranks(2, plugins=(str(plugin),), directory=tmp_path)
    with pytest.raises(RankError) as caught:
        begun(unit, store, dataset, ranks)
    record_failure(store, unit.key, caught.value)
    assert store.failure(unit.key) == OUT_OF_MEMORY
    log = (store.directory(unit.key) / "log.txt").read_text()
    assert "rank 1 said:\nthis rank asks for much\n" in log


def test_more_ranks_than_gpus_are_refused(
    dataset: SkeletonDataset, unit: Unit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    job = Job(unit.config, dataset.path, tmp_path)
    with pytest.raises(RankError, match="--gpus-per-trial 2: this worker sees 1 GPU"):
        Crew(Ranks(2), job, torch.device("cuda"), lambda error: None)


def test_a_rank_ends_with_its_rank_0() -> None:
    """Which has been killed, and so has closed what it writes to."""
    done = subprocess.run(
        [sys.executable, "-m", "ablation.work.crew_member"],
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert done.returncode == crew.ABANDONED


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc")
def test_ranks_listen_on_loopback_only(two: tuple[Crew, Job]) -> None:
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
