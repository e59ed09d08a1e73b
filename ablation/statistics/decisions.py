"""From p values to decisions: many comparisons at once, and how many seeds would settle one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ablation.statistics.estimate import LEVEL, Estimate

POWER = 0.8
"""How likely a true difference of the measured size is to be found."""
MOST_SEEDS = 100
"""More seeds are not proposed."""


def adjusted(p_values: Sequence[float]) -> NDArray[np.float64]:
    """The p values after Holm's correction (1979), to be compared with the level itself.

    The chance of any false positive among them stays below the level, however they depend on each
    other.
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values)
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    found = np.empty(len(values))
    found[order] = np.minimum(steps, 1.0)
    return found


def seeds_to_settle(difference: Estimate, tests: int = 1) -> int | None:
    """How many seeds would make this difference significant, with a power of :data:`POWER`.

    The measured difference is taken as the true one. The variance over seeds shrinks with their
    number; the variance over the test sample does not.

    Args:
        difference: the measured difference.
        tests: the number of comparisons to correct for (by Bonferroni, the first step of Holm).

    Returns:
        None if :data:`MOST_SEEDS` are not enough, so that only a larger test sample would help, or
        if there is a single seed, from which no variance over seeds is known.
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
