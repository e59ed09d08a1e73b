"""Standard errors over clips and groups: against plain loops, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablation.statistics import paired_difference, standard_error

SHARES = st.sampled_from([0.0, 1 / 3, 2 / 3, 1.0])
CLIPS = st.lists(st.tuples(SHARES, SHARES, st.integers(1, 4)), min_size=2, max_size=30)


def by_hand(values: list[float], groups: list[int]) -> float:
    """The larger of the two standard errors of a mean, by loops over clips and groups."""
    n = len(values)
    mean = math.fsum(values) / n
    of_clips = math.fsum((value - mean) ** 2 for value in values) / (n * (n - 1))
    of_groups, names = 0.0, set(groups)
    for name in names:
        inside = [v - mean for v, group in zip(values, groups, strict=True) if group == name]
        of_groups += math.fsum(inside) ** 2 / n**2
    of_groups *= len(names) / (len(names) - 1) if len(names) > 1 else 0.0
    return math.sqrt(max(of_clips, of_groups))


@settings(deadline=None)
@given(CLIPS)
def test_errors_are_those_of_plain_loops(clips: list[tuple[float, float, int]]) -> None:
    first, second, groups = map(list, zip(*clips, strict=True))
    assert standard_error(first, groups) == pytest.approx(by_hand(first, groups), abs=1e-12)
    difference, error = paired_difference(first, second, groups)
    pairs = [a - b for a, b in zip(first, second, strict=True)]
    assert difference == pytest.approx(math.fsum(pairs) / len(pairs), abs=1e-12)
    assert error == pytest.approx(by_hand(pairs, groups), abs=1e-12)


def test_clips_of_a_group_of_their_own_have_the_binomial_error() -> None:
    """Nine of twelve right: 0.75 * 0.25 / 11 of the sample variance over n."""
    hits = [1] * 9 + [0] * 3
    assert standard_error(hits, range(12)) == pytest.approx(math.sqrt(0.75 * 0.25 / 11))
    # Groups that happen to be alike do not make it smaller; a single group has no error of its own.
    assert standard_error(hits, [0, 1, 2] * 4) == pytest.approx(math.sqrt(0.75 * 0.25 / 11))
    assert standard_error(hits, [5] * 12) == pytest.approx(math.sqrt(0.75 * 0.25 / 11))


def test_fully_correlated_clips_count_as_their_groups() -> None:
    """Two of four groups entirely correct: the error of four clips."""
    hits, groups = np.repeat([0, 1, 0, 1], 50), np.repeat([3, 1, 4, 2], 50)
    assert standard_error(hits, groups) == pytest.approx(math.sqrt(0.25 / 3))


@pytest.mark.parametrize("effect", [0.0, 0.15])
def test_the_true_accuracy_is_within_two_errors_nineteen_times_in_twenty(effect: float) -> None:
    """Of 600 made-up evaluations with twelve groups, whose own accuracy differs by ``effect``.

    The normal quantile of two is a little short for the t of eleven degrees of freedom.
    """
    draws = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 20)
    covered = covered_by_clips = 0
    for _ in range(600):
        own = np.clip(0.6 + effect * draws.standard_normal(12), 0.0, 1.0)
        hits = draws.random(240) < own[groups]
        centre = hits.mean()
        covered += abs(centre - 0.6) <= 2 * standard_error(hits, groups)
        covered_by_clips += abs(centre - 0.6) <= 2 * math.sqrt(centre * (1 - centre) / 240)
    assert 0.90 <= covered / 600 <= 0.99
    # What ignores the groups is too sure of itself where they differ.
    assert (covered_by_clips / 600 < 0.80) == (effect > 0)


def test_a_paired_difference_is_significant_where_the_two_intervals_overlap() -> None:
    """Clips are hard or easy for both; the second loses one more in each group."""
    groups = np.repeat(np.arange(5), 20)
    a = np.tile(np.arange(20) < 12, 5)
    b = np.tile(np.arange(20) < 11, 5)
    difference, error = paired_difference(a, b, groups)
    assert difference == pytest.approx(0.05)
    assert error < 0.025 < standard_error(a, groups)


@pytest.mark.parametrize(("hits", "groups"), [([1], [1]), ([1, 0], [1]), ([[1, 0]], [[1, 2]])])
def test_too_few_clips_or_groups_of_another_number_are_an_error(
    hits: list[int], groups: list[int]
) -> None:
    with pytest.raises(ValueError, match="hits"):
        standard_error(hits, groups)


def test_hits_of_different_clips_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference([1, 0], [1, 0, 1], [1, 2])
