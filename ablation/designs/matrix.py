"""The design matrix: columns of main effects and interactions, and which of them are aliased."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablation.designs.config import Axis

Array = NDArray[np.float64]
Pair = tuple[str, str]
SAME = 0.999
"""Effects whose columns have at least this correlation are fully aliased."""
_NONE = 1e-6
"""Correlations up to this are rounding errors."""


def contrasts(levels: int) -> Array:
    """(levels, levels - 1) Helmert contrasts: columns orthogonal to each other and to the mean.

    Their mean square is 1, so that over all combinations the main effects of all factors have the
    identity as second moment. For two levels they are -1 and 1.
    """
    found = np.zeros((levels, levels - 1))
    for j in range(levels - 1):
        found[: j + 1, j], found[j + 1, j] = -1, j + 1
        found[:, j] *= math.sqrt(levels / ((j + 1) * (j + 2)))
    return found


def position(axis: Axis, value: str) -> float:
    """Where a number lies on a range: from -1/2 at the lower end to 1/2 at the upper one."""
    assert axis.range is not None
    at, low, high = (math.log(x) if axis.log else x for x in (float(value), *axis.range))
    return (at - low) / (high - low) - 0.5


def levels_in(axis: Axis, values: Sequence[str]) -> list[str]:
    """The levels of an axis that occur among ``values``, in its order; unknown ones last."""
    known = [level for level in axis.levels if level in values]
    return known + sorted({*values} - {*known})


def columns_of(axis: Axis, values: Sequence[str]) -> Array:
    """(n, d) columns of the main effect of a factor; d is the number of levels less 1, or 1.

    Args:
        axis: the factor.
        values: the level of each of the n runs.
    """
    if axis.range is not None:
        return np.array([[position(axis, value)] for value in values])
    levels = levels_in(axis, values)
    return contrasts(len(levels))[[levels.index(value) for value in values]]


def interaction_of(a: Array, b: Array) -> Array:
    """(n, d_a * d_b) products of the columns of two factors."""
    return np.asarray(np.einsum("ni,nj->nij", a, b).reshape(len(a), -1), np.float64)


def correlation(a: Array, b: Array) -> float:
    """The largest canonical correlation of two groups of columns (n, d)."""
    first, second = _basis(a), _basis(b)
    if not (first.size and second.size):
        return 0.0
    return float(np.linalg.svd(first.T @ second, compute_uv=False).max())


def _basis(columns: Array) -> Array:
    """Orthonormal columns with the same span as the centred ones."""
    centred = columns - columns.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(left[:, sizes > 1e-9 * max(1.0, sizes.max(initial=0))], np.float64)


@dataclass(frozen=True)
class Aliases:
    """Which effects are aliased in some runs.

    Attributes:
        resolution: 3 if main effects are aliased with two-factor interactions, 4 if only such
            interactions are aliased with each other, 5 if neither.
        same: groups of interactions that are fully aliased with each other.
        main: main effect -> the interactions that it is aliased with, with their correlation.
    """

    resolution: int
    same: tuple[tuple[Pair, ...], ...]
    main: Mapping[str, Mapping[Pair, float]]


def aliased_with(main: Mapping[str, Array], pair: Pair) -> dict[Pair, float]:
    """The interactions that the one of ``pair`` is aliased with, with their correlation.

    Args:
        main: factor -> columns of its main effect.
        pair: two of the factors.
    """
    own = interaction_of(main[pair[0]], main[pair[1]])
    found = {
        other: correlation(own, interaction_of(main[other[0]], main[other[1]]))
        for other in itertools.combinations(main, 2)
        if other != pair
    }
    return {other: value for other, value in found.items() if value > _NONE}


def aliases_of(main: Mapping[str, Array]) -> Aliases:
    """The aliases in runs; ``main`` has the columns of each factor's main effect."""
    pairs = {
        pair: interaction_of(main[pair[0]], main[pair[1]])
        for pair in itertools.combinations(main, 2)
    }
    of_main: dict[str, dict[Pair, float]] = {}
    for name, columns in main.items():
        found = {pair: correlation(columns, own) for pair, own in pairs.items() if name not in pair}
        aliases = {pair: value for pair, value in found.items() if value > _NONE}
        if aliases:
            of_main[name] = aliases
    groups: list[list[Pair]] = []
    pairs_are_aliased = False
    for pair, columns in pairs.items():
        for group in groups:
            value = correlation(columns, pairs[group[0]])
            pairs_are_aliased |= value > _NONE
            if value > SAME and columns.shape == pairs[group[0]].shape:
                group.append(pair)
                break
        else:
            groups.append([pair])
    same = tuple(tuple(group) for group in groups if len(group) > 1)
    resolution = 3 if of_main else 4 if pairs_are_aliased else 5
    return Aliases(resolution, same, of_main)
