r"""The standard error of a mean over tested clips, which come in groups.

Clips of one subject (or camera, setup) are correlated, so n clips of G groups hold less information
than n independent ones. The standard error that allows for any correlation within the groups is the
cluster-robust one (Liang and Zeger 1986; Cameron and Miller, "A Practitioner's Guide to
Cluster-Robust Inference", 2015, for a regression on a constant, with their factor G / (G - 1)).
With :math:`u_g` the sum of :math:`x_i - \bar x` over the clips i of group g,

.. math:: s^2_{groups} = \frac{G}{G - 1} \, \frac{1}{n^2} \sum_g u_g^2 .

With few groups this estimate varies a lot and may by chance be far too small. The standard error is
therefore at least the one of independent clips (for hits the binomial one),

.. math:: s^2_{clips} = \frac{1}{n (n - 1)} \sum_i (x_i - \bar x)^2 .

Neither includes the variation over training subjects: the folds of a cross-validation share most of
their training clips.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def standard_error(hits: ArrayLike, groups: ArrayLike) -> float:
    """The standard error of the mean of ``hits``: the larger of the two in the module's docstring.

    Args:
        hits: (n,) 0 or 1 for each clip, or the mean over seeds.
        groups: (n,) the group of each clip; with a single group clips count as independent.

    Returns:
        The standard error, in the unit of ``hits``.

    Raises:
        ValueError: for fewer than two clips, or arrays of different shapes.
    """
    values, members = np.asarray(hits, np.float64), np.asarray(groups)
    if values.ndim != 1 or values.shape != members.shape or len(values) < 2:
        raise ValueError(f"{values.shape} hits in groups of {members.shape}: give two or more")
    residuals, n = values - values.mean(), len(values)
    of_clips = float((residuals**2).sum()) / (n * (n - 1))
    which = np.unique(members, return_inverse=True)[1]
    sums = np.bincount(which, residuals)
    count = len(sums)
    of_groups = count / (count - 1) * float((sums**2).sum()) / n**2 if count > 1 else 0.0
    return math.sqrt(max(of_clips, of_groups))


def paired_difference(a: ArrayLike, b: ArrayLike, groups: ArrayLike) -> tuple[float, float]:
    """The mean of ``a`` less the mean of ``b`` on the same clips, and its standard error.

    The error is the :func:`standard_error` of the differences :math:`a_i - b_i`: the difficulty of
    a clip, which both share, cancels.

    Args:
        a, b: (n,) hits of two rows on the same clips.
        groups: (n,) the group of each clip.

    Returns:
        Difference and standard error, in the unit of the hits.

    Raises:
        ValueError: for fewer than two clips, or arrays of different shapes.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape:
        raise ValueError(f"{first.shape} and {second.shape} hits cannot be paired")
    differences: NDArray[np.float64] = first - second
    return float(differences.mean()), standard_error(differences, groups)
