"""How many trials run at once, and how long they take together. Knows nothing of Ray."""

from __future__ import annotations

import heapq
import math
import os
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from ablation.units import Unit

if TYPE_CHECKING:
    from ablation.runner.resources import Resources


def wall_seconds(
    units: Iterable[Unit],
    seconds: Mapping[str, float],
    slots: int,
    running: Collection[str] = (),
) -> float:
    """When the last of ``units`` ends if ``slots`` trials run at once, as the queue hands out.

    Units that are ready start in their order, evaluations first.

    Args:
        units: those that are left; what they need that is not among them is done.
        seconds: key -> what a unit takes, or what is left of it; 0 for units that are not there.
        slots: how many trials run at once.
        running: keys of the units that run already.
    """
    by_key = {unit.key: unit for unit in units}
    order = {
        key: (key not in running, unit.kind != "evaluate", place)
        for place, (key, unit) in enumerate(by_key.items())
    }
    unmet = {key: {need for need in unit.needs if need in by_key} for key, unit in by_key.items()}
    dependents: dict[str, list[str]] = {}
    for key, needs in unmet.items():
        for need in needs:
            dependents.setdefault(need, []).append(key)
    ready = [(order[key], key) for key, needs in unmet.items() if not needs]
    heapq.heapify(ready)
    slots = max(1, slots, len(running))
    busy: list[tuple[float, str]] = []
    now = 0.0
    while ready or busy:
        while ready and len(busy) < slots:
            _, key = heapq.heappop(ready)
            heapq.heappush(busy, (now + seconds.get(key, 0.0), key))
        now, ended = heapq.heappop(busy)
        for key in dependents.get(ended, ()):
            unmet[key].discard(ended)
            if not unmet[key]:
                heapq.heappush(ready, (order[key], key))
    return now


def slots_of(
    resources: Resources, cpus: float | None = None, gpus: float | None = None
) -> int | None:
    """How many trials fit at once, into a cluster of ``cpus`` and ``gpus`` or this machine.

    None where not even one fits and ``--max-concurrent`` is not given: the plan is then made on
    another machine than the one that will run it.
    """
    cpus = float(os.cpu_count() or 1) if cpus is None else cpus
    fit = math.floor(cpus / resources.cpus_per_trial + 1e-9)
    share = resources.gpus_per_trial
    if share > 0:
        gpus = _gpus_here() if gpus is None else gpus
        # A share of a GPU never spans two of them.
        on_gpus = gpus / share if share >= 1 else math.floor(1 / share + 1e-9) * math.floor(gpus)
        fit = min(fit, math.floor(on_gpus + 1e-9))
    if fit < 1:
        return resources.max_concurrent
    return min(fit, resources.max_concurrent or fit)


def _gpus_here() -> float:
    import torch

    return float(torch.cuda.device_count())
