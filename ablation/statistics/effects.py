r"""Effects of factors: a linear model of the cells of a design.

The value of run r with seed s is

.. math:: y_{rs} = x_r^T \beta + u_r + b_s + e_{rs} ,

with the columns of the effects in :math:`x_r`, a random effect :math:`u_r` of the run for what the
model leaves out (interactions), the block :math:`b_s` of the seed and the noise of a training. All
runs have the same seeds, so this mixed model has the estimates of ordinary least squares on the
means of the runs: every effect is a weighted sum of the means,
:math:`\hat\theta = \sum_r w_r \bar y_{r\cdot}`, in which the blocks cancel. Its variance is
:math:`s^2 \sum_r w_r^2`, where

- :math:`s^2` is the residual mean square of the means, with R - p degrees of freedom (the exact
  test of the mixed model; MixedLM has normal intervals, and in so small designs often estimates a
  variance of zero between runs, so that its intervals are too narrow);
- for all combinations, or as many runs as effects, :math:`u_r` is zero or cannot be estimated:
  :math:`s^2` is the variance of the noise, of runs by seeds with (R - 1)(S - 1) degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Basis = Literal["runs", "seeds", ""]


@dataclass(frozen=True)
class Fit:
    """A fitted model.

    Attributes:
        weights: (p, R) weights of the runs' means in each coefficient.
        variance: of the mean of a run; 0 if it cannot be estimated.
        freedom: degrees of freedom of the variance; 0 if it cannot be estimated.
        basis: whether the variance is estimated between runs or between seeds; "" if neither.
        rest: residual sum of squares of the means.
    """

    weights: Array
    variance: float
    freedom: int
    basis: Basis
    rest: float


def fit_of(values: Array, model: Array, *, whole: bool = False) -> Fit:
    """Fit a linear model to the means of the runs.

    Args:
        values: (R, S) the value of each run and seed.
        model: (R, p) design matrix of full rank, with a column of ones.
        whole: whether the runs are all possible combinations.

    Raises:
        ValueError: if the columns of the model are linearly dependent.
    """
    import statsmodels.api as sm  # takes a second

    runs, seeds = values.shape
    if np.linalg.matrix_rank(model) < model.shape[1]:
        raise ValueError("the effects of these runs are linearly dependent")
    fitted = sm.OLS(values.mean(axis=1), model).fit()
    weights = np.asarray(fitted.model.pinv_wexog, np.float64)
    spare = runs - model.shape[1]
    rest = float(fitted.ssr) if spare else 0.0
    if seeds > 1 and (whole or not spare):
        freedom = (runs - 1) * (seeds - 1)
        return Fit(weights, noise_of(values) / (freedom * seeds), freedom, "seeds", rest)
    if spare:
        return Fit(weights, rest / spare, spare, "runs", rest)
    return Fit(weights, 0.0, 0, "", rest)


def noise_of(values: Array) -> float:
    """Residual sum of squares of (R, S) values after the means of runs and seeds."""
    left = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    return float((left**2).sum())


def shares_of(values: Array, columns: Mapping[str, Array]) -> dict[str, float]:
    """The share of the variance of all values that each effect explains, and what remains.

    An effect's sum of squares is of type II: by how much the residuals grow when the effect is left
    out of the model. For orthogonal runs the shares add up to one.

    Args:
        values: (R, S) the value of each run and seed.
        columns: effect -> its columns (R, d), without the mean.

    Returns:
        Effect -> share, and then ``runs`` (residuals of the runs' means), ``seeds`` (their blocks)
        and ``noise``.
    """
    runs, seeds = values.shape
    total = float(((values - values.mean()) ** 2).sum())
    if total == 0:
        return dict.fromkeys((*columns, "runs", "seeds", "noise"), 0.0)
    one, means = np.ones((runs, 1)), values.mean(axis=1)

    def left(names: list[str]) -> float:
        model = np.concatenate([one, *(columns[name] for name in names)], axis=1)
        residuals = means - model @ np.linalg.lstsq(model, means, rcond=None)[0]
        return float(seeds * (residuals**2).sum())

    whole = left([*columns])
    found = {each: left([n for n in columns if n != each]) - whole for each in columns}
    blocks = runs * float(((values.mean(axis=0) - values.mean()) ** 2).sum())
    found |= {"runs": whole, "seeds": blocks, "noise": noise_of(values)}
    return {name: max(value, 0.0) / total for name, value in found.items()}
