"""Tables of a cross-validation: their folds, their groups, and the best row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ablation.evidence.hits import ClipHits
from ablation.fusion import Fusion
from ablation.plan import Plan
from ablation.text import plural
from ablation.units import EvaluateUnit
from skelcon.data import kind_of_groups, split


def pooled(plan: Plan, frame: pd.DataFrame) -> pd.DataFrame:
    """One line per cell, seed and metric, from one line per fold.

    The value is the mean over folds, weighted by their clips. If a fold is missing there is no
    value, and the line has the reason of the first missing fold.
    """
    clips = tested_clips(plan)
    lines = []
    for _, folds in frame.groupby(["row", "column", "seed", "metric"], sort=False):
        line = folds.iloc[0].to_dict()
        missing = folds[folds["value"].isna()]
        if len(missing):
            line = missing.iloc[0].to_dict()
        else:
            weights = folds["unit"].map(clips).to_numpy(np.float64)
            line["value"] = float(np.average(folds["value"], weights=weights))
        lines.append(line)
    return pd.DataFrame(lines, columns=list(frame.columns))


def tested_clips(plan: Plan) -> dict[str, int]:
    """Key of each evaluation -> the number of clips that it tests."""
    known: dict[object, int] = {}
    found = {}
    for cell in plan.cells:
        if isinstance(unit := cell.unit, EvaluateUnit | Fusion):
            where = unit.side.protocol, unit.side.fold
            if where not in known:
                known[where] = len(unit.side.clips(plan.dataset, unit.test))
            found[unit.key] = known[where]
    return found


def groups_in_words(plan: Plan) -> str:
    """The groups that are held out: ``subjects``, or ``subjects and cameras``."""
    kinds = dict[str, None]()
    for protocol in _protocols(plan):
        train = split(plan.dataset, protocol, "train")
        kinds[f"{kind_of_groups(plan.dataset, protocol, train)}s"] = None
    return " and ".join(kinds) or "groups"


def fold_counts(plan: Plan) -> tuple[int, int]:
    """The lowest and highest number of folds of its protocols, as some have few groups."""
    counts = {unit.side.fold.of for unit in plan.units.values() if unit.side.fold is not None}
    return min(counts, default=plan.folds), max(counts, default=plan.folds)


def folds_in_words(plan: Plan) -> str:
    """``4 folds``, or ``2 to 4 folds`` if protocols differ."""
    low, high = fold_counts(plan)
    return plural(high, "fold") if low == high else f"{low} to {high} folds"


def _protocols(plan: Plan) -> list[str]:
    folded = (unit.side for unit in plan.units.values() if unit.side.fold is not None)
    return list(dict.fromkeys(side.protocol for side in folded))


def validation_notes(plan: Plan, hits: Mapping[tuple[str, str], ClipHits]) -> list[str]:
    """A note for each column: the best row, and the rows within one standard error of it."""
    notes = []
    for column in plan.ranked:
        found = {row: hits[row, column] for row in plan.study.rows if (row, column) in hits}
        if len(found) < 2:
            continue
        labels = {row: plan.study.rows[row].label or row for row in found}
        best = max(found, key=lambda row: found[row].mean)
        alike = [row for row in found if row != best and not _apart(found[best], found[row])]
        name = plan.study.columns[column].label or column
        notes.append(f"{name}: best {labels[best]}; {_alike([labels[row] for row in alike])}.")
    return notes


def _apart(best: ClipHits, other: ClipHits) -> bool:
    """Whether the best row is better by more than the standard error of the difference."""
    found = best.less(other)
    return found is not None and found[0] > found[1]


def _alike(labels: list[str]) -> str:
    if not labels:
        return "every other row is more than one standard error of the difference below"
    return f"within one standard error of the difference: {', '.join(labels)}"
