"""``--gpus-per-trial``: a share, several, and ``auto``."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from test_cost import finish, model_of, plan_of

from ablation.costs import AutoGpus, CostModel, gpus, parse_gpus, resolve_gpus
from ablation.costs.history import History, Rate
from ablation.costs.model import gpu_share
from ablation.costs.traits import Hardware
from ablation.costs.view import print_cost
from ablation.plan import Plan
from ablation.scheduler.resources import Resources
from ablation.store import Store, write_json
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError

GPU, NO_GPU = Hardware("cuda", "a GPU"), Hardware("cuda", None)


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


def test_an_evaluation_takes_one_gpu_of_several(
    plan: Plan, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    nodes = [{"CPU": 8.0, "GPU": 4.0}]
    trained, evaluated = (
        next(unit for unit in plan.units.values() if unit.kind == kind)
        for kind in ("pretrain", "evaluate")
    )
    for asked, taken in ((0.25, (0.25, 0.25)), (1, (1, 1)), (4, (4, 1))):
        resources = Resources(gpus_per_trial=asked)
        assert (resources.gpus_of(trained), resources.gpus_of(evaluated)) == taken
        for each in taken:
            ask = resources.of_trial(each, nodes, alone=False)
            assert ask == {"cpu": 1, "gpu": each}
            alone = resources.of_trial(each, nodes, alone=True)
            assert alone == {"cpu": 1, "gpu": max(1, each)}
    store = Store(tmp_path)
    for unit in (trained, evaluated):
        finish(store, unit, 3600.0, dataset, hardware=GPU)
    model = model_of(store, dataset, gpus_per_trial=4)
    assert model.cost([trained, evaluated]).gpu_hours == pytest.approx(5)


def test_a_share_is_of_the_gpu_of_this_machine_if_it_is_smaller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rate, asked = Rate(1.0, "", gpu_mib=3000.0, gpu_total_mib=40000.0), Resources(0, 1)
    here = SimpleNamespace(total_memory=12000 * 2**20)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda at: here)
    assert gpu_share([rate], asked) == 0.5  # two times 4,024 MiB are in 10,800
    here.total_memory = 80000 * 2**20
    assert gpu_share([rate], asked) == 0.12


def test_a_plan_suggests_the_share(plan: Plan, dataset: SkeletonDataset, tmp_path: Path) -> None:
    store, units, said = Store(tmp_path), list(plan.units.values()), io.StringIO()
    for unit in units:
        finish(store, unit, 1.0, dataset, hardware=GPU, gpu=(3000.0, 40000.0))
    model = model_of(store, dataset, gpus_per_trial=0.5, max_concurrent=1)
    print_cost(Console(file=said), model.cost(units), model)
    assert "so little GPU memory that --gpus-per-trial 0.12 is enough." in said.getvalue()


def choice(
    plan: Plan, store: Store, asked: Resources, hardware: Hardware = GPU
) -> tuple[float, list[str]]:
    said: list[str] = []
    units = list(plan.units.values())
    model = CostModel.of(store, plan.datasets, asked)
    model.__dict__["hardware"] = hardware  # what this machine would have
    return resolve_gpus(model, units, said.append).resources.gpus_per_trial, said


def test_auto_takes_what_like_units_needed(
    plan: Plan, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    store, asked = Store(tmp_path), Resources(gpus_per_trial=parse_gpus("auto"))
    logical = choice(plan, store, asked, NO_GPU)
    assert logical == (0, ["--gpus-per-trial auto: no GPU, as torch sees none here"])
    number, said = choice(plan, store, asked)
    assert number == 1
    assert "a whole GPU, as no finished unit shows" in said[0]
    for unit in plan.units.values():
        finish(store, unit, 1.0, dataset, hardware=GPU, gpu=(3000.0, 40000.0))
    assert choice(plan, store, asked) == (
        0.12,
        ["--gpus-per-trial auto: 0.12 of a GPU, by the peak memory of similar units"],
    )
    assert choice(plan, store, asked, NO_GPU)[0] == 0
    assert choice(plan, store, Resources(gpus_per_trial=1)) == (1, [])
    # The peak of a rank is that of a part of each batch: it is no evidence.
    for unit in plan.units.values():
        values = store.provenance(unit.key)
        write_json(store.directory(unit.key) / "provenance.json", {**values, "ranks": 2})
    assert choice(plan, store, asked)[0] == 1


@pytest.mark.parametrize(("there", "taken"), [(0.0, 0.0), (8.0, 1.0)])
def test_auto_asks_the_cluster(
    plan: Plan, tmp_path: Path, there: float, taken: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Resources(gpus_per_trial=parse_gpus("auto"), address="auto")
    monkeypatch.setattr(gpus, "nodes_of_cluster", lambda resources: [{"GPU": there}])
    number, said = choice(plan, Store(tmp_path), asked)
    assert number == taken
    assert ("as the cluster has none" in said[0]) == (not there)


def test_a_batch_that_the_gpus_cannot_divide_is_the_users_mistake(
    plan: Plan, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    assert choice(plan, store, Resources(gpus_per_trial=4)) == (4, [])
    with pytest.raises(UserError, match=r"pretrain\.batch 8 cannot be divided among 3 devices"):
        choice(plan, store, Resources(gpus_per_trial=3))


def test_the_time_of_one_device_is_not_that_of_two(
    plan: Plan, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    store, two = Store(tmp_path), replace(Hardware.of_trial(Resources(1, 2)), name=None)
    assert str(replace(two, name="X")) == "2 x X"
    assert Hardware.of_trial(Resources(1, 0.5)).ranks == 1
    for unit in plan.units.values():
        finish(store, unit, 1.0, dataset, hardware=replace(two, ranks=1))
    history = History.read(store, [dataset])
    bases = {}
    for unit in plan.units.values():
        rate = history.rate(unit, two)
        assert rate is not None
        bases[unit.kind] = rate.basis
    assert bases["pretrain"].endswith("on other hardware (a GPU)")
    assert bases["evaluate"].endswith("on this hardware")


@pytest.mark.parametrize(
    ("gpu", "alone", "share"), [(0.25, False, 0.25), (0.25, True, 1.0), (2, False, 1.0)]
)
def test_a_worker_may_not_take_more_of_a_gpu_than_its_share(
    gpu: float, alone: bool, share: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a stand-in for the GPU; also when the same worker gets another unit."""
    from ablation.scheduler.trainables import UnitTrainable

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
    from ablation.scheduler.trainables import UnitTrainable

    caps: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", caps.append)
    worker = object.__new__(UnitTrainable)
    worker.setup({"gpu": 0.25, "alone": False, "threads": torch.get_num_threads()})
    assert caps == []
