"""Runs as numbers: the columns of main effects and interactions, and which of them are aliased."""

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
"""From this correlation on two effects are one."""
_NONE = 1e-6


def contrasts(levels: int) -> Array:
    """(levels, levels - 1) Helmert's contrasts: columns that are orthogonal to each other and to 1.

    Their mean square is 1, so that of all combinations the columns of all main effects have the
    identity as their second moment; of two levels they are -1 and 1.
    """
    found = np.zeros((levels, levels - 1))
    for j in range(levels - 1):
        found[: j + 1, j], found[j + 1, j] = -1, j + 1
        found[:, j] *= math.sqrt(levels / ((j + 1) * (j + 2)))
    return found


def position(axis: Axis, value: str) -> float:
    """Where a number is on a range, from -1/2 at its lower end to 1/2."""
    assert axis.range is not None
    at, low, high = (math.log(x) if axis.log else x for x in (float(value), *axis.range))
    return (at - low) / (high - low) - 0.5


def levels_in(axis: Axis, values: Sequence[str]) -> list[str]:
    """The levels of an axis that occur among ``values``, in its order; unknown ones last."""
    known = [level for level in axis.levels if level in values]
    return known + sorted({*values} - {*known})


def columns_of(axis: Axis, values: Sequence[str]) -> Array:
    """(n, d) the main effect of a factor in runs at these levels; d levels less one, or 1."""
    if axis.range is not None:
        return np.array([[position(axis, value)] for value in values])
    levels = levels_in(axis, values)
    return contrasts(len(levels))[[levels.index(value) for value in values]]


def interaction_of(a: Array, b: Array) -> Array:
    """(n, d_a d_b) the products of the columns of two factors."""
    return np.asarray(np.einsum("ni,nj->nij", a, b).reshape(len(a), -1), np.float64)


def correlation(a: Array, b: Array) -> float:
    """The largest (canonical) correlation of what two groups of columns (n, d) can say."""
    first, second = _basis(a), _basis(b)
    if not (first.size and second.size):
        return 0.0
    return float(np.linalg.svd(first.T @ second, compute_uv=False).max())


def _basis(columns: Array) -> Array:
    """Orthonormal columns of the same span, without the mean."""
    centred = columns - columns.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(left[:, sizes > 1e-9 * max(1.0, sizes.max(initial=0))], np.float64)


@dataclass(frozen=True)
class Aliases:
    """What runs cannot tell apart.

    Attributes:
        resolution: 3 where a main effect is mixed with interactions of two others, 4 where such
            interactions are mixed with each other, 5 where nothing of this is.
        same: interactions that are one and the same effect, in groups.
        main: main effect -> the interactions that are a part of it, with their correlation.
    """

    resolution: int
    same: tuple[tuple[Pair, ...], ...]
    main: Mapping[str, Mapping[Pair, float]]


def mixed_with(main: Mapping[str, Array], pair: Pair) -> dict[Pair, float]:
    """The interactions of which a part is in that of ``pair``, with their correlation."""
    own = interaction_of(main[pair[0]], main[pair[1]])
    found = {
        other: correlation(own, interaction_of(main[other[0]], main[other[1]]))
        for other in itertools.combinations(main, 2)
        if other != pair
    }
    return {other: value for other, value in found.items() if value > _NONE}


def aliases_of(main: Mapping[str, Array]) -> Aliases:
    """The aliases among runs, of which ``main`` has the columns of each factor."""
    pairs = {
        pair: interaction_of(main[pair[0]], main[pair[1]])
        for pair in itertools.combinations(main, 2)
    }
    of_main: dict[str, dict[Pair, float]] = {}
    for name, columns in main.items():
        found = {pair: correlation(columns, own) for pair, own in pairs.items() if name not in pair}
        mixed = {pair: value for pair, value in found.items() if value > _NONE}
        of_main |= {name: mixed} if mixed else {}
    groups: list[list[Pair]] = []
    mixed_pairs = False
    for pair, columns in pairs.items():
        for group in groups:
            value = correlation(columns, pairs[group[0]])
            mixed_pairs |= value > _NONE
            if value > SAME and columns.shape == pairs[group[0]].shape:
                group.append(pair)
                break
        else:
            groups.append([pair])
    same = tuple(tuple(group) for group in groups if len(group) > 1)
    return Aliases(3 if of_main else 4 if mixed_pairs else 5, same, of_main)
