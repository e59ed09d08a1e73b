"""What units cost: time, GPU-hours and disk, each with the basis of the estimate. Without Ray.

The seconds of a unit are taken from earlier results (`ablation.costs.history`) or from a
measurement (`ablation.costs.probe`). The total time is how long all units take in the available
slots, each after the units that it needs (`ablation.costs.forecast`). With an unknown unit the
total is a lower bound.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablation.costs.forecast import wall_seconds
from ablation.costs.history import History, Rate
from ablation.costs.sizes import written_bytes
from ablation.costs.traits import Hardware
from ablation.store import Store
from ablation.store.unit_files import CHECKPOINT
from ablation.units import Unit

if TYPE_CHECKING:
    from ablation.scheduler.resources import Resources
    from skelcon.data import SkeletonDataset

UNKNOWN = "unknown: no similar unit"

CONTEXT_MIB = 1024.0
"""GPU memory of a process beside its tensors: the context, and unused memory of the allocator."""

GPU_SHARE = 0.9
"""The part of a GPU's memory that is divided among trials."""


@dataclass(frozen=True)
class UnitCost:
    """What one unit costs; None for an unknown value.

    Attributes:
        seconds: of its trial, without the epochs that its checkpoint has.
        basis: where this estimate comes from.
        left: the share that is still to run, less than 1 for a unit with a checkpoint.
        size: bytes of its files when it is done.
        checkpoint: bytes of its checkpoint while it runs.
    """

    unit: Unit
    seconds: float | None
    basis: str
    left: float
    size: int | None
    checkpoint: int
    rate: Rate | None


@dataclass(frozen=True)
class Cost:
    """What units cost together. ``plan --json`` prints the fields from ``slots`` on.

    Attributes:
        estimates: key -> what the unit costs.
        known: key -> the seconds of the unit, where they are known.
        slots: how many trials run at once; None if not known.
        seconds: from the first start to the last end; a lower bound if some units are unknown; None
            if all are, or if the slots are not known.
        trial_seconds: the sum over all trials.
        disk_bytes: the files that stay, and the checkpoints of units that run at once; a lower
            bound if some units are unknown.
        suggested_gpus_per_trial: from the peak memory of similar units.
    """

    estimates: Mapping[str, UnitCost]
    known: Mapping[str, float]
    slots: int | None
    seconds: float | None
    trial_seconds: float
    gpu_hours: float
    core_hours: float
    disk_bytes: int
    units_of_unknown_time: int
    units_of_unknown_size: int
    suggested_gpus_per_trial: float | None


