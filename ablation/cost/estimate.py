"""What a plan costs: time, GPU-hours and disk of the units that are to run. Knows nothing of Ray.

Each unit's seconds come of earlier results (`ablation.cost.history`) or of a measurement
(`ablation.cost.probe`); the time of all is that of handing them out to the slots, each after what
it needs. No number is without its basis, and a unit that nothing is known of makes the total a
bound.
"""

from __future__ import annotations

import heapq
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ablation.cost.history import OTHER_DATA, OTHER_HARDWARE, OTHER_SIZES, History, Rate
from ablation.cost.sizes import readable, written_bytes
from ablation.plan import Unit
from ablation.runner.resources import Resources
from ablation.store import Store
from ablation.work.checkpoints import CheckpointPolicy
from skelcon.errors import UserError

UNKNOWN = "unknown: no like unit"

CONTEXT_MIB = 1024.0
"""What a process takes of a GPU beside its tensors: the context and the allocator's slack."""

GPU_SHARE = 0.9
"""How much of a GPU's memory trials that share it may plan with."""


@dataclass(frozen=True)
class Estimate:
    """What one unit costs.

    Attributes:
        seconds: on its slot, what its checkpoint holds left out; None if unknown.
        basis: where that number comes from.
        left: the share that is still to run, less than 1 for a unit with a checkpoint.
        size: bytes that it leaves; None if unknown.
        checkpoint: bytes of its checkpoint while it runs.
    """

    seconds: float | None
    basis: str
    left: float
    size: int | None
    checkpoint: int
    rate: Rate | None


@dataclass(frozen=True)
class Cost:
    """What units cost together.

    Attributes:
        estimates: key -> what that unit costs.
        slots: how many trials run at once; None if that is not known.
        seconds: from the first start to the last end; a lower bound if ``unknown``; None if
            nothing or the slots are not known.
        work_seconds: of all trials, one after another.
        unknown: how many units' seconds are not known.
        disk_bytes: what will be written and stay, and the checkpoints of those that run at once;
            a lower bound if ``unknown_size``.
        gpu_share: the ``--gpus-per-trial`` that the peak memory of like units suggests.
    """

    estimates: Mapping[str, Estimate]
    slots: int | None
    seconds: float | None
    work_seconds: float
    unknown: int
    gpu_hours: float
    core_hours: float
    disk_bytes: int
    unknown_size: int
    gpu_share: float | None

    @property
    def known(self) -> dict[str, float]:
        """Key -> seconds of the units of which they are known."""
        return {key: e.seconds for key, e in self.estimates.items() if e.seconds is not None}


def cost_of(
    units: Sequence[Unit], history: History, store: Store, resources: Resources, slots: int | None
) -> Cost:
    """What it costs to run ``units``, those that they need and that are not done among them."""
    estimates = {unit.key: estimate(unit, history, store) for unit in units}
    known = {key: e.seconds for key, e in estimates.items() if e.seconds is not None}
    unknown = len(estimates) - len(known)
    work = sum(known.values())
    seconds = None
    if slots and (known or not units):
        seconds = wall_seconds(units, known, slots)
    at_once = sorted((e.checkpoint for e in estimates.values()), reverse=True)
    # A checkpoint is replaced by renaming a whole new one: for a moment there are two.
    disk = sum(e.size or 0 for e in estimates.values()) + 2 * sum(at_once[: slots or 1])
    disk += sum(_kept(e, resources.checkpoints) * e.checkpoint for e in estimates.values())
    return Cost(
        estimates=estimates,
        slots=slots,
        seconds=seconds,
        work_seconds=work,
        unknown=unknown,
        gpu_hours=sum(known.get(u.key, 0.0) * resources.gpus_of(u) for u in units) / 3600,
        core_hours=work * resources.cpus_per_trial / 3600,
        disk_bytes=disk,
        unknown_size=sum(e.size is None for e in estimates.values()),
        gpu_share=gpu_share([e.rate for e in estimates.values()], resources),
    )


def estimate(unit: Unit, history: History, store: Store) -> Estimate:
    """What ``unit`` costs, and how that is known."""
    rate, passes = history.rate(unit), history.clips.passes(unit.config)
    left = share_left(unit, store)
    seconds = rate.seconds * passes * left if rate is not None and passes is not None else None
    counted = written_bytes(unit.config, history.clips)
    like = history.size(unit)
    size = like[0] if like is not None else counted[0] if counted is not None else None
    return Estimate(
        seconds=seconds,
        basis=rate.basis if rate is not None and seconds is not None else UNKNOWN,
        left=left,
        size=size,
        checkpoint=counted[1] if counted is not None else 0,
        rate=rate,
    )


def _kept(estimate: Estimate, checkpoints: CheckpointPolicy) -> int:
    """How many of a training's checkpoints stay, as far as its time is known."""
    if checkpoints.keep == "all" and checkpoints.every and estimate.seconds:
        return math.ceil(estimate.seconds / checkpoints.every) + 1
    return 0 if checkpoints.keep == "none" else 1


