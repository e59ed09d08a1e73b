r"""What factors do: a linear model of the cells of a design.

The value of run r with seed s is

.. math:: y_{rs} = x_r^T \beta + u_r + b_s + e_{rs} ,

with the columns of the effects in :math:`x_r`, a random effect :math:`u_r` of the run for what the
model leaves out (interactions), the seed's block :math:`b_s` and the noise of a training. All runs
have the same seeds, so that the estimates of this mixed model are those of ordinary least squares
on the runs' means: every effect is a weighted sum of these,
:math:`\hat\theta = \sum_r w_r \bar y_{r\cdot}`, and the seeds' blocks are gone. Its variance is
:math:`s^2 \sum_r w_r^2`, where

- :math:`s^2` is the mean square of what the model leaves of the means, with R - p degrees of
  freedom (the exact test of the mixed model; MixedLM's interval is a normal one, and its variance
  of runs is often zero in so small designs, which makes it too sure);
- of all combinations, or of as many runs as effects, there is no :math:`u_r` to ask for or none to
  estimate: :math:`s^2` is that of the noise, from runs by seeds with (R - 1)(S - 1) degrees.
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
        weights: (p, R) of each coefficient, on the means of the runs.
        variance: of the mean of a run; 0 where nothing is known of it.
        freedom: its degrees of freedom; 0 where it is not known.
        basis: what it is taken from.
        rest: sum of squares of the means that the model leaves.
    """

    weights: Array
    variance: float
    freedom: int
    basis: Basis
    rest: float


def fit_of(values: Array, model: Array, *, whole: bool = False) -> Fit:
    """Fit a model of runs.

    Args:
        values: (R, S) of each run and seed.
        model: (R, p) its columns, the mean among them, of full rank.
        whole: whether the runs are all combinations that there are.

    Raises:
        ValueError: for columns that are not independent.
    """
    import statsmodels.api as sm  # takes a second

    runs, seeds = values.shape
    if np.linalg.matrix_rank(model) < model.shape[1]:
        raise ValueError("the runs cannot tell all effects apart")
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
    """Sum of squares of (R, S) values that neither runs nor seeds explain."""
    left = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    return float((left**2).sum())


def shares_of(values: Array, columns: Mapping[str, Array]) -> dict[str, float]:
    """What each effect explains of the variance of all values, and what remains.

    An effect's sum of squares is what the model of all others leaves and the whole model does not
    (type II): of orthogonal runs the shares add up to one.

    Args:
        values: (R, S).
        columns: effect -> its columns (R, d), the mean left out.

    Returns:
        Effect -> share, and after them ``runs`` (what the model leaves of the runs' means),
        ``seeds`` (their blocks) and ``noise``.
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
