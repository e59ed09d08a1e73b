"""What a table's cells are known by, and which of its rows differ significantly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from ablation.evidence.hits import ClipHits, hits_of
from ablation.evidence.validation import pooled
from ablation.plan import Plan
from ablation.statistics import LEVEL, Estimate, adjusted, difference_of, estimate_of
from ablation.store import Store

Where = tuple[str, str]
"""Row and column of a cell."""


@dataclass(frozen=True)
class Evidence:
    """The samples behind the cells.

    Attributes:
        values: the number of each seed, a fraction or a count.
        hits: the clips that were right, where that is what the number is the mean of.
    """

    values: Mapping[Where, Mapping[int, float]]
    hits: Mapping[Where, ClipHits] = field(default_factory=dict)

    def estimate(self, cell: Where) -> Estimate | None:
        """A cell over its seeds and clips, or over its seeds alone; None without a value."""
        if cell in self.hits:
            return self.hits[cell].estimate
        values = self.values.get(cell)
        return estimate_of(list(values.values())) if values else None

    def difference(self, cell: Where, other: Where) -> Estimate | None:
        """``cell`` less ``other`` over what they share; None if that is nothing."""
        if cell in self.hits and other in self.hits:
            return self.hits[cell].difference(self.hits[other])
        own, others = self.values.get(cell, {}), self.values.get(other, {})
        shared = [seed for seed in own if seed in others]
        if not shared:
            return None
        return difference_of([own[seed] for seed in shared], [others[seed] for seed in shared])

    def best(self, plan: Plan) -> dict[Where, bool]:
        """The rows of each ranked column that are the best or not significantly worse.

        Each row is tested against its column's highest mean, at 5 % after Holm's correction over
        all such comparisons of the table. The test is one-sided: the true best is left out only if
        another row seems better than it, so that which row came out highest needs no further
        correction (as in Hsu's comparisons with the best, 1996). Where no difference has a known
        error (one seed, and no clips), nothing is best.

        Returns:
            Cell -> whether it is its column's highest.
        """
        best: dict[Where, bool] = {}
        rivals: dict[Where, float] = {}
        for column in plan.ranked:
            cells = {(row, column): self.estimate((row, column)) for row in plan.study.rows}
            means = {cell: found.value for cell, found in cells.items() if found is not None}
            if len(means) < 2:
                continue
            top = max(means, key=means.__getitem__)
            best[top] = True
            for cell in means:
                found = self.difference(top, cell) if cell != top else None
                if found is not None and found.p is not None:
                    rivals[cell] = found.p / 2
        if not rivals:
            return {}
        corrected = zip(rivals, adjusted(list(rivals.values())), strict=True)
        return best | {cell: False for cell, p in corrected if p >= LEVEL}


def evidence_of(plan: Plan, frame: pd.DataFrame, store: Store | None) -> Evidence:
    """Of the lines that a table prints, and of the predictions behind them in ``store``."""
    if plan.evaluate_on == "validation":
        frame = pooled(plan, frame)
    values: dict[Where, dict[int, float]] = {}
    for line in frame[frame["value"].notna()].to_dict("records"):
        where = str(line["row"]), str(line["column"])
        values.setdefault(where, {})[int(line["seed"])] = float(line["value"])
    hits = hits_of(plan, store) if store is not None else {}
    # A seed whose predictions are missing would be left out of the interval, and not of the mean.
    whole = {
        cell: found for cell, found in hits.items() if {*found.seeds} == {*values.get(cell, {})}
    }
    return Evidence(values, whole)
