"""Fractions of all combinations: balanced, as orthogonal as possible, and reproducible."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ablation.designs.config import Axis
from ablation.designs.describe import columns_of_runs
from ablation.designs.fractional import balanced, chosen, regular, word_lengths
from ablation.designs.matrix import aliases_of, columns_of, contrasts


def resolution(signs: np.ndarray) -> int:
    """The length of the shortest constant product of columns, by trying all of them."""
    for length in range(1, signs.shape[1] + 1):
        for columns in itertools.combinations(range(signs.shape[1]), length):
            if abs(signs[:, columns].prod(axis=1).sum()) == len(signs):
                return length
    return signs.shape[1] + 1


@pytest.mark.parametrize(
    ("factors", "basic", "expected"),
    # Of 2^(k-p) designs in the tables of Montgomery, "Design and Analysis of Experiments".
    [
        *[(3, 2, 3), (4, 3, 4), (5, 3, 3), (7, 3, 3), (5, 4, 5), (6, 4, 4), (8, 4, 4), (9, 4, 3)],
        *[(15, 4, 3), (6, 5, 6), (7, 5, 4), (16, 5, 4), (8, 6, 5)],
    ],
)
def test_a_regular_fraction_has_the_highest_resolution(
    factors: int, basic: int, expected: int
) -> None:
    codes = regular(factors, basic)
    assert codes.shape == (2**basic, factors)
    signs = 2.0 * codes - 1
    assert np.array_equal(signs.T @ signs, 2**basic * np.eye(factors))
    assert len(np.unique(codes, axis=0)) == len(codes)
    assert resolution(signs) == expected


def test_among_fractions_of_equal_resolution_minimum_aberration_is_chosen() -> None:
    """2^(7-2) with I = ABCF = ABDEG has one word of four letters; others have three."""
    signs = 2.0 * regular(7, 5) - 1
    words = [
        len(columns)
        for length in range(1, 8)
        for columns in itertools.combinations(range(7), length)
        if abs(signs[:, columns].prod(axis=1).sum()) == len(signs)
    ]
    assert words == [4, 5, 5]
    assert word_lengths((0b0111, 0b11011)) == (0, 0, 0, 1, 2)


@pytest.mark.parametrize(
    ("sizes", "runs", "least"),
    [
        *[((4, 3, 3, 2), 18, 0.95), ((4, 3, 3, 2), 16, 0.93), ((3, 3, 3, 3), 9, 0.999)],
        *[((2, 2, 2, 2, 2), 12, 0.9), ((2, 3, 5), 11, 0.8)],
    ],
)
def test_other_fractions_are_balanced_distinct_and_nearly_orthogonal(
    sizes: tuple[int, ...], runs: int, least: float
) -> None:
    codes = balanced(sizes, runs, 0)
    for column, size in zip(codes.T, sizes, strict=True):
        counts = np.bincount(column, minlength=size)
        assert counts.max() - counts.min() <= 1
    assert len(np.unique(codes, axis=0)) == runs
    columns = [contrasts(size)[column] for column, size in zip(codes.T, sizes, strict=True)]
    x = np.concatenate([np.ones((runs, 1)), *columns], axis=1)
    d_efficiency = np.linalg.det(x.T @ x / runs) ** (1 / x.shape[1])
    assert least <= d_efficiency <= 1 + 1e-9


def test_contrasts_are_orthogonal_to_each_other_and_to_the_mean() -> None:
    for size in range(2, 7):
        found = contrasts(size)
        assert np.allclose(found.T @ found, size * np.eye(size - 1))
        assert np.allclose(found.sum(axis=0), 0)
    assert contrasts(2).ravel().tolist() == [-1, 1]


FACTORS = {"b": ("y", "x", "z", "w"), "a": ("low", "high"), "c": ("1", "2", "3")}


def test_the_same_names_give_the_same_runs_in_whatever_order() -> None:
    def of(factors: dict[str, tuple[str, ...]], seed: int = 0) -> set[frozenset[tuple[str, str]]]:
        return {frozenset(run.items()) for run in chosen(factors, 12, seed)}

    turned = {name: tuple(reversed(FACTORS[name])) for name in sorted(FACTORS)}
    assert of(FACTORS) == of(turned)
    assert len(of(FACTORS)) == 12
    balanced.cache_clear()
    assert of(FACTORS) == of(turned)
    assert of(FACTORS) != of(FACTORS, seed=1)


def axes_of(factors: dict[str, tuple[str, ...]]) -> list[Axis]:
    return [Axis(n, n.upper(), n, {le: le for le in levels}) for n, levels in factors.items()]


def test_aliases_are_those_of_the_columns_of_signs() -> None:
    two = dict.fromkeys("abcd", ("0", "1"))
    half = columns_of_runs(axes_of(two), chosen(two, 8))  # I = ABCD
    found = aliases_of(half)
    assert found.resolution == 4
    assert found.same == (
        (("a", "b"), ("c", "d")),
        (("a", "c"), ("b", "d")),
        (("a", "d"), ("b", "c")),
    )
    assert found.main == {}
    five = dict.fromkeys("abcde", ("0", "1"))
    assert aliases_of(columns_of_runs(axes_of(five), chosen(five, 16))).resolution == 5
    three = dict.fromkeys("abc", ("0", "1"))
    found = aliases_of(columns_of_runs(axes_of(three), chosen(three, 4)))
    assert found.resolution == 3
    assert found.main["a"] == {("b", "c"): pytest.approx(1)}


def test_a_range_is_one_column_from_end_to_end() -> None:
    axis = Axis("lr", "lr", "lr", {}, (0.001, 0.1), True)
    assert columns_of(axis, ["0.001", "0.01", "0.1"]).ravel() == pytest.approx([-0.5, 0, 0.5])
