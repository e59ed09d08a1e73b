"""Effects of a design against plain means, statsmodels' mixed model and simulated truth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import statsmodels.api as sm

from ablation.designs.config import Axis
from ablation.designs.fractional import chosen
from ablation.designs.matrix import columns_of
from ablation.statistics import Estimate
from ablation.statistics.effects import Fit, fit_of, noise_of, shares_of

LEVELS = {"a": ("1", "2", "3"), "b": ("1", "2"), "c": ("1", "2"), "d": ("1", "2", "3")}
AXES = [Axis(name, name, name, {le: le for le in levels}) for name, levels in LEVELS.items()]


def model_of(runs: list[dict[str, str]]) -> np.ndarray:
    columns = [columns_of(axis, [run[axis.name] for run in runs]) for axis in AXES]
    return np.concatenate([np.ones((len(runs), 1)), *columns], axis=1)


def difference(fit: Fit, values: np.ndarray, runs: list[dict[str, str]]) -> Estimate:
    """Level 2 of b less level 1."""
    weights = 2 * fit.weights[3]  # after the mean and two columns of a
    value = float(weights @ values.mean(axis=1))
    return Estimate(value, fit.freedom + 1, 0, fit.variance * float(weights @ weights), 0.0)


@pytest.fixture(scope="module")
def grid() -> list[dict[str, str]]:
    return [dict(zip(LEVELS, run, strict=True)) for run in itertools.product(*LEVELS.values())]


def test_an_effect_of_a_balanced_design_is_a_difference_of_means(
    grid: list[dict[str, str]],
) -> None:
    values = np.random.default_rng(0).random((36, 3))
    fit = fit_of(values, model_of(grid), whole=True)
    upper = np.array([run["b"] == "2" for run in grid])
    found = difference(fit, values, grid)
    assert found.value == pytest.approx(values[upper].mean() - values[~upper].mean(), rel=1e-12)
    left = values - values.mean(1)[:, None] - values.mean(0)[None] + values.mean()
    noise = sum(x**2 for x in left.ravel()) / (35 * 2)
    assert (fit.basis, fit.freedom) == ("seeds", 70)
    assert found.error**2 == pytest.approx(noise / 3 * (1 / 18 + 1 / 18), rel=1e-12)
    assert noise_of(values + np.arange(3) + np.arange(36)[:, None]) == pytest.approx(
        noise_of(values)
    )


def test_an_incomplete_design_has_the_estimates_and_errors_of_the_mixed_model() -> None:
    """A random effect of each run, the seeds as blocks; with a variance above zero."""
    runs, draws = chosen(LEVELS, 14), np.random.default_rng(5)
    values = draws.normal(0, 1, (14, 3)) + draws.normal(0, 2, (14, 1)) + [0, 3, -1]
    fit = fit_of(values, model_of(runs))
    assert (fit.basis, fit.freedom) == ("runs", 14 - 7)
    blocks = np.kron(np.ones((14, 1)), np.eye(3)[:, 1:])
    exog = np.concatenate([np.repeat(model_of(runs), 3, axis=0), blocks], axis=1)
    mixed = sm.MixedLM(values.ravel(), exog, groups=np.repeat(np.arange(14), 3)).fit(reml=True)
    assert mixed.cov_re[0, 0] > 0.1
    found = difference(fit, values, runs)
    assert found.value == pytest.approx(2 * mixed.params[3], rel=1e-5)
    assert found.error == pytest.approx(2 * mixed.bse[3], rel=1e-3)


def test_with_as_many_runs_as_effects_the_error_is_the_noise_between_seeds() -> None:
    runs, draws = chosen(LEVELS, 7), np.random.default_rng(1)
    fit = fit_of(draws.random((7, 4)), model_of(runs))
    assert (fit.basis, fit.freedom, fit.rest) == ("seeds", 6 * 3, 0)
    alone = fit_of(draws.random((7, 1)), model_of(runs))
    assert (alone.basis, alone.freedom, alone.variance) == ("", 0, 0)
    with pytest.raises(ValueError, match="linearly dependent"):
        fit_of(draws.random((5, 2)), model_of(runs)[:5])


@pytest.mark.parametrize(("runs", "of_runs"), [(14, 0.0), (14, 0.05), (7, 0.0)])
def test_intervals_hold_the_true_effect_as_often_as_they_say(runs: int, of_runs: float) -> None:
    """Of 400 simulated studies with three seeds; the share is within three standard errors."""
    chosen_runs, draws, inside = chosen(LEVELS, runs), np.random.default_rng(0), 0
    model, truth, times = model_of(chosen_runs), 0.03, 400
    coefficients = np.array([0.6, 0.01, -0.02, truth / 2, 0, 0.05, 0.0])
    for _ in range(times):
        seeds, left = draws.normal(0, 0.02, (1, 3)), draws.normal(0, of_runs, (runs, 1))
        values = (model @ coefficients)[:, None] + seeds + left + draws.normal(0, 0.03, (runs, 3))
        within = difference(fit_of(values, model), values, chosen_runs).interval
        assert within is not None
        inside += within[0] <= truth <= within[1]
    assert abs(inside / times - 0.95) < 3 * np.sqrt(0.95 * 0.05 / times)


def test_shares_of_the_variance_add_up_where_runs_are_orthogonal(
    grid: list[dict[str, str]],
) -> None:
    draws = np.random.default_rng(2)
    values = draws.normal(0, 1, (36, 3))
    columns = {axis.name: columns_of(axis, [run[axis.name] for run in grid]) for axis in AXES}
    shares = shares_of(values, columns)
    assert sum(shares.values()) == pytest.approx(1)
    total = ((values - values.mean()) ** 2).sum()
    means = [values[[run["a"] == level for run in grid]].mean() for level in LEVELS["a"]]
    between = sum(36 * (mean - values.mean()) ** 2 for mean in means)
    assert shares["a"] == pytest.approx(between / total, rel=1e-12)
    assert shares["seeds"] == pytest.approx(
        36 * ((values.mean(0) - values.mean()) ** 2).sum() / total
    )
    assert set(shares_of(np.ones((36, 3)), columns).values()) == {0.0}
