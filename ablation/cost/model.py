"""What units cost: time, GPU-hours and disk, each number with its basis. Knows nothing of Ray.

A unit's seconds are taken from earlier results (`ablation.cost.history`) or from a measurement
(`ablation.cost.probe`); the time of all is that of running them in the available slots, each after
what it needs (`ablation.cost.schedule`). A unit of which nothing is known makes the total a lower
bound.
"""

from __future__ import annotations

import functools
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ablation.cost.hardware import Hardware, trial_hardware
from ablation.cost.history import History, Rate
from ablation.cost.schedule import slots_of, wall_seconds
from ablation.cost.sizes import written_bytes
from ablation.store import Store
from ablation.store.unit_files import CHECKPOINT, UnitFiles
from ablation.text import readable
from ablation.units import Unit
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError

if TYPE_CHECKING:
    from ablation.runner.resources import Resources

UNKNOWN = "unknown: no like unit"

CONTEXT_MIB = 1024.0
"""What a process takes of a GPU beside its tensors: the context and the allocator's slack."""

GPU_SHARE = 0.9
"""How much of a GPU's memory trials that share it may plan with."""


@dataclass(frozen=True)
class Estimate:
    """What one unit costs.

    Attributes:
        seconds: of its trial, without what its checkpoint holds; None if unknown.
        basis: where that number comes from.
        left: the share that is still to run, less than 1 for a unit with a checkpoint.
        size: bytes that it leaves; None if unknown.
        checkpoint: bytes of its checkpoint while it runs.
        rate: what a clip costs; None if unknown.
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


@dataclass(frozen=True)
class CostModel:
    """Estimates what units cost, from earlier results and for given resources.

    Attributes:
        store: whose finished units are the evidence.
        history: that evidence.
        resources: what a trial takes.
        cluster: CPUs and GPUs of the cluster that will run them, if it was asked.
    """

    store: Store
    history: History
    resources: Resources
    cluster: tuple[float, float] | None = None

    @classmethod
    def of(
        cls,
        store: Store,
        datasets: Iterable[SkeletonDataset],
        resources: Resources,
        *,
        ask_cluster: bool = False,
    ) -> CostModel:
        """Read the evidence.

        Args:
            store: whose finished units are the evidence.
            datasets: what the units read.
            resources: what a trial takes.
            ask_cluster: connect to the cluster of ``--address`` and ask for its size; otherwise
                such a cluster runs ``--max-concurrent`` trials at once, or an unknown number.
        """
        size = None
        if ask_cluster and resources.address is not None:
            from ablation.runner.session import cluster  # imports Ray

            with cluster(resources) as nodes:
                cpus, gpus = (sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU"))
                size = cpus, gpus
        return cls(store, History.read(store, datasets), resources, size)

    @functools.cached_property
    def hardware(self) -> Hardware:
        """What a trial runs on."""
        return trial_hardware(self.resources.gpus_per_trial, self.resources.cpus_per_trial)

    @property
    def slots(self) -> int | None:
        """How many trials run at once; None if that is not known."""
        if self.cluster is not None:
            return slots_of(self.resources, *self.cluster)
        if self.resources.address is not None:
            return self.resources.max_concurrent
        return slots_of(self.resources)

    def cost(self, units: Sequence[Unit]) -> Cost:
        """What it costs to run ``units``; what they need that is not among them is done."""
        estimates = {unit.key: self.estimate(unit) for unit in units}
        known = {key: e.seconds for key, e in estimates.items() if e.seconds is not None}
        resources, slots, work = self.resources, self.slots, sum(known.values())
        seconds = None
        if slots and (known or not units):
            seconds = wall_seconds(units, known, slots)
        return Cost(
            estimates=estimates,
            slots=slots,
            seconds=seconds,
            work_seconds=work,
            unknown=len(estimates) - len(known),
            gpu_hours=sum(known.get(u.key, 0.0) * resources.gpus_of(u) for u in units) / 3600,
            core_hours=work * resources.cpus_per_trial / 3600,
            disk_bytes=self._disk_bytes(list(estimates.values()), slots or 1),
            unknown_size=sum(1 for e in estimates.values() if e.size is None),
            gpu_share=gpu_share([e.rate for e in estimates.values()], resources),
        )

    def estimate(self, unit: Unit) -> Estimate:
        """What ``unit`` costs, and the basis of that."""
        rate, clips = self.history.rate(unit, self.hardware), self.history.clips.seen(unit)
        left = share_left(unit, self.store)
        seconds = rate.seconds * clips * left if rate is not None and clips is not None else None
        counted, size = written_bytes(unit, self.history.clips), self.history.size(unit)
        if size is None and counted is not None:
            size = counted.left
        return Estimate(
            seconds=seconds,
            basis=rate.basis if rate is not None and seconds is not None else UNKNOWN,
            left=left,
            size=size,
            checkpoint=counted.checkpoint if counted is not None else 0,
            rate=rate,
        )

    def needs_probe(self, unit: Unit) -> bool:
        """Whether no finished unit has these encoders on this hardware and this data."""
        rate = self.history.rate(unit, self.hardware)
        return rate is None or rate.difference.is_rough

    def probe(
        self,
        units: Sequence[Unit],
        steps: int,
        progress: Callable[[Unit, int, int], None] = lambda unit, done, total: None,
    ) -> None:
        """Measure ``steps`` steps of each kind of unit that earlier results do not cover.

        ``progress`` is called before each: with the unit, how many were measured, and of how many.
        """
        from ablation.cost.probe import probe  # imports torch

        missing = [unit for unit in units if self.needs_probe(unit)]
        threads = max(1, int(self.resources.cpus_per_trial))
        probe(missing, self.history, self.hardware, steps, threads, progress)

    def _disk_bytes(self, estimates: Sequence[Estimate], slots: int) -> int:
        at_once = sorted((e.checkpoint for e in estimates), reverse=True)[:slots]
        # A checkpoint is replaced by renaming a whole new one: for a moment there are two.
        written = sum(e.size or 0 for e in estimates) + 2 * sum(at_once)
        return written + sum(self._kept(e) * e.checkpoint for e in estimates)

    def _kept(self, estimate: Estimate) -> int:
        """How many of a training's checkpoints stay, as far as its time is known."""
        policy = self.resources.checkpoints
        if policy.keep == "all" and policy.every and estimate.seconds:
            return math.ceil(estimate.seconds / policy.every) + 1
        return 0 if policy.keep == "none" else 1


