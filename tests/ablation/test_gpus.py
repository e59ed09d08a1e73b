"""What ``--gpus-per-trial`` makes of a share, of several, and of ``auto``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_cost import finish, plan_of

from ablation.gpus import AutoGpus, parse_gpus, settled
from ablation.history import Hardware, History, trial_hardware
from ablation.plan import Plan
from ablation.resources import Resources
from ablation.store import Store, write_json
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError

GPU = Hardware("cuda", "a GPU")


@pytest.fixture
def plan(dataset: SkeletonDataset, study_file: Path) -> Plan:
    return plan_of(dataset, study_file)


def test_a_number_or_auto() -> None:
    assert [parse_gpus(text) for text in ("0", "0.25", "2")] == [0, 0.25, 2]
    assert isinstance(parse_gpus("auto"), AutoGpus)
    for wrong in ("a", "", "nan", "inf", "Auto"):
        with pytest.raises(UserError, match=f"^--gpus-per-trial {wrong}: give a number"):
            parse_gpus(wrong)


def test_more_than_one_gpu_is_a_whole_number() -> None:
    for right in (0, 0.3, 1, 4):
        Resources(gpus_per_trial=right).check()
    with pytest.raises(UserError, match=r"--gpus-per-trial 1\.5: give a share of one GPU"):
        Resources(gpus_per_trial=1.5).check()


def choice(plan: Plan, store: Store, asked: Resources, *, cuda: bool) -> tuple[float, list[str]]:
    said: list[str] = []
    units = list(plan.units.values())
    found = settled(asked, store, [plan], units, said.append, lambda: cuda)
    return found.gpus_per_trial, said


def test_auto_takes_what_like_units_needed(
    plan: Plan, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    store, asked = Store(tmp_path), Resources(gpus_per_trial=parse_gpus("auto"))
    logical = choice(plan, store, asked, cuda=False)
    assert logical == (0, ["--gpus-per-trial auto: no GPU, as torch sees none here"])
    gpus, said = choice(plan, store, asked, cuda=True)
    assert gpus == 1
    assert "a whole GPU, as no finished unit tells" in said[0]
    for unit in plan.units.values():
        finish(store, unit, 1.0, dataset, hardware=GPU, gpu=(3000.0, 40000.0))
    assert choice(plan, store, asked, cuda=True) == (
        0.12, ["--gpus-per-trial auto: 0.12 of a GPU, by the peak memory of like units"]
    )  # fmt: skip
    assert choice(plan, store, asked, cuda=False)[0] == 0
    assert choice(plan, store, Resources(gpus_per_trial=1), cuda=True) == (1, [])
    # The peak of a rank is that of a part of each batch: it tells nothing.
    for unit in plan.units.values():
        values = store.provenance(unit.key)
        write_json(store.directory(unit.key) / "provenance.json", {**values, "ranks": 2})
    assert choice(plan, store, asked, cuda=True)[0] == 1


def test_a_batch_that_the_gpus_cannot_divide_is_the_users_mistake(
    plan: Plan, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    assert choice(plan, store, Resources(gpus_per_trial=4), cuda=False) == (4, [])
    with pytest.raises(UserError, match=r"pretrain\.batch 8 cannot be divided among 3 devices"):
        choice(plan, store, Resources(gpus_per_trial=3), cuda=False)


def test_the_time_of_one_device_is_not_that_of_two(
    plan: Plan, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    store, two = Store(tmp_path), trial_hardware(2, 1, lambda: False)
    assert str(replace(two, name="X")) == "2 x X"
    assert trial_hardware(0.5, 1, lambda: False).ranks == 1
    for unit in plan.units.values():
        finish(store, unit, 1.0, dataset, hardware=replace(two, ranks=1))
    history = History.read(store, [dataset], two)
    told = {}
    for unit in plan.units.values():
        rate = history.rate(unit)
        assert rate is not None
        told[unit.kind] = rate.basis
    assert told["pretrain"].endswith("on other hardware (a GPU)")
    assert told["evaluate"].endswith("on this hardware")


@pytest.mark.parametrize(
    ("gpu", "alone", "share"), [(0.25, False, 0.25), (0.25, True, 1.0), (2, False, 1.0)]
)
def test_a_worker_may_not_take_more_of_a_gpu_than_its_share(
    gpu: float, alone: bool, share: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a stand-in for the GPU; also when the same worker takes up another unit."""
    from ablation.trainables import UnitTrainable

    caps: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", caps.append)
    worker = object.__new__(UnitTrainable)  # without Ray's own part
    config: dict[str, Any] = {"gpu": gpu, "alone": alone, "threads": torch.get_num_threads()}
    worker.setup(config)
    assert worker.reset_config({**config, "alone": False})
    assert caps == [share, min(1.0, gpu)]


def test_without_a_gpu_nothing_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logical GPUs: the trial trains on the CPU."""
    from ablation.trainables import UnitTrainable

    caps: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", caps.append)
    worker = object.__new__(UnitTrainable)
    worker.setup({"gpu": 0.25, "alone": False, "threads": torch.get_num_threads()})
    assert caps == []
