"""Simulated evaluations with a known truth: seeds, groups and clips are sources of variance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ablation.statistics import estimate_of

TRUTH = 0.7


@dataclass(frozen=True)
class World:
    """Standard deviations of the sources of variance of an accuracy."""

    name: str
    seeds: int
    groups: int
    of_seeds: float
    of_groups: float
    of_clips: float
    of_both: float
    """The interaction of group and seed."""
    clips: int = 430

    def __str__(self) -> str:
        return f"{self.name}, {self.seeds} seeds, {self.groups} groups"

    def tables(self, number: int) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
        """Hits (n, N) and groups (N,); groups differ in size, and hits are drawn at random."""
        draws = np.random.default_rng(0)
        for _ in range(number):
            shares = draws.dirichlet(np.full(self.groups, 20.0))
            sizes = np.maximum(2, draws.multinomial(self.clips, shares))
            groups = np.repeat(np.arange(self.groups), sizes)
            both = self.of_both * draws.standard_normal((self.seeds, self.groups))
            chance = (
                TRUTH
                + self.of_seeds * draws.standard_normal((self.seeds, 1))
                + self.of_groups * draws.standard_normal(self.groups)[groups]
                + self.of_clips * draws.standard_normal(len(groups))
                + both[:, groups]
            )
            yield (draws.random(chance.shape) < chance).astype(np.float64), groups


_KINDS = {
    "seeds, groups and clips": (0.03, 0.05, 0.1, 0.01),
    "mostly seeds": (0.06, 0.03, 0.1, 0.01),
    "mostly groups": (0.01, 0.06, 0.1, 0.01),
}
WORLDS = [
    World(name, seeds, 4, *deviations)
    for name, deviations in _KINDS.items()
    for seeds in (3, 5, 10)
]


class Coverage(NamedTuple):
    """Shares of the simulated tables."""

    interval: float
    """Tables whose 95 % interval holds the truth."""
    false_positives: float
    """Tables with p below 5 % for the test against the truth."""
    false_positives_far_out: float
    """The same at 1 %, as after a correction for several comparisons."""


def coverage(world: World, tables: int) -> Coverage:
    """The coverage of intervals and the false positives of tests in a world."""
    held, low, lower = [], [], []
    for hits, groups in world.tables(tables):
        # Against the truth: as the difference of a row to one that never errs about it.
        found = estimate_of(hits - TRUTH, groups)
        below, above = found.interval or (0.0, 0.0)
        held.append(below <= 0 <= above)
        p = found.p if found.p is not None else 1.0
        low.append(p < 0.05)
        lower.append(p < 0.01)
    return Coverage(float(np.mean(held)), float(np.mean(low)), float(np.mean(lower)))
