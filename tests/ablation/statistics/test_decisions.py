"""Corrections for many comparisons, and how many seeds a difference needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablation.statistics import (
    LEVEL,
    MOST_SEEDS,
    Estimate,
    adjusted,
    difference_of,
    seeds_to_settle,
)

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


@settings(deadline=None)
@given(P_VALUES)
def test_holm_rejects_what_its_steps_reject(p_values: list[float]) -> None:
    """From the smallest p on, as long as p times the number of those left is below the level."""
    found = adjusted(p_values)
    rejected, left = set(), sorted(range(len(p_values)), key=lambda i: p_values[i])
    while left and p_values[left[0]] * len(left) < LEVEL:
        rejected.add(left.pop(0))
    assert {i for i, p in enumerate(found) if p < LEVEL} == rejected
    assert (found >= np.minimum(p_values, 1)).all()


def test_holm_of_known_values() -> None:
    assert adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_the_proposed_seeds_find_the_difference_four_times_in_five() -> None:
    """The seeds vary and there are many test clips; checked by simulation."""
    measured = Estimate(0.02, seeds=3, groups=40, of_seeds=2e-4, of_groups=1e-6)
    seeds = seeds_to_settle(measured)
    assert seeds is not None
    draws, found = np.random.default_rng(0), 0
    deviation = (measured.of_seeds * measured.seeds) ** 0.5
    for _ in range(1000):
        each = difference_of(draws.normal(0.02, deviation, seeds), np.zeros(seeds))
        future = replace(measured, seeds=seeds, value=each.value, of_seeds=each.of_seeds)
        found += future.p is not None and future.p < LEVEL
    assert 0.75 <= found / 1000 <= 0.9
    # More comparisons need more seeds.
    assert (seeds_to_settle(measured, tests=10) or 0) > seeds


def test_with_too_small_a_test_sample_no_number_of_seeds_is_enough() -> None:
    small = Estimate(0.02, seeds=3, groups=4, of_seeds=1e-6, of_groups=1e-3)
    assert seeds_to_settle(small) is None
    assert seeds_to_settle(replace(small, of_groups=1e-6)) is not None
    tiny = Estimate(1e-4, seeds=3, groups=4, of_seeds=1e-3, of_groups=0.0)
    assert seeds_to_settle(tiny) is None  # above MOST_SEEDS
    assert MOST_SEEDS == 100
    # One seed says nothing about the others.
    assert seeds_to_settle(Estimate(0.1, seeds=1, groups=4, of_seeds=0.0, of_groups=1e-6)) is None
