"""The samples behind a table's cells, and which of its rows differ significantly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
        values: cell -> seed -> value, a fraction or a count.
        hits: cell -> which clips were classified correctly, if the value is their mean.
    """

    values: Mapping[Where, Mapping[int, float]]
    hits: Mapping[Where, ClipHits] = field(default_factory=dict)

    def estimate(self, cell: Where) -> Estimate | None:
        """The mean of a cell over seeds and clips, or over seeds alone; None without a value."""
        if cell in self.hits:
            return self.hits[cell].estimate
        values = self.values.get(cell)
        return estimate_of(list(values.values())) if values else None

    def difference(self, cell: Where, other: Where) -> Estimate | None:
        """``cell`` less ``other`` over their common seeds; None if they have none.

        It is over clips as well, if both have predictions of the same clips.
        """
        if cell in self.hits and other in self.hits:
            found = self.hits[cell].difference(self.hits[other])
            if found is not None:
                return found
        own, others = self.values.get(cell, {}), self.values.get(other, {})
        shared = [seed for seed in own if seed in others]
        if not shared:
            return None
        return difference_of([own[seed] for seed in shared], [others[seed] for seed in shared])

    def best(self, plan: Plan) -> list[Where]:
        """The rows of each ranked column that are the best or not significantly worse.

        Each row is tested against the highest mean of its column, at 5 % after Holm's correction
        over all such comparisons of the table. The test is one-sided: the true best is left out
        only if another row seems better, so that choosing the highest row needs no further
        correction (as in Hsu's comparisons with the best, 1996). A row that cannot be tested (one
        seed, and no clips) is not worse; in a column without any test no row is best.
        """
        best: list[Where] = []
        rivals: dict[Where, float] = {}
        for column in plan.ranked:
            cells = {(row, column): self.estimate((row, column)) for row in plan.study.rows}
            means = {cell: found.value for cell, found in cells.items() if found is not None}
            if len(means) < 2:
                continue
            tested = self._tested(max(means, key=means.__getitem__), means)
            if tested:
                best += means
                rivals |= tested
        corrected = dict(zip(rivals, adjusted(list(rivals.values())), strict=True))
        return [cell for cell in best if corrected.get(cell, 1.0) >= LEVEL]

    def _tested(self, top: Where, cells: Iterable[Where]) -> dict[Where, float]:
        """The one-sided p values of ``cells`` that can be tested against ``top``."""
        found = {}
        for cell in cells:
            difference = self.difference(top, cell) if cell != top else None
            if difference is not None and difference.p is not None:
                # Below zero if the row is better than the highest on the seeds of both.
                one_sided = difference.p / 2
                found[cell] = one_sided if difference.value > 0 else 1 - one_sided
        return found


def evidence_of(plan: Plan, frame: pd.DataFrame, store: Store | None) -> Evidence:
    """The samples of a table.

    Args:
        plan: the table's plan.
        frame: the lines that it prints.
        store: where the predictions are; without it there are no hits.
    """
    if plan.evaluate_on == "validation":
        frame = pooled(plan, frame)
    values: dict[Where, dict[int, float]] = {}
    for line in frame[frame["value"].notna()].to_dict("records"):
        where = str(line["row"]), str(line["column"])
        values.setdefault(where, {})[int(line["seed"])] = float(line["value"])
    hits = hits_of(plan, store) if store is not None else {}
    # A seed without predictions would be missing in the interval, but not in the mean.
    whole = {
        cell: found for cell, found in hits.items() if {*found.seeds} == {*values.get(cell, {})}
    }
    return Evidence(values, whole)
