"""The rows of a table as an interval plot."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ablation.figures.asked import Asked, DoesNotApplyError
from ablation.figures.forest import Series, forest
from skelcon.figures import style


def of_results(asked: Asked) -> Figure:
    """The interval plot of a study."""
    if asked.entries["mean"].isna().all():
        raise DoesNotApplyError("no cell has a number yet")
    return intervals(asked.entries, asked.metric, asked.whiskers)


def intervals(entries: pd.DataFrame, metric: str, whiskers: str = "") -> Figure:
    """A line for each row, a colour and a marker for each column; the best points are filled.

    Args:
        entries: as `ablation.figures.asked.entries_frame` gives them.
        metric: the label of the axis of values.
        whiskers: the meaning of ``low`` and ``high``.
    """
    rows, known = entries.drop_duplicates("row"), entries.dropna(subset="mean")
    places = dict(zip(rows["row"], range(len(rows)), strict=True))
    series = []
    for _, here in known.groupby("column", sort=False):
        mean, low, high = (here[name].to_numpy(float) for name in ("mean", "low", "high"))
        name, filled = str(here["column_label"].iloc[0]), here["best"].to_numpy(bool)
        at = here["row"].map(places).to_numpy(np.int64)
        series.append(Series(name, at, mean, low, high, filled))
    title = style.folded(f"{metric}, bars: {whiskers}" if whiskers else metric, 42, lines=4)
    if known["best"].any():
        title += "\nfilled: best, or not significantly worse"
    first_reference = int((~rows["reference"]).sum())
    return forest(rows["label"].tolist(), series, title, dividers={first_reference})
