"""Loss and contrast top-1 of the pre-trainings by epoch, with bands over seeds (Figure 6)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablation.figures.asked import Asked, DoesNotApplyError
from ablation.figures.predictions import curves_of
from skelcon.figures import style


def of_results(asked: Asked) -> Figure:
    """The curves of all main rows; --column shows one column alone."""
    curves = curves_of(asked)
    if curves.empty:
        raise DoesNotApplyError("no pre-training is finished")
    return training(curves)


@style.styled
def training(curves: pd.DataFrame) -> Figure:
    """Two axes for each panel: the loss, and the top-1 of the contrast.

    Args:
        curves: as `ablation.figures.predictions.curves_of` gives them. The runs of a row are its
            seeds (and folds): the line is their mean, the band ± their standard deviation.
    """
    panels, rows = curves["panel"].unique(), curves["row"].unique()
    names = [str(row) for row in rows]
    figure = style.sheet(1.35 * len(panels) + 0.3 + style.legend_height(names))
    grid = figure.subplots(len(panels), 2, squeeze=False, sharex="row")
    looks = {row: {**style.distinct(number), "lw": 1} for number, row in enumerate(rows)}
    runs = curves.groupby(["panel", "row"])["run"].nunique()
    for (left, right), panel in zip(grid, panels, strict=True):
        here = curves[curves["panel"] == panel]
        for row, of_row in here.groupby("row", sort=False):
            epochs = of_row.groupby("epoch")
            look = looks[row] | {"markevery": _every(epochs.ngroups), "ms": 3}
            for axes, name, scale in ((left, "loss", 1), (right, "top1", 100)):
                mean, spread = scale * epochs[name].mean(), scale * epochs[name].std(ddof=1)
                low, high = mean - spread, mean + spread
                axes.fill_between(mean.index, low, high, color=look["color"], alpha=0.18, lw=0)
                axes.plot(mean.index, mean, **look)
        chance = np.unique(100 * here["chance"].dropna())
        for each in chance:
            right.axhline(each, color=style.FAINT, ls=":", lw=0.8)
        right.set_ylim(bottom=0)
        left.set_ylabel("loss")
        right.set_ylabel("contrast top-1 (%)", fontsize=style.SMALL)
        left.set_title(style.folded(panel, 24, 1), fontsize=style.SMALL, loc="left")
        for axes in (left, right):
            axes.locator_params(axis="x", nbins=4, integer=True)
            axes.locator_params(axis="y", nbins=4)
            axes.grid()
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    if runs.max() > 1:
        text = f"bands: ± standard deviation, {runs.max()} runs"
        grid[0][1].set_title(text, fontsize=style.LEAST, loc="right", color=style.FAINT)
    handles = [Line2D([], [], **look) for look in looks.values()]
    style.legend(figure, handles, names)
    return figure


def _every(epochs: int) -> int:
    """The distance of markers, which distinguish lines that cross."""
    return max(1, epochs // 5)
