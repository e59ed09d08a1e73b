"""From p values to decisions: many comparisons at once, and how many seeds would settle one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ablation.statistics.estimate import LEVEL, Estimate

POWER = 0.8
"""How often a difference is to be found that is as large as the one measured."""
MOST_SEEDS = 100
"""More are not proposed."""


def adjusted(p_values: Sequence[float]) -> NDArray[np.float64]:
    """The p values after Holm's correction (1979): each may be held against the level itself.

    Whatever their dependence, the chance of any false positive among them stays below the level.
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values)
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    found = np.empty(len(values))
    found[order] = np.minimum(steps, 1.0)
    return found


def seeds_to_settle(difference: Estimate, tests: int = 1) -> int | None:
    """How many seeds would show this difference, if it is the true one, four times in five.

    The variance of the seeds shrinks with their number, that of the test sample stays.

    Args:
        difference: what was measured.
        tests: so many comparisons are corrected for (by Bonferroni, the first step of Holm).

    Returns:
        None if :data:`MOST_SEEDS` are not enough: only a larger test sample would help, or nothing
        is known of the seeds (there is one).
    """
    if difference.seeds < 2 or difference.value == 0:
        return None
    level = LEVEL / tests
    for seeds in range(2, MOST_SEEDS + 1):
        of_seeds = difference.of_seeds * difference.seeds / seeds
        future = replace(difference, seeds=seeds, of_seeds=of_seeds)
        if future.error == 0:
            return seeds
        critical = special.stdtrit(future.freedom_of_p, 1 - level / 2)
        if abs(future.value) / future.error >= critical + special.ndtri(POWER):
            return seeds
    return None
