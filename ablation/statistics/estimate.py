r"""A mean over seeds and tested clips with its interval, and its test against zero.

An accuracy is a mean over two crossed samples: n seeds, each of which is one training, and the
tested clips, which all seeds share and which come in G groups (subjects, cameras, setups) of
correlated clips. With :math:`x_{si}` the hit of seed s on clip i, the seeds' part and the
groups' part of the variance of the mean are

.. math::

    V_{seeds} = \frac{1}{n (n - 1)} \sum_s (\bar x_{s \cdot} - \bar x)^2, \qquad
    V_{groups} = \frac{G}{G - 1} \frac{1}{N^2} \sum_g
        \Bigl(\sum_{i \in g} (\bar x_{\cdot i} - \bar x)\Bigr)^2 ,

the second being the cluster-robust variance (Liang and Zeger 1986). Their sum counts the
interaction of seeds and groups twice, which is conservative. The 95 % interval is Student's, with
the degrees of freedom of Satterthwaite (1946),

.. math:: \nu = \frac{(V_{seeds} + V_{groups})^2}
                    {V_{seeds}^2 / (n - 1) + V_{groups}^2 / (G - 1)}.

Where a variance is small by chance these are too many, which matters far out in the tail, where p
values lie that survive a correction for many comparisons. The p value uses the harmonic mean of
:math:`\nu` and the degrees of freedom of the smaller sample, :math:`\min(n, G) - 1`, which is
conservative. Both are checked by simulation in the tests.

A bootstrap over three seeds or four subjects gives too narrow intervals: resampling n values has
(n - 1) / n of their variance, and no t quantile. A permutation test that swaps two rows seed by
seed cannot go below p = 2 / 2^n, which is 6 % with five seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

LEVEL = 0.05
"""The level of all intervals (95 %) and tests (5 % false positives)."""


@dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of two, and the two parts of its variance.

    Attributes:
        value: the mean.
        seeds: n; with a single seed the variance over seeds is unknown, and ``of_seeds`` is 0.
        groups: G; 0 if the tested clips are unknown, and then ``of_groups`` is 0.
        of_seeds, of_groups: the parts of the variance of the mean over seeds and over groups.
    """

    value: float
    seeds: int
    groups: int
    of_seeds: float
    of_groups: float

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return math.sqrt(self.of_seeds + self.of_groups)

    @property
    def known(self) -> bool:
        """Whether a standard error can be estimated: from two or more seeds, or groups."""
        return self.seeds > 1 or self.groups > 1

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean; None if no standard error is known."""
        if not self.known:
            return None
        half = 0.0
        if self.error > 0:
            half = float(special.stdtrit(self._freedom, 1 - LEVEL / 2)) * self.error
        return self.value - half, self.value + half

    @property
    def p(self) -> float | None:
        """The two-sided p value of the test against zero; None if no standard error is known."""
        if not self.known:
            return None
        if self.error == 0:
            return float(self.value == 0)
        return 2 * float(special.stdtr(self.freedom_of_p, -abs(self.value) / self.error))

    @property
    def freedom_of_p(self) -> float:
        """Degrees of freedom of the test; infinite if the standard error is 0."""
        samples = [freedom for _, freedom in self._parts()]
        return 2 / (1 / self._freedom + 1 / min(samples)) if samples else math.inf

    @property
    def _freedom(self) -> float:
        """Satterthwaite's degrees of freedom."""
        return float(self.error**4 / sum(part**2 / freedom for part, freedom in self._parts()))

    def _parts(self) -> list[tuple[float, int]]:
        """The parts of the variance that are known, each with its degrees of freedom."""
        parts = [(self.of_seeds, self.seeds - 1), (self.of_groups, self.groups - 1)]
        return [(part, freedom) for part, freedom in parts if part > 0 and freedom > 0]


def estimate_of(values: ArrayLike, groups: ArrayLike | None = None) -> Estimate:
    """The mean of hits with the variance over seeds and over test groups.

    Args:
        values: (n, N) hits of n seeds on N clips; without groups (n,), one value per seed.
        groups: (N,) the group of each clip. With a single group each clip counts as a group.

    Raises:
        ValueError: if there are no values, or ``groups`` has another number of clips.
    """
    found = np.asarray(values, np.float64)
    if groups is None:
        found = found[:, None]
    if found.ndim != 2 or not found.size:
        raise ValueError(f"hits of shape {found.shape}: give seeds by clips, at least one of each")
    n, clips = found.shape
    mean = found.mean()
    of_seeds = float(((found.mean(axis=1) - mean) ** 2).sum()) / (n * (n - 1)) if n > 1 else 0.0
    if groups is None:
        return Estimate(float(mean), n, 0, of_seeds, 0.0)
    members = np.asarray(groups)
    if members.shape != (clips,):
        raise ValueError(f"hits of shape {found.shape} with groups of shape {members.shape}")
    which = np.unique(members, return_inverse=True)[1]
    if which.max() == 0:
        which = np.arange(clips)
    sums = np.bincount(which, found.mean(axis=0) - mean)
    count = len(sums)
    of_groups = count / (count - 1) * float((sums**2).sum()) / clips**2 if count > 1 else 0.0
    return Estimate(float(mean), n, count, of_seeds, of_groups)


def difference_of(a: ArrayLike, b: ArrayLike, groups: ArrayLike | None = None) -> Estimate:
    """The mean of ``a`` less the mean of ``b``, paired seed by seed and clip by clip.

    What both share (a hard clip, a subject, the draws of a seed) cancels.

    Args:
        a, b: as in :func:`estimate_of`, with the same seeds and clips.
        groups: (N,) the group of each clip.

    Raises:
        ValueError: if the numbers of seeds or clips differ.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape:
        raise ValueError(f"{first.shape} and {second.shape} hits cannot be paired")
    return estimate_of(first - second, groups)


def unpaired_difference(a: Estimate, b: Estimate) -> Estimate:
    """``a`` less ``b``, where they have different clips or seeds.

    The parts of the variance add up (Welch 1947). Each has the degrees of freedom of the smaller of
    the two samples, which is conservative. A part that is unknown for one of them (a single seed,
    no clips) is unknown for the difference, too.
    """
    seeds, groups = min(a.seeds, b.seeds), min(a.groups, b.groups)
    return Estimate(
        a.value - b.value,
        seeds,
        groups,
        a.of_seeds + b.of_seeds if seeds > 1 else 0.0,
        a.of_groups + b.of_groups if groups > 1 else 0.0,
    )