@dataclass(frozen=True)
class CostModel:
    """Estimates what units cost, from earlier results and for given resources.

    Attributes:
        store: the results directory.
        history: the finished units of ``store``.
        resources: of a trial.
        nodes: of the cluster at ``--address``, if they were queried; otherwise the cluster runs
            ``--max-concurrent`` trials at once, or an unknown number.
    """

    store: Store
    history: History
    resources: Resources
    nodes: Sequence[Mapping[str, float]] | None = None

    @classmethod
    def of(
        cls,
        store: Store,
        datasets: Iterable[SkeletonDataset],
        resources: Resources,
        nodes: Sequence[Mapping[str, float]] | None = None,
    ) -> CostModel:
        """Read the finished units of ``store``, whose clips are counted in ``datasets``."""
        return cls(store, History.read(store, datasets), resources, nodes)

    @functools.cached_property
    def hardware(self) -> Hardware:
        """The hardware of a trial."""
        return Hardware.of_trial(self.resources)

    @property
    def slots(self) -> int | None:
        """How many trials run at once; None if not known."""
        if self.nodes is not None:
            return self.resources.slots_of(self.nodes)
        if self.resources.address is not None:
            return self.resources.max_concurrent
        here = {"CPU": float(os.cpu_count() or 1)}
        if self.resources.gpus_per_trial:
            import torch

            here["GPU"] = torch.cuda.device_count()
        return self.resources.slots_of([here])

    def cost(self, units: Sequence[Unit], *, count: bool = True) -> Cost:
        """What it costs to run ``units``; needed units that are not among them are done.

        Args:
            units: the units to run.
            count: also count the size of their files, for which torch is imported (seconds).
        """
        estimates = {unit.key: self.estimate(unit, count=count) for unit in units}
        each = list(estimates.values())
        known = {key: e.seconds for key, e in estimates.items() if e.seconds is not None}
        resources, slots, work = self.resources, self.slots, sum(known.values())
        of_gpus = (
            seconds * resources.gpus_of(estimates[key].unit) for key, seconds in known.items()
        )
        seconds = wall_seconds(units, known, slots) if slots and (known or not units) else None
        return Cost(
            estimates=estimates,
            known=known,
            slots=slots,
            seconds=seconds,
            trial_seconds=work,
            gpu_hours=sum(of_gpus) / 3600,
            core_hours=work * resources.cpus_per_trial / 3600,
            disk_bytes=self._disk_bytes(each, slots or 1),
            units_of_unknown_time=len(each) - len(known),
            units_of_unknown_size=sum(1 for e in each if e.size is None),
            suggested_gpus_per_trial=gpu_share([e.rate for e in each], resources),
        )

    def estimate(self, unit: Unit, *, count: bool = True) -> UnitCost:
        """What ``unit`` costs, and the basis of the estimate."""
        rate, clips = self.history.rate(unit, self.hardware), self.history.clips_seen(unit)
        left = share_left(unit, self.store)
        seconds, basis = None, UNKNOWN
        if rate is not None and clips is not None:
            seconds, basis = rate.seconds * clips * left, rate.basis
        counted, size = None, self.history.size(unit)
        if count:
            counted = written_bytes(unit, self.history)
        if size is None and counted is not None:
            size = counted.left
        checkpoint = counted.checkpoint if counted is not None else 0
        return UnitCost(unit, seconds, basis, left, size, checkpoint, rate)

    def needs_probe(self, unit: Unit) -> bool:
        """Whether no finished unit has these encoders on this hardware and this data."""
        rate = self.history.rate(unit, self.hardware)
        return rate is None or rate.difference.is_rough

    def _disk_bytes(self, estimates: Sequence[UnitCost], slots: int) -> int:
        at_once = sorted((e.checkpoint for e in estimates), reverse=True)[:slots]
        # Two each, as a new checkpoint is whole before it replaces the old one.
        written = sum(e.size or 0 for e in estimates) + 2 * sum(at_once)
        return written + sum(self._kept(e) * e.checkpoint for e in estimates)

    def _kept(self, estimate: UnitCost) -> int:
        """How many checkpoints of a training stay, as far as its time is known."""
        policy = self.resources.checkpoints
        if policy.keep == "all" and policy.every and estimate.seconds:
            return math.ceil(estimate.seconds / policy.every) + 1
        return 0 if policy.keep == "none" else 1


def nodes_of_cluster(resources: Resources) -> list[dict[str, float]] | None:
    """The resources of each node of the cluster at ``--address``; None without one."""
    if resources.address is None:
        return None
    from ablation.scheduler.session import cluster  # imports Ray: only where it is needed anyway

    with cluster(resources) as nodes:
        return [dict(node) for node in nodes]


def share_left(unit: Unit, store: Store) -> float:
    """The share of ``unit`` that is to run: 1, or less with a checkpoint, by the logged epochs."""
    files = store.files(unit.key)
    if not files.has(CHECKPOINT) or not unit.epochs:
        return 1.0
    return max(0.0, 1 - len(files.metrics()) / unit.epochs)


def gpu_share(rates: Sequence[Rate | None], resources: Resources) -> float | None:
    """A smaller ``--gpus-per-trial`` that the measured peak memory allows, or None.

    1/n for the largest number n of trials that fit into one GPU together. The GPU is the smallest
    one in the measurements and on this machine.
    """
    if not 0 < resources.gpus_per_trial <= 1:  # several GPUs are for speed, not for memory
        return None
    known = [rate for rate in rates if rate is not None and rate.gpu_mib and rate.gpu_total_mib]
    if not known or None in rates:
        return None
    import torch

    peak = max(rate.gpu_mib or 0.0 for rate in known) + CONTEXT_MIB
    total = min(rate.gpu_total_mib or 0.0 for rate in known)
    for at in range(torch.cuda.device_count()):
        total = min(total, torch.cuda.get_device_properties(at).total_memory / 2**20)
    fit = math.floor(GPU_SHARE * total / peak)
    share = math.floor(100 / fit) / 100 if fit >= 2 else 1.0
    return share if 0 < share < resources.gpus_per_trial else None
