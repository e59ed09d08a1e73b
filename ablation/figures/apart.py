"""Which rows are told apart: one function, so that another test can take its place."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.05


def p_values(blocks: pd.DataFrame) -> pd.DataFrame:
    """Pairwise p-values: Wilcoxon's signed-rank test over the blocks, with Holm's correction.

    Blocks that share a group, or a seed's training, are not independent: the values are a guide.

    Args:
        blocks: (blocks, rows) accuracies.

    Returns:
        (rows, rows) corrected for all pairs; 1 on the diagonal.
    """
    rows = list(blocks.columns)
    found = pd.DataFrame(np.ones((len(rows), len(rows))), index=rows, columns=rows)
    pairs = list(itertools.combinations(rows, 2))
    raw = [_wilcoxon((blocks[one] - blocks[other]).to_numpy(float)) for one, other in pairs]
    largest = 0.0
    for rank, number in enumerate(np.argsort(raw, kind="stable")):
        largest = max(largest, min(1.0, (len(pairs) - rank) * raw[number]))
        one, other = pairs[number]
        found.loc[one, other] = found.loc[other, one] = largest
    return found


def _wilcoxon(differences: np.ndarray) -> float:
    if not differences.any():
        return 1.0
    with warnings.catch_warnings():  # of few blocks, or ties: the p-value is then approximate
        warnings.simplefilter("ignore")
        value = float(stats.wilcoxon(differences).pvalue)
    return value if np.isfinite(value) else 1.0
