"""Predictions by clip and training curves by epoch, from the store, as tidy frames."""

from __future__ import annotations

import contextlib

import numpy as np
import pandas as pd

from ablation.evidence.predictions import NoPredictionsError, read_predictions
from ablation.figures.asked import Asked, DoesNotApplyError
from ablation.fusion import Fusion
from ablation.units import PretrainUnit


def predictions_of(asked: Asked, row: str, column: str) -> pd.DataFrame:
    """A line for each tested clip and seed (and subset of the labels) of a cell.

    Columns: seed, clip, group, label, prediction.

    Raises:
        DoesNotApplyError: if a finished evaluation holds no predictions.
    """
    parts = []
    for unit in asked.finished(row, column):
        try:
            found = read_predictions(asked.store, unit if isinstance(unit, Fusion) else unit.key)
        except NoPredictionsError as error:
            raise DoesNotApplyError(str(error)) from None
        values = {"clip": found.clips, "group": found.groups, "label": found.labels}
        for predicted in found.predicted:
            part = pd.DataFrame({**values, "prediction": predicted})
            parts.append(part.assign(seed=unit.side.seed))
    return pd.concat(parts, ignore_index=True)


def curves_of(asked: Asked) -> pd.DataFrame:
    """A line for each epoch of each pre-training behind the main rows.

    Columns: panel (label of the column; empty if all columns share their pre-trainings), row
    (label), run, epoch, loss, top1, chance (both NaN if the objective has no ranking).
    """
    shared = _shared(asked)
    seen: dict[tuple[str, str, str], None] = {}
    for cell in asked.plan.cells:
        if cell.row not in asked.plan.study.rows or cell.unit is None:
            continue
        if cell.column not in ([asked.column] if asked.column else asked.plan.ranked):
            continue
        panel = "" if shared else asked.columns[cell.column]
        if len(cell.unit.needs) == 1:  # encoders that are trained separately have no common curve
            seen.setdefault((panel, asked.rows[cell.row], cell.unit.needs[0]))
    lines = []
    for panel, row, key in seen:
        files = asked.store.files(key)
        if not files.is_done or not isinstance(asked.plan.units.get(key), PretrainUnit):
            continue
        for line in files.metrics():
            with contextlib.suppress(KeyError):
                ranked = (line["top1"], line["chance"]) if "top1" in line else (np.nan, np.nan)
                numbers = (line["epoch"] + 1, line["loss"], *ranked)
                lines.append((panel, row, key, *numbers))
    named = ["panel", "row", "run", "epoch", "loss", "top1", "chance"]
    return pd.DataFrame(lines, columns=named)


def _shared(asked: Asked) -> bool:
    """Whether the columns of each row, seed and fold have the same pre-trainings behind them."""
    found: dict[tuple[object, ...], set[frozenset[str]]] = {}
    for cell in asked.plan.cells:
        if cell.unit is None or isinstance(cell.unit, Fusion):
            continue
        if cell.unit.needs and cell.row in asked.plan.study.rows:
            where = cell.row, cell.seed, cell.fold
            found.setdefault(where, set()).add(frozenset(cell.unit.needs))
    return all(len(keys) == 1 for keys in found.values())
