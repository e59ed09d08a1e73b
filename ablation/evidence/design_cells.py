"""The cells of one column of a design, and the effects that are weighted sums of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablation.designs import Axis
from ablation.designs.matrix import Pair, contrasts, interaction_of, levels_in
from ablation.evidence.evidence import Evidence
from ablation.statistics import LEVEL, Estimate, estimate_of
from ablation.statistics.effects import Fit, fit_of

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """A main effect or an interaction.

    A main effect is the difference between two levels of a factor. An interaction is how much such
    a difference changes between two levels of another factor.

    Attributes:
        factors: the factor, or the two that interact.
        levels: the level of each factor; for a range its upper end.
        against: the level of each factor that it is compared with.
        difference: as a fraction.
        p_holm: corrected p value; None if there is no error.
    """

    factors: tuple[str, ...]
    levels: tuple[str, ...]
    against: tuple[str, ...]
    difference: Estimate
    p_holm: float | None = None

    @property
    def shown(self) -> bool:
        """Whether it is significant: corrected p value below 5 %, and an interval without zero."""
        within = self.difference.interval
        if within is None or self.p_holm is None or self.difference.seeds < 2:
            return False
        return self.p_holm < LEVEL and not within[0] <= 0 <= within[1]


@dataclass(frozen=True)
class DesignCells:
    """The cells of a column.

    Attributes:
        axes: the factors that vary, by name.
        levels: factor -> the levels that occur.
        values: (R, S) the value of each run and seed.
        clips, groups: (R, N) the mean hits over seeds, and (N,) the groups of the clips; None if
            the runs did not test the same clips.
        whole: whether the runs are all combinations of their levels. Never with a range, as runs
            differ from its line.
    """

    axes: Mapping[str, Axis]
    levels: Mapping[str, Sequence[str]]
    values: Array
    clips: Array | None
    groups: NDArray[np.int64] | None
    whole: bool

    @classmethod
    def of(
        cls,
        evidence: Evidence,
        column: str,
        used: Sequence[str],
        seeds: Sequence[int],
        runs: Sequence[Mapping[str, str]],
        axes: Sequence[Axis],
    ) -> DesignCells:
        """The cells of some runs and seeds.

        Args:
            evidence: the samples of the table.
            column: the column.
            used: the names of the runs' rows.
            seeds: the seeds that all of these have.
            runs: the levels of each run.
            axes: the factors that vary.
        """
        where = [(name, column) for name in used]
        values = np.array([[evidence.values[cell][seed] for seed in seeds] for cell in where])
        hits = [evidence.hits.get(cell) for cell in where]
        known = [each for each in hits if each is not None]
        same = len(known) == len(hits) and all(
            np.array_equal(each.clips, known[0].clips) for each in known
        )
        clips = groups = None
        if same:
            own = [each.hits[[each.seeds.index(seed) for seed in seeds]] for each in known]
            clips, groups = np.stack([each.mean(axis=0) for each in own]), known[0].groups
        levels = {each.name: levels_in(each, [run[each.name] for run in runs]) for each in axes}
        distinct = {tuple(run[axis.name] for axis in axes) for run in runs}
        whole = len(distinct) == math.prod(map(len, levels.values()))
        whole &= all(axis.range is None for axis in axes)
        return cls({axis.name: axis for axis in axes}, levels, values, clips, groups, whole)

    def fit(self, *columns: Mapping[str, Array]) -> Fit:
        """Fit the model with a mean and these columns."""
        every = [each for group in columns for each in group.values()]
        model = np.concatenate([np.ones((len(self.values), 1)), *every], axis=1)
        return fit_of(self.values, model, whole=self.whole)

    def main(self, columns: Mapping[str, Array], fit: Fit) -> Iterator[Effect]:
        """The difference of every level of a factor to every earlier one."""
        start = 1
        for name, own in columns.items():
            for level, against, change in self._changes(name):
                weights = change @ fit.weights[start : start + own.shape[1]]
                yield Effect((name,), (level,), (against,), self._estimate(weights, fit))
            start += own.shape[1]

    def interaction(
        self, columns: Mapping[str, Array], pair: Pair, basis: str
    ) -> tuple[Effect, ...]:
        """The interactions of two factors, for each level of both against their first.

        Returns:
            () if the runs cannot estimate them: the columns are linearly dependent, or the error
            would not have the same ``basis`` as the main effects.
        """
        own = interaction_of(columns[pair[0]], columns[pair[1]])
        try:
            fit = self.fit(columns, {"": own})
        except ValueError:
            return ()
        if fit.basis != basis or not fit.basis:
            return ()
        below = fit.weights[-own.shape[1] :]
        changes = [[c for c in self._changes(name) if c[1] == self._first(name)] for name in pair]
        return tuple(
            Effect(
                pair, (a[0], b[0]), (a[1], b[1]), self._estimate(np.kron(a[2], b[2]) @ below, fit)
            )
            for a, b in itertools.product(*changes)
        )

    def _first(self, name: str) -> str:
        axis = self.axes[name]
        return f"{axis.range[0]:g}" if axis.range is not None else self.levels[name][0]

    def _changes(self, name: str) -> Iterator[tuple[str, str, Array]]:
        """A level, an earlier level, and the difference of the factor's columns between them."""
        axis, levels = self.axes[name], self.levels[name]
        if axis.range is not None:
            yield f"{axis.range[1]:g}", f"{axis.range[0]:g}", np.ones(1)
            return
        codes = contrasts(len(levels))
        for first, second in itertools.combinations(range(len(levels)), 2):
            yield levels[second], levels[first], codes[second] - codes[first]

    def _estimate(self, weights: Array, fit: Fit) -> Estimate:
        """A weighted sum of the runs' means.

        ``seeds`` of the estimate is the degrees of freedom of the model plus 1.
        """
        value = float(weights @ self.values.mean(axis=1))
        groups, of_groups = 0, 0.0
        if self.clips is not None:
            by_clip = estimate_of((weights @ self.clips)[None], self.groups)
            groups, of_groups = by_clip.groups, by_clip.of_groups
        of_model = fit.variance * float(weights @ weights)
        return Estimate(value, fit.freedom + 1, groups, of_model, of_groups)
