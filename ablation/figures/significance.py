"""Which rows of a column differ significantly, pair by pair."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pandas as pd

from ablation.evidence.evidence import Evidence
from ablation.statistics import LEVEL, adjusted


def significant_pairs(evidence: Evidence, column: str, rows: Sequence[str]) -> pd.DataFrame:
    """Whether the paired difference of two rows is significant at 5 % after Holm's correction.

    The correction is over all pairs of these rows. A difference without a known error is never
    significant.

    Returns:
        (rows, rows) bool.
    """
    found = pd.DataFrame(False, index=list(rows), columns=list(rows))
    known: dict[tuple[str, str], float] = {}
    for one, other in itertools.combinations(rows, 2):
        difference = evidence.difference((one, column), (other, column))
        if difference is not None and difference.p is not None:
            known[one, other] = difference.p
    for (one, other), p in zip(known, adjusted(list(known.values())), strict=True):
        found.loc[one, other] = found.loc[other, one] = bool(p < LEVEL)
    return found
