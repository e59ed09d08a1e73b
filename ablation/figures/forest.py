"""A forest plot: rows of points with their intervals, in several series side by side."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from skelcon.figures import style

_STEP = 0.085
"""Inches between the points of two series in a row."""


@dataclass(frozen=True)
class Series:
    """The points of one colour.

    Attributes:
        name: its label in the legend.
        rows: (n,) the row of each point, from the top.
        value, low, high: (n,) each point with its interval; NaN where there is no interval.
        filled: (n,) whether the marker is filled.
    """

    name: str
    rows: NDArray[np.int64]
    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    filled: NDArray[np.bool_]


@style.styled
def forest(
    labels: Sequence[str], series: Sequence[Series], title: str, dividers: Collection[int]
) -> Figure:
    """Draw the plot; a legend names the series if there are several.

    Args:
        labels: the labels of the rows, from the top.
        series: the points.
        title: the label of the axis of values.
        dividers: the rows that begin a new group.
    """
    several, across = len(series) > 1, min(3, len(series))
    names = [each.name for each in series]
    height = max(style.row_height(labels), _STEP * len(series) + 0.07)
    below = style.legend_height(names, across) if several else 0
    figure = style.sheet(len(labels) * height + 0.55 + 0.1 * title.count("\n") + below)
    axes = figure.subplots()
    handles = []
    for number, each in enumerate(series):
        look = style.distinct(number)
        colour, marker = look["color"], look["marker"]
        places = each.rows + (number - (len(series) - 1) / 2) * _STEP / height
        axes.hlines(places, each.low, each.high, color=colour, lw=1)
        for filled in (True, False):
            some, face = each.filled == filled, colour if filled else "white"
            axes.plot(each.value[some], places[some], marker, color=colour, mfc=face, ls="")
        handles.append(Line2D([], [], color=colour, marker=marker, lw=1))
    for row in range(1, len(labels)):
        colour = style.FAINT if row in dividers else "#EEEEEE"
        axes.axhline(row - 0.5, color=colour, lw=0.5, zorder=0)
    style.label_rows(axes, labels)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel(title, fontsize=style.SMALL)
    if several:
        style.legend(figure, handles, names, columns=across)
    return figure
