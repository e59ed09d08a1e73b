"""The rows of a table as an interval plot."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablation.figures.asked import Asked, DoesNotApplyError
from skelcon.figures import style


def of_results(asked: Asked) -> Figure:
    """The interval plot of a study."""
    if asked.entries["mean"].isna().all():
        raise DoesNotApplyError("no cell has a number yet")
    return intervals(asked.entries, asked.metric, asked.whiskers)


@style.styled
def intervals(entries: pd.DataFrame, metric: str, whiskers: str = "") -> Figure:
    """A line for each row, a colour and a marker for each column; the best are filled.

    Args:
        entries: as `ablation.figures.asked.entries_of` gives them.
        metric: what the axis of values is called.
        whiskers: what ``low`` and ``high`` are.
    """
    rows, known = entries.drop_duplicates("row"), entries.dropna(subset="mean")
    columns = known["column"].unique()
    labels = rows["label"].tolist()
    height = max(style.row_height(labels), 0.085 * len(columns) + 0.07)
    names = known.drop_duplicates("column")["column_label"].tolist()
    several = len(names) > 1
    below = style.legend_height(names, min(3, len(names))) if several else 0
    what = style.folded(f"{metric}, bars: {whiskers}" if whiskers else metric, 42, lines=4)
    told = "\nfilled: best, or not significantly worse" if known["best"].any() else ""
    below += 0.1 * what.count("\n")
    figure = style.sheet(len(labels) * height + 0.55 + below)
    axes = figure.subplots()
    at = dict(zip(rows["row"], range(len(rows)), strict=True))
    step = 0.085 / height if several else 0.0
    handles = []
    for number, column in enumerate(columns):
        look = style.distinct(number)
        here = known[known["column"] == column]
        shift = (number - (len(columns) - 1) / 2) * step
        places = np.array([at[row] + shift for row in here["row"]])
        mean, low, high = (here[name].to_numpy(float) for name in ("mean", "low", "high"))
        axes.hlines(places, low, high, color=look["color"], lw=1)
        for filled in (True, False):
            some = here["best"].to_numpy(bool) == filled
            axes.plot(
                mean[some],
                places[some],
                look["marker"],
                color=look["color"],
                mfc=look["color"] if filled else "white",
                ls="",
            )
        handles.append(Line2D([], [], color=look["color"], marker=look["marker"], lw=1))
    for y in range(1, len(labels)):
        axes.axhline(y - 0.5, color="#EEEEEE", lw=0.5, zorder=0)
    main = int((~rows["reference"]).sum())
    if 0 < main < len(rows):
        axes.axhline(main - 0.5, color=style.FAINT, lw=0.6)
    style.label_rows(axes, labels)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel(what + told, fontsize=style.SMALL)
    if several:
        style.legend(figure, handles, names, columns=min(3, len(names)))
    return figure
