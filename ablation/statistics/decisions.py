"""From p values to decisions: many comparisons at once, and how many seeds would settle one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ablation.statistics.estimate import LEVEL, Estimate

POWER = 0.8
"""How often a difference is to be found that is as large as the one measured."""
MOST_SEEDS = 100
"""More are not proposed."""
_MOST_ENUMERATED = 14


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


def swap_test(differences: ArrayLike) -> float | None:
    """The exact p value of a mean difference, by swapping the two rows seed by seed.

    Two trainings of one seed, one for each row, may be exchanged where the rows do not differ;
    what is tested are the trainings, on these very clips. Of n seeds it cannot be below 2 / 2^n,
    so that five of them never reach 5 %.

    Args:
        differences: (n,) the difference of each seed.

    Returns:
        None of a single seed. Beyond 14 seeds 2^14 random swaps are drawn, always the same.
    """
    values = np.asarray(differences, np.float64)
    if len(values) < 2:
        return None
    if len(values) <= _MOST_ENUMERATED:
        swaps = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
    else:
        draws = np.random.default_rng(0)
        swaps = draws.integers(0, 2, (2**_MOST_ENUMERATED, len(values)))
        swaps[0] = 0  # what was measured is one of them
    means = np.abs((1 - 2 * swaps) @ values)
    return float(np.mean(means >= np.abs(values.sum()) * (1 - 1e-9)))


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
        critical = stats.t.ppf(1 - level / 2, future.freedom_of_p)
        if abs(future.value) / future.error >= critical + stats.norm.ppf(POWER):
            return seeds
    return None