def share_left(unit: Unit, store: Store) -> float:
    """How much of ``unit`` is to run: all, or what a checkpoint leaves, by its logged epochs."""
    files = UnitFiles(store.directory(unit.key))
    if not files.has(CHECKPOINT) or not unit.epochs:
        return 1.0
    return max(0.0, 1 - len(files.metrics()) / unit.epochs)


def gpu_share(rates: Sequence[Rate | None], resources: Resources) -> float | None:
    """A smaller ``--gpus-per-trial`` that the measured peak memory allows, or None.

    1/n for the largest n of trials whose peaks fit into one GPU together, the smallest of those
    that were measured and of this machine's.
    """
    if resources.gpus_per_trial > 1:  # for speed, not for memory
        return None
    known = [rate for rate in rates if rate is not None and rate.gpu_mib and rate.gpu_total_mib]
    if not known or not resources.gpus_per_trial or any(rate is None for rate in rates):
        return None
    import torch

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
        total, _, free = shutil.disk_usage(existing)
    except OSError:
        return  # not known: the first write that fails says so
    if not total or not os.access(existing, os.W_OK):
        return  # it cannot be written to at all, which `Store.check_writable` reports
    if cost.disk_bytes > free:
        raise UserError(
            f"the disk of --results {results} has {readable(free)} free, and the units to run "
            f"write about {readable(cost.disk_bytes)}: free some (skelcon-ablate clean), or "
            "choose another disk with --results"
        )
