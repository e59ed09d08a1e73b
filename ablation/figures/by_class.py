"""Accuracy by class of two rows: where one gains, and where it loses."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablation.figures.asked import Asked, DoesNotApplyError
from ablation.figures.predictions import predictions_of
from skelcon.figures import style

MOST = 40
"""Of more classes only those with the largest gains and losses are shown."""


def of_results(asked: Asked) -> Figure:
    """The accuracies of the chosen row and the one it is compared with."""
    row, column = asked.chosen_row, asked.chosen_column
    against = asked.row_against
    if row == against:
        raise DoesNotApplyError(f"'{asked.rows[row]}' is compared with itself")
    names = asked.plan.dataset.class_names
    found = [accuracies(predictions_of(asked, each, column)) for each in (row, against)]
    frame = pd.concat(found, axis=1, keys=["row", "against"])
    frame.index = pd.Index([names[label] for label in frame.index])
    return by_class(frame, asked.name(row, column), asked.name(against, column))


def accuracies(predictions: pd.DataFrame) -> pd.Series[float]:
    """Class -> percentage of its clips that are classified correctly."""
    right = predictions["prediction"] == predictions["label"]
    return 100 * right.groupby(predictions["label"]).mean()


@style.styled
def by_class(accuracy: pd.DataFrame, row: str, against: str) -> Figure:
    """A line for each class between its two accuracies, the largest gain on top.

    Args:
        accuracy: class -> ``row`` and ``against``, in percent.
        row, against: their labels.
    """
    order = (accuracy["row"] - accuracy["against"]).sort_values(ascending=False, kind="stable")
    left_out = len(order) - MOST
    if left_out > 0:
        order = pd.concat([order.iloc[: MOST // 2], order.iloc[-MOST // 2 :]])
    accuracy = accuracy.loc[order.index]
    below = style.legend_height([row, against], 1)
    figure = style.sheet(0.115 * len(accuracy) + 0.5 + below)
    axes = figure.subplots()
    ours, theirs = (accuracy[name].to_numpy(float) for name in ("row", "against"))
    places = np.arange(len(accuracy))
    colours = np.where(ours >= theirs, style.RIGHT, style.WRONG)
    axes.hlines(places, theirs, ours, colors=colours.tolist(), lw=1.6, alpha=0.8)
    looks: list[style.Look] = [
        {"color": style.COLOURS[0], "marker": "o", "ls": "", "ms": 3},
        {"color": style.INK, "marker": "D", "ls": "", "ms": 4.5, "mfc": "white"},
    ]
    axes.plot(theirs, places, **looks[1])
    axes.plot(ours, places, **looks[0])
    labels = [style.folded(str(name), 26, 1) for name in accuracy.index]
    axes.set_yticks(places, labels, fontsize=style.LEAST)
    axes.set_ylim(len(accuracy) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(-3, 103)
    axes.grid(axis="x")
    if left_out > 0:
        axes.axhline(MOST / 2 - 0.5, color=style.FAINT, lw=0.6)
        axes.set_title(
            f"{left_out} classes in between are left out",
            fontsize=style.SMALL,
            loc="right",
            color=style.FAINT,
        )
    axes.set_xlabel("accuracy of the class (%)")
    style.legend(figure, [Line2D([], [], **look) for look in looks], [row, against], columns=1)
    return figure
