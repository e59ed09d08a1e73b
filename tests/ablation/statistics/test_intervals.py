"""Intervals over seeds, groups and clips: against plain loops, and their simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statistics_helpers import WORLDS, World, coverage

from ablation.statistics import Estimate, difference_of, estimate_of, unpaired_difference

HIT = st.sampled_from([0.0, 0.5, 1.0])


def by_hand(rows: list[list[float]], groups: list[int]) -> tuple[float, float, float]:
    """Mean, and the parts of its variance from seeds and groups, by loops."""
    n, clips, names = len(rows), len(rows[0]), sorted(set(groups))
    mean = math.fsum(map(math.fsum, rows)) / (n * clips)
    of_seeds = 0.0
    for row in rows:
        of_seeds += (math.fsum(row) / clips - mean) ** 2
    of_seeds /= n * (n - 1)
    of_groups = 0.0
    for name in names:
        inside = [i for i in range(clips) if groups[i] == name]
        total = math.fsum(math.fsum(row[i] for row in rows) / n - mean for i in inside)
        of_groups += total**2
    return mean, of_seeds, of_groups * len(names) / (len(names) - 1) / clips**2


@settings(deadline=None)
@given(st.data())
def test_an_estimate_is_that_of_plain_loops(data: st.DataObject) -> None:
    clips = data.draw(st.integers(2, 8))
    row = st.lists(HIT, min_size=clips, max_size=clips)
    rows = data.draw(st.lists(row, min_size=2, max_size=4))
    groups = [0, 1, *data.draw(st.lists(st.integers(0, 3), min_size=clips, max_size=clips))][:clips]
    found = estimate_of(rows, groups)
    mean, of_seeds, of_groups = by_hand(rows, groups)
    assert found.value == pytest.approx(mean, abs=1e-12)
    assert found.of_seeds == pytest.approx(of_seeds, abs=1e-12)
    assert found.of_groups == pytest.approx(of_groups, abs=1e-12)
    assert (found.seeds, found.groups) == (len(rows), len(set(groups)))


def test_seeds_alone_give_the_interval_of_a_t_test() -> None:
    values = [0.71, 0.74, 0.69, 0.75]
    found = estimate_of(values)
    reference = stats.ttest_1samp(values, 0.7)
    assert found.interval == pytest.approx(tuple(reference.confidence_interval(0.95)))
    assert difference_of(values, [0.7] * 4).p == pytest.approx(reference.pvalue)


def test_groups_alone_give_the_interval_of_a_t_test_over_them() -> None:
    """One seed, groups of equal size: only the error of the test sample is known."""
    hits = np.random.default_rng(0).random((1, 60)) < 0.6
    groups = np.arange(60) % 5
    shares = [hits[0, groups == name].mean() for name in range(5)]
    reference = stats.ttest_1samp(shares, 0.0)
    found = estimate_of(hits, groups)
    assert found.interval == pytest.approx(tuple(reference.confidence_interval(0.95)))
    assert found.p == pytest.approx(reference.pvalue)
    # Clips whose groups are not known count one by one.
    alone = estimate_of(hits, np.zeros(60))
    assert alone.groups == 60
    assert alone.error == pytest.approx(hits.std(ddof=1) / math.sqrt(60))


def test_interval_and_p_have_their_degrees_of_freedom() -> None:
    """The interval has Satterthwaite's degrees of freedom.

    The p value has their harmonic mean with the two degrees of freedom of three seeds.
    """
    found = Estimate(0.08, seeds=3, groups=9, of_seeds=3e-4, of_groups=5e-4)
    error = math.sqrt(8e-4)
    freedom = 8e-4**2 / (3e-4**2 / 2 + 5e-4**2 / 8)
    low, high = found.interval or (0, 0)
    assert high - low == pytest.approx(2 * stats.t.ppf(0.975, freedom) * error)
    between = 2 / (1 / freedom + 1 / 2)
    assert 2 < between < freedom
    assert found.p == pytest.approx(2 * stats.t.sf(0.08 / error, between))


def test_without_a_sample_there_is_no_interval() -> None:
    one = estimate_of([0.7])
    assert (one.value, one.interval, one.p) == (0.7, None, None)
    same = difference_of([[1, 0, 1], [0, 0, 1]], [[1, 0, 1], [0, 0, 1]], [1, 1, 2])
    assert (same.interval, same.p) == ((0.0, 0.0), 1.0)


@pytest.mark.parametrize(
    ("hits", "groups"), [([], None), ([[]], []), ([[1, 0]], [1]), ([1, 0], [1, 2])]
)
def test_hits_and_groups_of_different_shapes_are_an_error(
    hits: list[int], groups: list[int] | None
) -> None:
    with pytest.raises(ValueError, match="hits"):
        estimate_of(hits, groups)


def test_different_numbers_of_seeds_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        difference_of([0.5, 0.6], [0.5])


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_intervals_hold_the_truth_and_chance_is_rarely_called_a_difference(world: World) -> None:
    """1000 simulated tables of each kind; `tests/benchmarks/coverage.py` has many more.

    By chance alone a share of 1000 is off by 0.7 points (one standard error); in the long run p is
    below 5 % in at most 5 % of the tables.
    """
    found = coverage(world, tables=1000)
    assert 0.93 <= found.interval <= 0.975
    assert found.false_positives <= 0.055
    assert found.false_positives_far_out <= 0.014


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(2, 6))
def test_an_unpaired_p_value_is_never_below_that_of_a_welch_test(n: int, m: int) -> None:
    draws = np.random.default_rng(n * 10 + m)
    a, b = draws.normal(0.7, 0.02, n), draws.normal(0.68, 0.05, m)
    found = unpaired_difference(estimate_of(a), estimate_of(b))
    reference = stats.ttest_ind(a, b, equal_var=False)
    assert found.value / found.error == pytest.approx(float(reference.statistic))
    assert found.p is not None
    assert found.p >= float(reference.pvalue) - 1e-12
    assert found.seeds == min(n, m)


def test_a_part_that_one_side_does_not_know_is_unknown_in_an_unpaired_difference() -> None:
    single, several = estimate_of([[1.0, 0.0, 1.0]], [0, 1, 2]), estimate_of([0.5, 0.6])
    found = unpaired_difference(single, several)
    assert (found.seeds, found.groups, found.error) == (1, 0, 0.0)
    assert found.p is None
