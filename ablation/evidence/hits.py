"""Which tested clips were classified correctly, from the predictions in the store."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablation.evidence.predictions import NoPredictionsError, read_predictions
from ablation.fusion import Fusion, evaluations_of
from ablation.plan import Plan
from ablation.statistics import (
    Estimate,
    difference_of,
    estimate_of,
    paired_difference,
    standard_error,
)
from ablation.store import Store
from ablation.units import Unit

METRIC = "top1"
"""The metric that is a mean over clips."""


@dataclass(frozen=True)
class ClipHits:
    """Which tested clips were classified correctly, seed by seed.

    Attributes:
        clips: (N,) indices of the clips, ascending.
        hits: (n, N) 0 or 1 for each seed and clip; a mean if there are several subsets of labels.
        groups: (N,) the group of each clip, as `skelcon.data.groups_of` gives it.
        seeds: the n seeds.
    """

    clips: NDArray[np.int64]
    hits: NDArray[np.float64]
    groups: NDArray[np.int64]
    seeds: tuple[int, ...]

    @property
    def mean(self) -> float:
        """The accuracy over all seeds and clips."""
        return float(self.hits.mean())

    @property
    def error(self) -> float | None:
        """The standard error of :attr:`mean` over clips and groups; None for a single clip."""
        if len(self.clips) < 2:
            return None
        return standard_error(self.hits.mean(axis=0), self.groups)

    @property
    def estimate(self) -> Estimate:
        """The accuracy with its interval over seeds, groups and clips."""
        return estimate_of(self.hits, self.groups)

    def less(self, other: ClipHits) -> tuple[float, float] | None:
        """The paired difference to ``other`` and its standard error; None if the clips differ."""
        if not np.array_equal(self.clips, other.clips) or len(self.clips) < 2:
            return None
        return paired_difference(self.hits.mean(axis=0), other.hits.mean(axis=0), self.groups)

    def difference(self, other: ClipHits) -> Estimate | None:
        """The paired difference to ``other`` over the seeds of both; None if the clips differ."""
        if not np.array_equal(self.clips, other.clips):
            return None
        shared = [seed for seed in self.seeds if seed in other.seeds]
        if not shared:
            return None
        own, others = (each.hits[[each.seeds.index(s) for s in shared]] for each in (self, other))
        return difference_of(own, others, self.groups)


def read_hits(store: Store, seeds: Mapping[int, Sequence[str | Fusion]]) -> ClipHits | None:
    """The hits of finished evaluations.

    Args:
        store: where they are.
        seeds: seed -> the keys (or fusions) of its evaluations, one per fold. The folds of a seed
            test different clips.

    Returns:
        None if predictions or groups are missing, or the seeds tested different clips.
    """
    found = [_pooled(store, keys) for keys in seeds.values()]
    known = [each for each in found if each is not None]
    if not known or len(known) < len(found):
        return None
    clips, _, groups = known[0]
    if not all(np.array_equal(clips, each[0]) for each in known):
        return None
    return ClipHits(clips, np.stack([hits for _, hits, _ in known]), groups, tuple(seeds))


def _pooled(
    store: Store, evaluations: Sequence[str | Fusion]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]] | None:
    """Clips, hits and groups of all evaluations together; None if predictions are missing."""
    try:
        parts = [read_predictions(store, each) for each in evaluations]
    except NoPredictionsError:
        return None
    clips = np.concatenate([part.clips for part in parts])
    hits = np.concatenate([part.right.mean(axis=0) for part in parts])
    groups = np.concatenate([part.groups for part in parts])
    order = np.argsort(clips)
    return clips[order], hits[order], groups[order]


def hits_of(plan: Plan, store: Store) -> dict[tuple[str, str], ClipHits]:
    """(row, column) -> its hits, over the seeds that are done on all of their folds."""
    found = {}
    for where, seeds in _finished(plan, store).items():
        hits = read_hits(store, seeds)
        if hits is not None:
            found[where] = hits
    return found


def of_other_clips(plan: Plan, store: Store, hits: Container[tuple[str, str]]) -> list[str]:
    """The columns with cells that have no ``hits`` because their seeds tested different clips."""
    found: dict[str, None] = {}
    for where, seeds in _finished(plan, store).items():
        if where not in hits and where[1] not in found:
            parts = [_pooled(store, evaluations) for evaluations in seeds.values()]
            clips = [part[0] for part in parts if part is not None]
            if not all(np.array_equal(clips[0], each) for each in clips):
                found[where[1]] = None
    return list(found)


def _finished(plan: Plan, store: Store) -> dict[tuple[str, str], dict[int, list[str | Fusion]]]:
    """(row, column) -> seed -> its evaluations, for the seeds that are done on all folds."""
    seeds: dict[tuple[str, str], dict[int, list[Unit | Fusion]]] = {}
    for cell in plan.cells:
        if cell.unit is not None and plan.metric(cell.column) == METRIC:
            units = seeds.setdefault((cell.row, cell.column), {}).setdefault(cell.seed, [])
            units.append(cell.unit)
    return {
        where: {
            seed: [unit if isinstance(unit, Fusion) else unit.key for unit in units]
            for seed, units in of_seeds.items()
            if all(store.is_done(each.key) for unit in units for each in evaluations_of(unit))
        }
        for where, of_seeds in seeds.items()
    }