def share_left(unit: Unit, store: Store) -> float:
    """How much of ``unit`` is to run: all, or what a checkpoint leaves, by its logged epochs."""
    directory = store.directory(unit.key)
    if not unit.epochs or not (directory / "checkpoint.pt").exists():
        return 1.0
    try:
        logged = (directory / "metrics.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 1.0
    return max(0.0, 1 - logged / unit.epochs)


def needs_probe(unit: Unit, history: History) -> bool:
    """Whether nothing on this hardware, with these encoders and this data, tells the time."""
    rate = history.rate(unit)
    return rate is None or rate.distance >= min(OTHER_DATA, OTHER_HARDWARE, OTHER_SIZES)


def wall_seconds(units: Sequence[Unit], seconds: Mapping[str, float], slots: int) -> float:
    """When the last of ``units`` ends if ``slots`` trials run at once, as the runner hands out.

    What is ready goes in order, evaluations first. Units without seconds take none, and what a
    unit needs that is not among ``units`` is done.
    """
    order = {unit.key: (unit.kind != "evaluate", at) for at, unit in enumerate(units)}
    by_key = {unit.key: unit for unit in units}
    waiting = {key: {k for k in unit.needs if k in by_key} for key, unit in by_key.items()}
    needed_by: dict[str, list[str]] = {}
    for key, needs in waiting.items():
        for each in needs:
            needed_by.setdefault(each, []).append(key)
    ready = [(order[key], key) for key, needs in waiting.items() if not needs]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < slots:
            _, key = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds.get(key, 0.0), key))
        now, ended = heapq.heappop(running)
        for key in needed_by.get(ended, ()):
            waiting[key].discard(ended)
            if not waiting[key]:
                heapq.heappush(ready, (order[key], key))
    return now


def slots_of(
    resources: Resources, cpus: float | None = None, gpus: float | None = None
) -> int | None:
    """How many trials fit at once, into a cluster of ``cpus`` and ``gpus`` or this machine.

    None where not even one fits and ``--max-concurrent`` does not say: the machine that the plan
    is made on is then not the one that runs it.
    """
    cpus = float(os.cpu_count() or 1) if cpus is None else cpus
    gpus = float(torch.cuda.device_count()) if gpus is None else gpus
    fit = math.floor(cpus / resources.cpus_per_trial + 1e-9)
    share = resources.gpus_per_trial
    if share >= 1:
        fit = min(fit, math.floor(gpus / share + 1e-9))
    elif share > 0:
        fit = min(fit, math.floor(1 / share + 1e-9) * math.floor(gpus))
    if fit < 1:
        return resources.max_concurrent
    return min(fit, resources.max_concurrent or fit)


def gpu_share(rates: Sequence[Rate | None], resources: Resources) -> float | None:
    """A smaller ``--gpus-per-trial`` that the measured peak memory allows, or None.

    1/n for the largest n of trials whose peaks fit into one GPU together: of those that were
    measured and this machine's the smallest.
    """
    if resources.gpus_per_trial > 1:  # to be faster, not for the memory
        return None
    known = [rate for rate in rates if rate is not None and rate.gpu_mib and rate.gpu_total_mib]
    if not known or not resources.gpus_per_trial or any(rate is None for rate in rates):
        return None
    peak = max(rate.gpu_mib or 0.0 for rate in known) + CONTEXT_MIB
    total = min(rate.gpu_total_mib or 0.0 for rate in known)
    for at in range(torch.cuda.device_count()):
        total = min(total, torch.cuda.get_device_properties(at).total_memory / 2**20)
    fit = math.floor(GPU_SHARE * total / peak)
    share = math.floor(100 / fit) / 100 if fit >= 2 else 1.0
    return share if 0 < share < resources.gpus_per_trial else None


def check_disk(results: Path, cost: Cost) -> None:
    """UserError if the file system of ``results`` cannot hold what would be written."""
    existing = results.absolute()
    while not existing.exists():
        existing = existing.parent
    try:
        free = shutil.disk_usage(existing).free
    except OSError:
        return  # not known: the first write that fails says so
    if cost.disk_bytes > free:
        raise UserError(
            f"the disk of --results {results} has {readable(free)} free, and the units to run "
            f"write about {readable(cost.disk_bytes)}: free some (skelcon-ablate clean), or "
            "choose another disk with --results"
        )


def to_json(cost: Cost, units: Sequence[Unit]) -> dict[str, object]:
    """All of it as plain values, for scripts; the kinds as :func:`kinds` groups them."""
    return {
        "slots": cost.slots,
        "seconds": cost.seconds,
        "trial_seconds": cost.work_seconds,
        "gpu_hours": cost.gpu_hours,
        "core_hours": cost.core_hours,
        "disk_bytes": cost.disk_bytes,
        "units_of_unknown_time": cost.unknown,
        "units_of_unknown_size": cost.unknown_size,
        "suggested_gpus_per_trial": cost.gpu_share,
        "kinds": [
            {
                "kind": name,
                "units": len(members),
                "seconds": sum(cost.estimates[u.key].seconds or 0.0 for u in members)
                if all(cost.estimates[u.key].seconds is not None for u in members)
                else None,
                "disk_bytes": sum(cost.estimates[u.key].size or 0 for u in members),
                "basis": basis,
            }
            for (name, basis), members in kinds(units, cost).items()
        ],
    }


def kinds(units: Sequence[Unit], cost: Cost) -> dict[tuple[str, str], list[Unit]]:
    """The units by what a reader tells apart: kind or task, representations, and basis."""
    found: dict[tuple[str, str], list[Unit]] = {}
    for unit in units:
        found.setdefault((kind_of(unit), cost.estimates[unit.key].basis), []).append(unit)
    return found


def kind_of(unit: Unit) -> str:
    """``pre-training SEQ+STG`` or ``linear SEQ``."""
    name = "pre-training" if unit.kind == "pretrain" else str(unit.config["task"])
    return f"{name} {'+'.join(unit.representations).upper()}"
