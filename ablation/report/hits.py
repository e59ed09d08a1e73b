"""Which tested clips were right, from the predictions in the store: what errors are taken from."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablation.plan import Plan
from ablation.report.uncertainty import paired_difference, standard_error
from ablation.store import Store
from ablation.store.unit_files import PREDICTIONS

METRIC = "top1"
"""The metric that is a mean over clips."""


@dataclass(frozen=True)
class ClipHits:
    """How often each tested clip was right.

    Attributes:
        clips: (n,) their indices, ascending.
        hits: (n,) shares of the seeds (and of a fine-tuning's subsets), in [0, 1].
        groups: (n,) as `skelcon.data.groups_of` has them.
    """

    clips: NDArray[np.int64]
    hits: NDArray[np.float64]
    groups: NDArray[np.int64]

    @property
    def mean(self) -> float:
        """The accuracy over all clips."""
        return float(self.hits.mean())

    @property
    def error(self) -> float | None:
        """The standard error of :attr:`mean` over clips and groups; None of a single clip."""
        return standard_error(self.hits, self.groups) if len(self.hits) > 1 else None

    def less(self, other: ClipHits) -> tuple[float, float] | None:
        """The paired difference to ``other`` and its standard error; None on other clips."""
        if not np.array_equal(self.clips, other.clips) or len(self.clips) < 2:
            return None
        return paired_difference(self.hits, other.hits, self.groups)


def read_hits(store: Store, seeds: Sequence[Sequence[str]]) -> ClipHits | None:
    """Of finished evaluations: the mean over the seeds.

    Args:
        store: where they are.
        seeds: of each seed the keys of its evaluations, such as one for each fold, which test
            different clips.

    Returns:
        None where predictions, or the groups of their clips, are missing.
    """
    found = [_pooled(store, keys) for keys in seeds]
    known = [each for each in found if each is not None]
    if not known or len(known) < len(found):
        return None
    first = known[0]
    if not all(np.array_equal(first.clips, each.clips) for each in known):
        return None
    hits = np.mean([each.hits for each in known], axis=0)
    return ClipHits(first.clips, hits, first.groups)


def _pooled(store: Store, keys: Sequence[str]) -> ClipHits | None:
    """The clips of all evaluations together."""
    parts = []
    with contextlib.suppress(OSError, ValueError, LookupError, zipfile.BadZipFile):
        for key in keys:
            with np.load(store.files(key).path(PREDICTIONS)) as saved:
                right = np.atleast_2d(saved["prediction"] == saved["label"]).mean(axis=0)
                parts.append((saved["clip"], right, saved["group"]))
        clips, hits, groups = map(np.concatenate, zip(*parts, strict=True))
        order = np.argsort(clips)
        return ClipHits(clips[order], hits[order], groups[order])
    return None


def hits_of(plan: Plan, store: Store) -> dict[tuple[str, str], ClipHits]:
    """(row, column) -> its hits, where a seed has been evaluated on all of its folds."""
    seeds: dict[tuple[str, str], dict[int, list[str]]] = {}
    for cell in plan.cells:
        if cell.unit is not None and plan.metric(cell.column) == METRIC:
            keys = seeds.setdefault((cell.row, cell.column), {}).setdefault(cell.seed, [])
            keys.append(cell.unit.key)
    found = {}
    for where, of_seeds in seeds.items():
        done = [keys for keys in of_seeds.values() if all(map(store.is_done, keys))]
        hits = read_hits(store, done)
        if hits is not None:
            found[where] = hits
    return found
