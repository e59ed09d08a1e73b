r"""How far a mean over tested clips may be off: its standard error over clips and groups.

Clips of one subject (or camera, setup) are alike, so that n clips of G groups tell less than n
independent ones. The error of a mean that allows for any likeness within the groups is the
cluster-robust one (Liang and Zeger 1986; Cameron and Miller, "A Practitioner's Guide to
Cluster-Robust Inference", 2015, of a regression on a constant, with their factor G / (G - 1)): with
:math:`u_g` the sum of :math:`x_i - \bar x` over the clips i of group g,

.. math:: s^2_{groups} = \frac{G}{G - 1} \, \frac{1}{n^2} \sum_g u_g^2 .

With few groups it scatters, and may come out far too small by chance. It is not taken below the
error that independent clips have, for hits the binomial one,

.. math:: s^2_{clips} = \frac{1}{n (n - 1)} \sum_i (x_i - \bar x)^2 .

Neither knows what another set of training subjects would change: of a cross-validation the folds
share most of their training clips.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def standard_error(hits: ArrayLike, groups: ArrayLike) -> float:
    """The standard error of the mean of ``hits``: the larger of the two of this module's text.

    Args:
        hits: (n,) of each clip, such as 0 or 1, or their mean over seeds.
        groups: (n,) the group of each clip; with a single one only the clips count.

    Returns:
        The error, in the unit of ``hits``.

    Raises:
        ValueError: for fewer than two clips, or of other numbers of groups.
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
    """The mean of ``a`` less that of ``b`` on the same clips, and its standard error.

    Clip by clip the difficulty that both share is gone: of the differences
    :math:`a_i - b_i` the error is :func:`standard_error`.

    Args:
        a, b: (n,) hits of two rows, clip by clip.
        groups: (n,) the group of each clip.

    Returns:
        Difference and error, in the unit of the hits.

    Raises:
        ValueError: for fewer than two clips, or of other numbers of any.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape:
        raise ValueError(f"{first.shape} and {second.shape} hits cannot be paired")
    differences: NDArray[np.float64] = first - second
    return float(differences.mean()), standard_error(differences, groups)
