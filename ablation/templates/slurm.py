"""How the units of a study are divided among the jobs of an array of SLURM."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ablation.units import Unit

MAX_JOBS = 1000
"""The most jobs of an array. (SLURM's default limit is 1001.)"""


def jobs_of(missing: Iterable[Unit]) -> list[str]:
    """The keys of each job's units, separated by commas: evaluations of the same pre-trainings.

    A job also runs what its units need, so a pre-training that is evaluated is not listed.
    """
    missing = list(missing)
    needed = {key for unit in missing for key in unit.needs}
    by_needs: dict[tuple[str, ...], list[str]] = {}
    for unit in missing:
        if unit.key not in needed:
            by_needs.setdefault(unit.needs, []).append(unit.key)
    groups = [",".join(keys) for keys in by_needs.values()]
    size = max(1, math.ceil(len(groups) / MAX_JOBS))
    return [",".join(groups[start : start + size]) for start in range(0, len(groups), size)]
