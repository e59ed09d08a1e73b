"""A plan and finished units, for tests of costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ablation.costs import CostModel
from ablation.costs.traits import Hardware
from ablation.plan import Plan, make_plan
from ablation.scheduler.resources import Resources
from ablation.store import Store, write_json
from ablation.study import load_study
from ablation.units import PretrainUnit, Unit
from skelcon.data import SkeletonDataset
from skelcon.settings import put

HERE = Hardware.of_trial(Resources())


def plan_of(dataset: SkeletonDataset, file: Path, seeds: int = 1, **overrides: Any) -> Plan:
    changed: dict[str, Any] = {}
    for name, value in overrides.items():
        put(changed, name.replace("__", "."), value)
    return make_plan(
        load_study(file),
        dataset,
        preset="paper",
        seeds=tuple(range(seeds)),
        overrides=changed,
    )


def finish(
    store: Store,
    unit: Unit,
    seconds: float,
    dataset: SkeletonDataset,
    hardware: Hardware = HERE,
    size: int = 1000,
    gpu: tuple[float, float] | None = None,
) -> Path:
    """As a finished unit leaves its directory, as far as costs are read from it."""
    directory = store.begin(unit.key, unit.to_json())
    on_gpu = hardware.device == "cuda"
    names: dict[str, Any] = {"cpu": "a CPU", "gpu": None}
    if on_gpu:
        names = {"cpu": "a CPU", "gpu": hardware.name, "gpu_mib": gpu[1] if gpu else None}
    else:
        names["cpu"] = hardware.name
    values = {
        "seconds": seconds,
        "device": hardware.device,
        "threads": hardware.threads,
        "hardware": names,
        "data": {"name": dataset.name},
        "peak_memory": {"gpu_mib": gpu[0]} if gpu else {},
    }
    write_json(directory / "provenance.json", values)
    (directory / "weights.safetensors").write_bytes(b"0" * size)
    store.finish(unit.key)
    return directory


def model_of(store: Store, dataset: SkeletonDataset, **resources: Any) -> CostModel:
    return CostModel.of(store, [dataset], Resources(**resources))


def pretrainings(plan: Plan) -> list[PretrainUnit]:
    return [unit for unit in plan.units.values() if isinstance(unit, PretrainUnit)]
