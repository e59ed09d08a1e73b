r"""A part of all combinations from which every main effect can be estimated.

With factors of two levels and a power of two as the number of runs it is a regular fraction
:math:`2^{k-p}` (Box and Hunter 1961): all combinations of m = k - p basic factors are run, and
each of the other p columns is a product of basic ones (its generator). The generators give the
highest resolution, and among such generators the fewest short words (minimum aberration, Fries and
Hunter 1980). Resolution IV, in which no main effect is aliased with a two-factor interaction,
exists for :math:`k \le 2^{m-1}`.

Otherwise levels are balanced (each occurs as often as any other, or once more), and the determinant
of :math:`X^T X` for the model of main effects is large. Such a design is found from several random
starts by exchanging the levels of a factor between two runs as long as the determinant grows
(coordinate exchange, Meyer and Nachtsheim 1995, here with swaps, which keep the balance). No
combination occurs twice.

Both depend on the names of factors and levels, not on their order in the file.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ablation.designs.matrix import contrasts

Codes = NDArray[np.int64]
STARTS = 8
"""Random starts of the coordinate exchange."""
_PAIRS = 200
"""Swaps of a factor's levels that are compared at a time."""
_SEARCHED = 100_000
"""Up to so many words all choices of generators are compared; beyond, one is constructed."""


def chosen(
    factors: Mapping[str, tuple[str, ...]], runs: int, seed: int = 0
) -> list[dict[str, str]]:
    """``runs`` combinations of the factors' levels.

    Raises:
        ValueError: for fewer runs than the main effects have coefficients, or more runs than there
            are combinations.
    """
    names = sorted(factors)
    levels = {name: sorted(factors[name]) for name in names}
    sizes = tuple(len(levels[name]) for name in names)
    needed, most = 1 + sum(size - 1 for size in sizes), math.prod(sizes)
    if runs < needed:
        need = f"the main effects of {len(names)} factors need at least {needed}"
        raise ValueError(f"{runs} runs are too few: {need}")
    if runs > most:
        raise ValueError(f"{runs} runs are too many: there are {most} combinations")
    if runs == most:
        codes = np.array(list(itertools.product(*map(range, sizes))))
    elif set(sizes) == {2} and runs & (runs - 1) == 0:
        codes = regular(len(sizes), runs.bit_length() - 1)
    else:
        codes = balanced(sizes, runs, seed)
    return [
        {name: levels[name][code] for name, code in zip(names, run, strict=True)}
        for run in codes.tolist()
    ]


# -- regular fractions ------------------------------------------------------------------------


def regular(factors: int, basic: int) -> Codes:
    """(2^basic, factors) of 0 and 1: a fraction of minimum aberration.

    The first ``basic`` factors take all of their combinations.
    """
    words = _products(basic, factors - basic)
    runs = np.arange(2**basic)
    masks = [1 << bit for bit in range(basic)] + list(words)
    # An odd number of factors at 0 gives 0: the product of their signs.
    ones = [
        [bin(int(run) & mask).count("1") + bin(mask).count("1") + 1 for run in runs]
        for mask in masks
    ]
    return np.array(ones, np.int64).T % 2


@functools.cache
def _products(basic: int, added: int) -> tuple[int, ...]:
    """For each added factor the basic factors, as bits, that it is the product of."""
    known = [mask for mask in range(1, 2**basic) if mask.bit_count() > 1]
    known.sort(key=lambda mask: (-(mask.bit_count() % 2), -mask.bit_count(), mask))
    if math.comb(len(known), added) * 2**added <= _SEARCHED:
        choices = itertools.combinations(known, added)
        return min(choices, key=word_lengths)
    return tuple(known[:added])  # products of an odd number come first: they give resolution IV


def word_lengths(products: Sequence[int]) -> tuple[int, ...]:
    """How many products of 1, 2, 3, ... factors are constant; fewer short ones are better."""
    counts: dict[int, int] = {}
    words = [(0, 0)]
    for product in products:
        words += [(mask ^ product, count + 1) for mask, count in words]
    for mask, count in words[1:]:
        length = mask.bit_count() + count
        counts[length] = counts.get(length, 0) + 1
    return tuple(counts.get(length, 0) for length in range(1, max(counts, default=0) + 1))


# -- other designs ----------------------------------------------------------------------------


@functools.lru_cache(maxsize=32)
def balanced(sizes: tuple[int, ...], runs: int, seed: int) -> Codes:
    """(runs, factors) levels: balanced, distinct, and nearly D-optimal for the main effects."""
    generator = np.random.default_rng(seed)
    coded = [contrasts(size) for size in sizes]
    best, height = None, -math.inf
    for _ in range(STARTS):
        start = np.stack([generator.permutation(np.arange(runs) % size) for size in sizes], axis=1)
        codes, value = _climbed(start, coded, generator)
        if value > height:
            best, height = codes, value
    assert best is not None
    if len(np.unique(best, axis=0)) < runs:
        raise ValueError(
            f"found no {runs} balanced runs that all differ: try another number of runs"
        )
    return best[np.lexsort(best.T[::-1])]


def _model(codes: Codes, coded: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(b, n, p) model matrices, mean and main effects, of b designs (b, n, factors)."""
    columns = [each[codes[:, :, number]] for number, each in enumerate(coded)]
    return np.concatenate([np.ones((*codes.shape[:2], 1)), *columns], axis=2)


def _heights(codes: Codes, coded: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(b,) logarithm of the determinant, with a large penalty for each repeated combination."""
    x = _model(codes, coded)
    moment = np.einsum("bnp,bnq->bpq", x, x) / x.shape[1]
    values = np.linalg.slogdet(moment + 1e-9 * np.eye(x.shape[2]))[1]
    radix = np.cumprod([1, *(len(each) for each in coded[:-1])])
    numbers = np.sort(codes @ radix, axis=1)
    return np.asarray(values - 1e3 * (np.diff(numbers, axis=1) == 0).sum(axis=1))


def _climbed(
    codes: Codes, coded: Sequence[NDArray[np.float64]], generator: np.random.Generator
) -> tuple[Codes, float]:
    """Swap the levels of a factor between two runs as long as the determinant grows."""
    value, last = float(_heights(codes[None], coded)[0]), -math.inf
    while value > last + 1e-9:
        last = value
        for factor in range(codes.shape[1]):
            first, second = np.triu_indices(len(codes), 1)
            differ = np.flatnonzero(codes[first, factor] != codes[second, factor])
            if len(differ) > _PAIRS:
                differ = generator.choice(differ, _PAIRS, replace=False)
            tried = np.repeat(codes[None], len(differ), axis=0)
            at = np.arange(len(differ))
            i, k = first[differ], second[differ]
            tried[at, i, factor], tried[at, k, factor] = codes[k, factor], codes[i, factor]
            heights = _heights(tried, coded)
            if heights.max() > value + 1e-9:
                codes, value = tried[heights.argmax()], float(heights.max())
    return codes, value
