"""Accuracy by the representations that are pre-trained together (Table 6), as a heat map."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ablation.figures.asked import Asked, DoesNotApplyError
from skelcon.figures import style

ALONE, BOTH = "alone", "both others"
_KEY = "pretrain.representations"


def of_results(asked: Asked) -> Figure:
    """The heat map of a study whose rows set the representations."""
    matrix = pairs_of(asked)
    if matrix.isna().all(axis=None):
        raise DoesNotApplyError("no cell has a number yet")
    return heat(matrix, "pre-trained with", "evaluated encoder", asked.metric)


def pairs_of(asked: Asked) -> pd.DataFrame:
    """(evaluated encoder, partners) -> mean.

    Raises:
        DoesNotApplyError: if the rows do not set the representations alone.
    """
    study, cells = asked.plan.study, {}
    labels = {  # of the representations
        name: asked.columns[column]
        for column in asked.plan.ranked
        for name in study.columns[column].downstream or ()
    }
    for row, each in study.rows.items():
        names = each.set.get(_KEY)
        if names is None or len(each.set) > 1 or each.downstream:
            raise DoesNotApplyError("its rows do not set pretrain.representations alone")
        for column in asked.plan.ranked:
            evaluated = study.downstream_of(row, column)
            of_column = study.columns[column]
            if len(evaluated) != 1 or of_column.set or not of_column.downstream:
                raise DoesNotApplyError("its columns are not the encoders that are evaluated")
            if evaluated[0] in names:
                others = [labels.get(name, name) for name in names if name != evaluated[0]]
                mean = asked.table.entries[row, column].mean
                partners = BOTH if len(others) == 2 else " + ".join(others) or ALONE
                where = asked.columns[column], partners
                if where in cells:
                    raise DoesNotApplyError("two rows pre-train the same representations")
                cells[where] = np.nan if mean is None else mean
    if len({partners for _, partners in cells}) < 2:
        raise DoesNotApplyError("no row pre-trains two representations")
    frame = pd.Series(cells).unstack()
    evaluated_ones = [label for label in labels.values() if label in frame.index]
    single = [label for label in evaluated_ones if label in frame.columns]
    others = [each for each in frame.columns if each not in {ALONE, BOTH, *single}]
    shown = [ALONE, *single, *sorted(others), BOTH]
    return frame.reindex(
        index=evaluated_ones, columns=[each for each in shown if each in frame.columns]
    )


@style.styled
def heat(matrix: pd.DataFrame, across: str, down: str, metric: str) -> Figure:
    """Numbers in cells, darker for higher ones; cells without a number are empty."""
    values = matrix.to_numpy(float)
    figure = style.sheet(0.75 + 0.32 * len(matrix))
    axes = figure.subplots()
    low, high = np.nanmin(values), np.nanmax(values)
    room = (high - low) or 1.0
    axes.imshow(values, cmap=style.HEAT, vmin=low - 0.4 * room, vmax=high, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            light = value > low + 0.45 * room
            colour = "white" if light else style.INK
            axes.text(j, i, f"{value:.1f}", ha="center", va="center", color=colour)
    width = max(8, 40 // matrix.shape[1])
    names = [style.folded(str(each), width, 3) for each in matrix.columns]
    axes.set_xticks(range(matrix.shape[1]), names)
    style.label_rows(axes, [str(each) for each in matrix.index], 14)
    axes.set_xlabel(across)
    axes.set_ylabel(down)
    axes.set_title(metric, fontsize=style.SMALL, loc="right", color=style.FAINT)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure
